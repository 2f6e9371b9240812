"""Sends new calls and garbage from one address, or asks once whether it is answered.

flood.py ADDRESS ask                     exit status 0 when an OPTIONS to the appliance is answered
flood.py ADDRESS SECONDS [RATE [USER]]   INVITEs for USER, or without one INVITEs and garbage in turn; RATE 0: no limit
"""

import socket
import sys
import time

TARGET = ("10.77.1.1", 5060)
address, what = sys.argv[1], sys.argv[2]
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.bind((address, 5999))


def request(method, user, number):
    return (
        f"{method} sip:{user}10.77.1.1:5060 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {address}:5999;branch=z9hG4bK-flood-{time.monotonic_ns()}-{number}\r\n"
        f"From: <sip:flood@{address}>;tag=1\r\nTo: <sip:{user}10.77.1.1:5060>\r\n"
        f"Call-ID: {number}@{address}\r\nCSeq: 1 {method}\r\nContact: <sip:flood@{address}:5999>\r\n"
        "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


if what == "ask":
    deadline = time.monotonic() + 0.5
    out.sendto(request("OPTIONS", "", 0), TARGET)
    # What it was asked before may still be answered, again and again.
    while (left := deadline - time.monotonic()) > 0:
        out.settimeout(left)
        try:
            if b"CSeq: 1 OPTIONS" in out.recv(2048):
                sys.exit(0)
        except TimeoutError:
            break
    sys.exit(1)

rate = int(sys.argv[3]) if len(sys.argv) > 3 else 20_000
user = sys.argv[4] if len(sys.argv) > 4 else None
begin = time.monotonic()
sent = 0
while (now := time.monotonic()) < begin + float(what):
    due = int((now - begin) * rate) - sent if rate else 64
    for _ in range(min(due, 256)):
        if user or sent % 2:
            out.sendto(request("INVITE", (user or "six") + "@", sent), TARGET)
        else:
            out.sendto(b"\x00\xff not SIP at all " * 8, TARGET)
        sent += 1
    time.sleep(0.0005)
