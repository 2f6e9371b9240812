#!/bin/sh
# Gives `lo` the service address while this appliance is well, and takes it away when it is not or when this ends: bird
# announces it while it is there. Started as a service that ends with the appliance.
#
#   announce.sh 198.51.100.10/32 [options of trunkline health]
address=$1
shift

forget() { ip address delete "$address" dev lo 2>/dev/null; }
trap 'forget; exit 0' INT TERM
while :; do
  if trunkline health "$@" >/dev/null; then
    ip address add "$address" dev lo 2>/dev/null # it may be there already
  else
    forget
  fi
  sleep 0.5
done
