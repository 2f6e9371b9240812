//! WebSocket with a real client, and with what no client may send.

use super::{Owned, PATIENCE, Setup, message, read_until, until};
use control_api::connection::Kind;
use sip_core::limits::STREAM_MESSAGE_MAX;
use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;
use tungstenite::handshake::client::{Request, Response};
use tungstenite::{Message, WebSocket, client::IntoClientRequest};

/// An upgrade that offers these subprotocols.
fn upgrade(setup: &Setup, subprotocols: &str) -> Request {
    let mut request = format!("ws://{}/", setup.address).into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocols.parse().unwrap());
    request
}

fn client(setup: &Setup) -> (WebSocket<TcpStream>, Response) {
    tungstenite::client(upgrade(setup, "x, sip"), setup.connect()).unwrap()
}

/// A frame that begins with this byte, masked as a client must.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()).unwrap() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0xfe);
            frame.extend(length.to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[test]
fn websocket_needs_the_subprotocol_and_carries_one_message_each() {
    let mut setup = Setup::new("ws", "", true);
    let (mut client, response) = client(&setup);
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "sip");
    let remote = client.get_ref().local_addr().unwrap();
    let (one, two) = (message("REGISTER", "\u{e9}"), message("MESSAGE", "two"));
    client.send(Message::text(one.clone())).unwrap();
    client.send(Message::binary(two.clone().into_bytes())).unwrap();
    client.send(Message::Ping("p".into())).unwrap();
    for text in [one, two] {
        let bytes = text.into_bytes();
        let expected = Owned { kind: Kind::Received, transport: 3, remote, bytes };
        assert_eq!(setup.peer().next_of(Kind::Received), expected);
    }
    assert_eq!(client.read().unwrap(), Message::Pong("p".into()));
    let ends = (setup.address, remote);
    for text in ["SIP/2.0 200 OK\r\n\r\n", "NOTIFY \u{e9}"] {
        setup.peer().say(Kind::SendOnFlow, 3, ends, text.as_bytes());
        assert_eq!(client.read().unwrap(), Message::text(text));
    }
    setup.peer().say(Kind::SendOnFlow, 3, ends, b"NOTIFY \xff");
    assert_eq!(client.read().unwrap(), Message::binary(&b"NOTIFY \xff"[..]));
    client.close(None).unwrap();
    assert!(client.read().unwrap().is_close());
    until(|| setup.ended("peer") == 1);
    assert_eq!(setup.peer().next_of(Kind::Closed).remote, remote);
}

#[test]
fn what_is_no_upgrade_to_sip_is_refused() {
    let setup = Setup::new("ws", "message_seconds = 1", true);
    let head = |method: &str, version: &str, more: &str| {
        format!(
            "{method} / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Protocol: sip\r\n{more}\r\n"
        )
    };
    let key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let long = format!("{key}Cookie: {}\r\n", "x".repeat(9_000));
    for (request, status) in [
        (head("GET", "13", key), "101"),
        (head("GET", "13", key).replace(": sip", ": sips, xmpp"), "400"),
        (head("GET", "13", key).replace("Sec-WebSocket-Protocol", "X"), "400"),
        (head("POST", "13", key), "400"),
        (head("GET", "13", ""), "400"),
        (head("GET", "8", key), "426"),
        (head("GET", "13", &long), "431"),
        (message("OPTIONS", ""), "400"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{7f}\x03\x03\r\n\r\n".into(), "400"),
    ] {
        let mut socket = setup.connect();
        // The last of it may meet a connection that is closed.
        let _ = socket.write_all(request.as_bytes());
        let answer = String::from_utf8(read_until(&mut socket, b"\r\n\r\n")).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}{answer}");
        let says_version = answer.to_lowercase().contains("sec-websocket-version: 13\r\n");
        assert_eq!(says_version, status == "426", "{answer}");
    }
    let refused = setup.ended("handshake");
    assert_eq!(refused, 8);
    let mut half = setup.connect();
    half.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    until(|| setup.ended("handshake") == refused + 1);
}

#[test]
fn websocket_messages_may_come_in_pieces() {
    let mut setup = Setup::new("ws", "message_seconds = 1", true);
    let (mut one, _) = client(&setup);
    let text = message("MESSAGE", "in pieces, \u{e9} cut");
    let at = text.find('\u{e9}').unwrap() + 1;
    // Control frames may come between fragments (RFC 6455 section 5.4), and bytes one by one.
    let frames = [
        frame(0x01, &text.as_bytes()[..20]),
        frame(0x89, b"between"),
        frame(0x00, &text.as_bytes()[20..at]),
        frame(0x00, b""),
        frame(0x80, &text.as_bytes()[at..]),
    ];
    for byte in frames.concat() {
        one.get_mut().write_all(&[byte]).unwrap();
    }
    assert_eq!(setup.peer().next_of(Kind::Received).bytes, text.into_bytes());
    assert_eq!(one.read().unwrap(), Message::Pong("between".into()));
    let both = [message("MESSAGE", "1"), message("MESSAGE", "2")];
    let frames = both.clone().map(|text| frame(0x82, text.as_bytes()));
    one.get_mut().write_all(&frames.concat()).unwrap();
    for text in both {
        assert_eq!(setup.peer().next_of(Kind::Received).bytes, text.into_bytes());
    }
    // As long as may be.
    let room = STREAM_MESSAGE_MAX - message("MESSAGE", "").len();
    let long = message("MESSAGE", &"x".repeat(room - 4));
    assert_eq!(long.len(), STREAM_MESSAGE_MAX);
    one.send(Message::text(long.clone())).unwrap();
    assert_eq!(setup.peer().next_of(Kind::Received).bytes, long.into_bytes());
    // A fragment without an end is late.
    one.get_mut().write_all(&frame(0x01, b"O")).unwrap();
    assert!(one.read().unwrap().is_close());
    assert_eq!(setup.ended("late"), 1);
}

#[test]
fn what_breaks_websocket_is_closed_with_its_code() {
    let setup = Setup::new("ws", "", true);
    let long = b"O".repeat(40_000);
    let huge = [0x82, 0xff, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0];
    let broken = [
        (1002, "no mask", vec![0x81, 1, b'O']),
        (1002, "a reserved bit", frame(0xc1, b"O")),
        (1002, "a reserved kind", frame(0x83, b"O")),
        (1002, "a reserved kind of control", frame(0x8b, b"")),
        (1002, "a fragment of nothing", frame(0x80, b"O")),
        (1002, "a message within another", [frame(0x01, b"O"), frame(0x81, b"O")].concat()),
        (1002, "a ping in fragments", frame(0x09, b"p")),
        (1002, "a long ping", frame(0x89, &[b'p'; 126])),
        (1002, "half a code", frame(0x88, b"\x03")),
        (1007, "no UTF-8", frame(0x81, b"\xff")),
        (1009, "a long frame", huge.to_vec()),
        (1009, "long fragments", [frame(0x01, &long), frame(0x80, &long)].concat()),
    ];
    for (count, (code, what, bytes)) in broken.into_iter().enumerate() {
        let (mut client, _) = client(&setup);
        client.get_mut().write_all(&bytes).unwrap();
        let Ok(Message::Close(Some(why))) = client.read() else { panic!("{what}: no close") };
        assert_eq!(u16::from(why.code), code, "{what}");
        assert_eq!(setup.ended("malformed"), count as u64 + 1, "{what}");
    }
}

#[test]
fn websocket_keep_alives_are_answered_and_nothing_else_that_is_blank() {
    let mut setup = Setup::new("ws", "write_buffer = 65536", true);
    let (mut one, _) = client(&setup);
    for text in ["", "\r\n", "\r\n\r\n"] {
        one.send(Message::text(text)).unwrap();
    }
    one.send(Message::Ping("p".into())).unwrap();
    assert_eq!(one.read().unwrap(), Message::text("\r\n"));
    assert_eq!(one.read().unwrap(), Message::Pong("p".into()));
    one.send(Message::text(message("OPTIONS", ""))).unwrap();
    setup.peer().next_of(Kind::Received);
    let status = setup.connections.status(0);
    assert_eq!((status.pings, status.transports[2].received), (1, 1));
    // Who does not read what he asks for is closed.
    let pings = frame(0x89, &[b'p'; 125]).repeat(500);
    let start = Instant::now();
    while one.get_mut().write_all(&pings).is_ok() && start.elapsed() < PATIENCE {}
    until(|| setup.ended("slow-reader") == 1);
}
