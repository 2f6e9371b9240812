"""Sends the Ethernet frames of standard input, each behind its length in two bytes, at a bounded rate."""
import socket
import struct
import sys
import time

interface, rate = sys.argv[1], float(sys.argv[2])
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((interface, 0))
data = sys.stdin.buffer.read()
start, at, sent = time.monotonic(), 0, 0
while at < len(data):
    (length,) = struct.unpack_from("!H", data, at)
    out.send(data[at + 2 : at + 2 + length])
    at += 2 + length
    sent += 1
    ahead = start + sent / rate - time.monotonic()
    if ahead > 0:
        time.sleep(ahead)
