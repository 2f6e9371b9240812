"""Sends the Ethernet frames of standard input, each behind its length in two bytes."""
import socket
import struct
import sys

out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
data = sys.stdin.buffer.read()
at = 0
while at < len(data):
    (length,) = struct.unpack_from("!H", data, at)
    out.send(data[at + 2 : at + 2 + length])
    at += 2 + length
