"""One SIP user agent for messages of any size, over UDP of the kernel's.

uas ADDRESS                     answers INVITE with 200 and the body that came, until killed
call TARGET LOCAL BYTES [USER]  sends an INVITE with so many bytes of body, again after 0.5 s, 1 s, 2 s;
                                prints the status code, and "echo" when the body came back whole
fragments TARGET LOCAL COUNT    sends IPv4 fragments that never make a datagram
"""

import os
import random
import re
import socket
import struct
import sys
import time

PORT = 5060


def open_socket(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind((address, port))
    return sock


def host(address):
    return f"[{address}]" if ":" in address else address


def uas(address):
    sock = open_socket(address, PORT)
    print("ready", flush=True)
    while True:
        message, source = sock.recvfrom(65535)
        head, _, body = message.partition(b"\r\n\r\n")
        if not head.startswith(b"INVITE "):
            continue
        keep = (b"via:", b"record-route:", b"from:", b"to:", b"call-id:", b"cseq:")
        lines = [line for line in head.split(b"\r\n")[1:] if line.lower().startswith(keep)]
        lines = [line + b";tag=uas" if line.lower().startswith(b"to:") else line for line in lines]
        answer = b"\r\n".join([b"SIP/2.0 200 OK", *lines, b"Content-Length: %d" % len(body)])
        sock.sendto(answer + b"\r\n\r\n" + body, source[:2])


def call(target, local, size, user):
    sock = open_socket(local, 0)
    us = f"{host(local)}:{sock.getsockname()[1]}"
    tag = random.getrandbits(64)
    body = bytes(random.choices(b"abcdefghijklmnopqrstuvwxyz0123456789", k=size))
    message = (
        f"INVITE sip:{user}@{host(target)}:{PORT} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {us};branch=z9hG4bK-{tag:x};rport\r\n"
        f"From: <sip:caller@{us}>;tag={tag:x}\r\nTo: <sip:{user}@{host(target)}>\r\n"
        f"Call-ID: {tag:x}@{us}\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@{us}>\r\n"
        f"Max-Forwards: 70\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Length: {size}\r\n\r\n"
    ).encode() + body
    for patience in (0.5, 1, 2, 2):
        sock.sendto(message, (target, PORT))
        sock.settimeout(patience)
        try:
            answer = sock.recv(65535)
        except (TimeoutError, ConnectionRefusedError):
            continue
        code = re.match(rb"SIP/2.0 (\d+) ", answer).group(1).decode()
        print(code, "echo" if answer.partition(b"\r\n\r\n")[2] == body else "no echo")
        return
    print("no answer")


def fragments(target, local, count):
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    ends = socket.inet_aton(local), socket.inet_aton(target)
    for number in range(count):
        payload = os.urandom(8 * random.randint(1, 180))
        offset = random.choice((0, 0, random.randint(1, 8000)))
        more = 0x2000 if offset == 0 or random.random() < 0.5 else 0
        header = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), number & 0xFFFF, more | offset,
            64, socket.IPPROTO_UDP, 0, *ends,
        )
        if offset == 0:
            payload = struct.pack("!HHHH", 5060, PORT, 60000, 0) + payload[8:]
        try:
            sock.sendto(header + payload, (target, 0))
        except OSError:
            time.sleep(0.001)
    print(count)


command, arguments = sys.argv[1], sys.argv[2:]
if command == "uas":
    uas(*arguments)
elif command == "call":
    target, local, size, *user = arguments
    call(target, local, int(size), *(user or ["service"]))
elif command == "fragments":
    target, local, count = arguments
    fragments(target, local, int(count))
else:
    sys.exit(__doc__)
