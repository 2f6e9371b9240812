"""Sends bad frames of every kind to the appliance, in rounds, from a raw socket.

Arguments: interface, MAC address of the appliance, number of frames. The seed is fixed, so a
failure can be repeated.
"""
import random
import socket
import struct
import sys
import time

interface, mac, total = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), int(sys.argv[3])
rng = random.Random(4475)
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind((interface, 0))
own = raw.getsockname()[4]
FROM, TO = socket.inet_aton("10.77.1.2"), socket.inet_aton("10.77.1.1")
FROM6 = socket.inet_pton(socket.AF_INET6, "fd77:1::2")
TO6 = socket.inet_pton(socket.AF_INET6, "fd77:1::1")
INVITE = (
    b"INVITE sip:service@10.77.1.1:5060 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 10.77.1.2:5099;branch=z9hG4bK-bad-1\r\n"
    b"From: <sip:bad@10.77.1.2>;tag=1\r\nTo: <sip:service@10.77.1.1>\r\n"
    b"Call-ID: bad@10.77.1.2\r\nCSeq: 1 INVITE\r\nMax-Forwards: 0\r\n"
    b"Content-Length: 0\r\n\r\n"
)
RESPONSE = INVITE.replace(b"INVITE sip:service@10.77.1.1:5060 SIP/2.0", b"SIP/2.0 200 OK")


def ones(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(payload, source_port=5099, udp_length=None, ip_check=0, ihl=5, options=b""):
    length = udp_length if udp_length is not None else 8 + len(payload)
    udp = struct.pack("!HHHH", source_port, 5060, length & 0xFFFF, 0) + payload
    head = struct.pack("!BBHHHBBH", 0x40 | ihl, 0, (20 + len(options) + len(udp)) & 0xFFFF,
                       0, 0, 64, 17, 0) + FROM + TO + options
    check = ones(head) ^ ip_check
    return mac + own + b"\x08\x00" + head[:10] + struct.pack("!H", check) + head[12:] + udp


def ipv6(payload):
    udp = struct.pack("!HHHH", 5099, 5060, 8 + len(payload), rng.randrange(65536)) + payload
    return mac + own + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + FROM6 + TO6 + udp


def flipped(message):
    data = bytearray(message)
    for _ in range(rng.randrange(1, 12)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


KINDS = [
    lambda: ipv4(rng.randbytes(rng.randrange(5, 1400))),
    lambda: ipv4(INVITE[: rng.randrange(5, len(INVITE) - 4)]),
    lambda: ipv4(flipped(INVITE)),
    lambda: ipv4(flipped(RESPONSE)),
    lambda: ipv4(RESPONSE),
    lambda: ipv4(b""),
    lambda: ipv4(b"\r\n\r\n"),
    lambda: ipv4(INVITE, source_port=0),
    lambda: ipv4(INVITE, udp_length=rng.randrange(0, 8)),
    lambda: ipv4(INVITE, udp_length=rng.randrange(2000, 65536)),
    lambda: ipv4(INVITE, ip_check=0x5555),
    lambda: ipv4(INVITE, ihl=6, options=b"\x01\x01\x01\x00"),
    lambda: ipv4(INVITE + b"x" * rng.randrange(0, 900)) + rng.randbytes(rng.randrange(1, 40)),
    lambda: ipv6(flipped(INVITE)),
    lambda: ipv6(rng.randbytes(rng.randrange(5, 1400))),
]
for number in range(total):
    raw.send(KINDS[number % len(KINDS)]())
    if number % 40 == 39:  # Some 10,000 frames a second: the calls beside share the core.
        time.sleep(0.003)
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for size in (0, 1, 1472, 65507):  # The largest is cut into fragments, which are the kernel's.
    datagram.sendto(b"y" * size, ("10.77.1.1", 5060))
