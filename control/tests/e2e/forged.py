"""Sends forged responses to the appliance: branches that look like those of its transactions.

Argument: how many. The seed is fixed, so a failure can be repeated.
"""
import random
import socket
import sys
import time

rng = random.Random(6026)
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.bind(("10.77.2.2", 5061))
for number in range(int(sys.argv[1])):
    # Worker 0, a slot that is likely in use, its first branch or another, an early generation.
    slot, branch, generation = rng.randrange(65536), rng.choice((0, 0, 1)), rng.randrange(4)
    place = slot << 30 | branch << 25 | generation
    status = rng.choice((b"180 Ringing", b"200 OK", b"486 Busy Here", b"503 Busy", b"603 No"))
    method = rng.choice((b"INVITE", b"BYE", b"CANCEL"))
    out.sendto(
        b"SIP/2.0 " + status + b"\r\n"
        b"Via: SIP/2.0/UDP 10.77.2.1:5060;branch=z9hG4bK-tl2%016x%016x\r\n"
        % (place, rng.getrandbits(64)) +
        b"Via: SIP/2.0/UDP 10.77.1.2:5060;branch=z9hG4bK-x-%d\r\n" % number +
        b"From: <sip:a@10.77.1.2>;tag=1\r\nTo: <sip:b@10.77.1.1>;tag=2\r\n"
        b"Call-ID: forged\r\nCSeq: 1 " + method + b"\r\nContent-Length: 0\r\n\r\n",
        ("10.77.2.1", 5060))
    if number % 40 == 39:  # Some 10,000 a second: the calls beside share the core.
        time.sleep(0.003)
