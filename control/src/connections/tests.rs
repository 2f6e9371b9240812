//! The two ends of the channel and peers on loopback: what goes in at one end comes out at the other.

mod websocket;

use super::Connections;
use crate::config::Config;
use control_api::connection::{Hello, Kind, PACKET_MAX, Record, SOCKET_NAME, read_spelt, records};
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// The data plane's end of the channel.
struct Peer {
    listener: Socket,
    link: Option<Socket>,
    waiting: VecDeque<Owned>,
}

/// A record that has come.
#[derive(Debug, PartialEq)]
struct Owned {
    kind: Kind,
    transport: u8,
    remote: SocketAddr,
    bytes: Vec<u8>,
}

impl Peer {
    fn new(directory: &Path) -> Self {
        let path = directory.join(SOCKET_NAME);
        let _ = std::fs::remove_file(&path);
        let listener = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(4).unwrap();
        Self { listener, link: None, waiting: VecDeque::new() }
    }

    fn link(&mut self) -> &Socket {
        let listener = &self.listener;
        self.link.get_or_insert_with(|| {
            let (socket, _) = listener.accept().unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut hello = [0; 8];
            let length = (&socket).read(&mut hello).unwrap();
            assert_eq!(Hello::decode(&hello[..length]).unwrap().threads, 1);
            socket
        })
    }

    fn next(&mut self) -> Owned {
        while self.waiting.is_empty() {
            let mut packet = vec![0; PACKET_MAX];
            let length = self.link().read(&mut packet).expect("a packet in time");
            for record in records(&packet[..length]) {
                let Record { kind, transport, remote, bytes, .. } = record.unwrap();
                self.waiting.push_back(Owned { kind, transport, remote, bytes: bytes.to_vec() });
            }
        }
        self.waiting.pop_front().unwrap()
    }

    /// The next of this kind; others are passed over.
    fn next_of(&mut self, kind: Kind) -> Owned {
        loop {
            let next = self.next();
            if next.kind == kind {
                return next;
            }
        }
    }

    fn say(&mut self, kind: Kind, transport: u8, ends: (SocketAddr, SocketAddr), text: &[u8]) {
        let (local, remote) = ends;
        let mut packet = Vec::new();
        Record { kind, transport, local, remote, bytes: text }.push(&mut packet);
        self.link().write_all(&packet).unwrap();
    }
}

fn message(method: &str, body: &str) -> String {
    format!(
        "{method} sip:bob@127.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKx;rport\r\n\
         From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: 1@x\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// An address of loopback on which nobody listens.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

struct Setup {
    directory: tempfile::TempDir,
    connections: Connections,
    address: SocketAddr,
    peer: Option<Peer>,
}

impl Setup {
    fn new(transport: &str, more: &str, has_peer: bool) -> Self {
        Self::make(transport, (more, ""), has_peer)
    }

    fn with_tls(transport: &str, tls: &str) -> Self {
        Self::make(transport, ("", tls), true)
    }

    fn make(transport: &str, (more, tls): (&str, &str), has_peer: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let peer = has_peer.then(|| Peer::new(directory.path()));
        let address = free();
        for (name, file, key) in
            [("lab.test", "cert.pem", "key.pem"), ("other.test", "other.pem", "other-key.pem")]
        {
            let made = rcgen::generate_simple_self_signed([name.into(), "127.0.0.1".into()]);
            let made = made.unwrap();
            std::fs::write(directory.path().join(file), made.cert.pem()).unwrap();
            let key = directory.path().join(key);
            std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
        }
        let text = format!(
            "[appliance]\nrun_directory = {:?}\n[[listen]]\naddress = \"{address}\"\n\
             transport = \"{transport}\"\n[connections]\n{more}\n[tls]\ncertificate = \"cert.pem\"\n\
             key = \"key.pem\"\nserver_ca = \"cert.pem\"\n{tls}\n",
            directory.path()
        );
        let config = Config::parse(&text, directory.path()).unwrap();
        let connections = Connections::default();
        connections.configure(&config, [7; 16]).unwrap();
        Self { directory, connections, address, peer }
    }

    fn peer(&mut self) -> &mut Peer {
        self.peer.as_mut().unwrap()
    }

    fn connect(&self) -> TcpStream {
        let start = Instant::now();
        loop {
            match TcpStream::connect(self.address) {
                Ok(socket) => {
                    socket.set_read_timeout(Some(PATIENCE)).unwrap();
                    return socket;
                }
                Err(_) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn ended(&self, reason: &str) -> u64 {
        let status = self.connections.status(0);
        status.ended.iter().find(|one| one.reason == reason).unwrap().count
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.connections.stop();
    }
}

fn until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < PATIENCE, "in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn read_until(socket: &mut impl Read, end: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(end) {
        match socket.read(&mut byte) {
            Ok(1) => all.push(byte[0]),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&all)),
        }
    }
    all
}

#[test]
fn messages_go_both_ways_and_the_end_is_told() {
    let mut setup = Setup::new("tcp", "", true);
    let mut client = setup.connect();
    let remote = client.local_addr().unwrap();
    let (one, two) = (message("OPTIONS", "hello"), message("INVITE", ""));
    for piece in format!("\r\n\r\n{one}{two}").as_bytes().chunks(7) {
        client.write_all(piece).unwrap();
    }
    assert_eq!(read_until(&mut client, b"\r\n"), b"\r\n");
    for text in [one, two] {
        let bytes = text.into_bytes();
        let expected = Owned { kind: Kind::Received, transport: 1, remote, bytes };
        assert_eq!(setup.peer().next(), expected);
    }
    let ends = (setup.address, remote);
    setup.peer().say(Kind::SendOnFlow, 1, ends, b"SIP/2.0 100 Trying\r\n\r\n");
    assert_eq!(read_until(&mut client, b"\r\n\r\n"), b"SIP/2.0 100 Trying\r\n\r\n");
    drop(client);
    let closed = setup.peer().next();
    assert_eq!((closed.kind, closed.remote), (Kind::Closed, remote));
    setup.peer().say(Kind::SendOnFlow, 1, ends, b"SIP/2.0 200 OK\r\n\r\n");
    let failed = setup.peer().next();
    assert_eq!(
        (failed.kind, failed.bytes.as_slice()),
        (Kind::Failed, &b"SIP/2.0 200 OK\r\n\r\n"[..])
    );
    let status = setup.connections.status(10);
    let tcp = &status.transports[0];
    assert_eq!((tcp.open, tcp.accepted, tcp.received, tcp.sent), (0, 1, 2, 1));
    assert_eq!((status.pings, status.failed, setup.ended("peer")), (1, 1, 1));
}

#[test]
fn connections_are_opened_when_something_is_to_be_sent() {
    let mut setup = Setup::new("tcp", "connect_seconds = 1", true);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let local = setup.address;
    for text in [message("OPTIONS", "1"), message("OPTIONS", "2")] {
        setup.peer().say(Kind::Send, 1, (local, to), text.as_bytes());
    }
    let (mut socket, _) = server.accept().unwrap();
    let both = message("OPTIONS", "1") + &message("OPTIONS", "2");
    let mut got = vec![0; both.len()];
    socket.read_exact(&mut got).unwrap();
    assert_eq!(got, both.into_bytes());
    socket.write_all(message("BYE", "").as_bytes()).unwrap();
    let received = setup.peer().next();
    assert_eq!((received.kind, received.remote), (Kind::Received, to));
    let nobody = free();
    setup.peer().say(Kind::Send, 1, (local, nobody), b"OPTIONS sip:a SIP/2.0\r\n\r\n");
    let failed = setup.peer().next();
    assert_eq!((failed.kind, failed.remote), (Kind::Failed, nobody));
}

#[test]
fn what_breaks_the_framing_is_answered_and_closed() {
    let mut setup = Setup::new("tcp", "message_seconds = 1", true);
    let huge = message("OPTIONS", "").replace("Content-Length: 0", "Content-Length: 67108864");
    let none = message("OPTIONS", "").replace("Content-Length: 0\r\n", "");
    for (text, answer) in [(huge, "SIP/2.0 513 "), (none, "SIP/2.0 400 ")] {
        let mut client = setup.connect();
        client.write_all(text.as_bytes()).unwrap();
        let mut got = String::new();
        client.read_to_string(&mut got).unwrap();
        assert!(got.starts_with(answer), "{got}");
    }
    let mut client = setup.connect();
    client.write_all(b"\x16\x03\x01\x02\x00").unwrap();
    assert_eq!(client.read(&mut [0; 8]).unwrap_or(0), 0);
    assert_eq!(setup.ended("malformed"), 3);
    // A message that never becomes whole, and a client that has nothing to say.
    let mut quiet = setup.connect();
    let mut slow = setup.connect();
    slow.write_all(b"OPTIONS sip:a SIP/2.0\r\n").unwrap();
    let start = Instant::now();
    assert_eq!(slow.read(&mut [0; 8]).unwrap_or(0), 0);
    assert!((0.9..5.0).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
    assert_eq!(setup.ended("late"), 1);
    quiet.write_all(message("OPTIONS", "").as_bytes()).unwrap();
    let peer = setup.peer();
    while peer.next().kind != Kind::Received {}
}

#[test]
fn a_slow_reader_is_closed_and_what_waited_comes_back() {
    let mut setup = Setup::new("tcp", "write_buffer = 65536", true);
    let client = setup.connect();
    (&client).write_all(message("OPTIONS", "").as_bytes()).unwrap();
    let received = setup.peer().next();
    let ends = (setup.address, received.remote);
    let text = message("NOTIFY", &"x".repeat(30_000));
    let start = Instant::now();
    while setup.ended("slow-reader") == 0 {
        assert!(start.elapsed() < PATIENCE);
        setup.peer().say(Kind::SendOnFlow, 1, ends, text.as_bytes());
    }
    let first = setup.peer().next();
    assert_eq!(first.kind, Kind::Closed);
    let failed = setup.peer().next();
    assert_eq!(failed.kind, Kind::Failed);
    assert!(failed.bytes.starts_with(b"NOTIFY sip:") && failed.bytes.len() <= 8_192);
}

#[test]
fn who_pings_and_does_not_read_is_closed() {
    let setup = Setup::new("tcp", "write_buffer = 65536", true);
    let mut client = setup.connect();
    let pings = b"\r\n\r\n".repeat(16_384);
    let start = Instant::now();
    while client.write_all(&pings).is_ok() && start.elapsed() < PATIENCE {}
    until(|| setup.ended("slow-reader") == 1);
}

#[test]
fn sources_have_limits() {
    let setup = Setup::new("tcp", "per_source = 2", true);
    let kept = [setup.connect(), setup.connect()];
    let mut third = setup.connect();
    assert_eq!(third.read(&mut [0; 8]).unwrap_or(0), 0);
    let refused = |setup: &Setup| setup.connections.status(5).refused[1].count;
    assert_eq!(refused(&setup), 1);
    drop(kept);
    until(|| setup.connections.status(0).transports[0].open == 0);
    let _again = setup.connect();
    until(|| setup.connections.status(0).transports[0].open == 1);
}

#[test]
fn without_a_data_plane_requests_get_503() {
    let setup = Setup::new("tcp", "", false);
    let mut client = setup.connect();
    let text = message("ACK", "") + &message("INVITE", "");
    client.write_all(text.as_bytes()).unwrap();
    let answer = String::from_utf8(read_until(&mut client, b"\r\n\r\n")).unwrap();
    assert!(answer.starts_with("SIP/2.0 503 ") && answer.contains("CSeq: 1 INVITE"), "{answer}");
    let status = setup.connections.status(0);
    assert_eq!((status.unavailable, status.dropped), (1, 1));
}

#[test]
fn a_data_plane_that_does_not_read_stops_the_reading() {
    let mut setup = Setup::new("tcp", "message_seconds = 1", true);
    setup.peer().link();
    let client = setup.connect();
    client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let text = message("MESSAGE", &"x".repeat(8_000));
    let (mut written, mut rest, start) = (0_usize, text.as_bytes(), Instant::now());
    while setup.connections.status(0).congestions == 0 {
        assert!(start.elapsed() < PATIENCE);
        rest = &rest[(&client).write(rest).unwrap_or(0)..];
        if rest.is_empty() {
            (written, rest) = (written + 1, text.as_bytes());
        }
    }
    let status = setup.connections.status(0);
    assert!(status.threads[0].link_waiting_bytes < 2 << 20, "{:?}", status.threads);
    // Nobody is closed for it, and nothing is lost.
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(setup.connections.status(0).transports[0].open, 1);
    for _ in 0..written {
        assert_eq!(setup.peer().next().bytes, text.as_bytes());
    }
}

/// A TLS client that trusts the certificate in the setup's directory, and asks for this name.
fn tls(setup: &Setup, name: &str) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
    let folder = setup.directory.path();
    let mut roots = rustls::RootCertStore::empty();
    for file in ["cert.pem", "other.pem"] {
        roots.add(CertificateDer::from_pem_file(folder.join(file)).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let own = CertificateDer::from_pem_file(folder.join("other.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("other-key.pem")).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![own], key)
        .unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    rustls::StreamOwned::new(client, setup.connect())
}

#[test]
fn tls_shows_the_certificate_of_the_name_and_asks_for_that_of_the_client() {
    let more = "[[tls.names]]\nname = \"other.test\"\ncertificate = \"other.pem\"\nkey = \"other-key.pem\"";
    let mut setup = Setup::with_tls("tls", &format!("client_ca = \"other.pem\"\n{more}"));
    let mut shown = Vec::new();
    for name in ["lab.test", "OTHER.test"] {
        let mut client = tls(&setup, name);
        for piece in message("OPTIONS", name).as_bytes().chunks(50) {
            client.write_all(piece).unwrap();
            client.flush().unwrap();
        }
        shown.push(client.conn.peer_certificates().unwrap()[0].to_vec());
        let received = setup.peer().next_of(Kind::Received);
        assert_eq!(
            (received.transport, received.bytes),
            (2, message("OPTIONS", name).into_bytes())
        );
        let ends = (setup.address, received.remote);
        let answer = message("NOTIFY", &"y".repeat(50_000));
        setup.peer().say(Kind::SendOnFlow, 2, ends, answer.as_bytes());
        let mut got = vec![0; answer.len()];
        client.read_exact(&mut got).unwrap();
        assert_eq!(got, answer.into_bytes());
    }
    assert_ne!(shown[0], shown[1]);
    let mut garbage = setup.connect();
    garbage.write_all(message("OPTIONS", "").as_bytes()).unwrap();
    let mut alert = Vec::new();
    let _ = garbage.read_to_end(&mut alert);
    until(|| setup.ended("handshake") == 1);
    assert_eq!(setup.connections.status(0).transports[1].open, 0);
}

#[test]
fn rfc5923_a_client_that_is_named_by_its_certificate_may_have_an_alias() {
    let text = message("OPTIONS", "").replace(";rport", ";alias");
    for (client_ca, is_known) in [("client_ca = \"other.pem\"", true), ("", false)] {
        let mut setup = Setup::with_tls("tls", client_ca);
        let mut client = tls(&setup, "lab.test");
        for _ in 0..2 {
            client.write_all(text.as_bytes()).unwrap();
        }
        if is_known {
            let alias = setup.peer().next();
            assert_eq!(
                (alias.kind, alias.remote),
                (Kind::Alias, client.sock.local_addr().unwrap())
            );
            assert_eq!(read_spelt(&alias.bytes), Ok("127.0.0.1:5060".parse().unwrap()));
        }
        for _ in 0..2 {
            assert_eq!(setup.peer().next().kind, Kind::Received);
        }
        if is_known {
            // A data plane that is new is told, too.
            setup.peer().link = None;
            assert_eq!(setup.peer().next().kind, Kind::Alias);
        }
        drop(client);
        assert_eq!(setup.peer().next().kind, Kind::Closed);
    }
}

#[test]
fn tls_is_spoken_to_servers() {
    let mut setup = Setup::with_tls("tls", "");
    // Its own listen point is a server, too.
    let (local, to) = ("127.0.0.1:1".parse().unwrap(), setup.address);
    let text = message("OPTIONS", "over tls");
    setup.peer().say(Kind::Send, 2, (local, to), text.as_bytes());
    let received = setup.peer().next_of(Kind::Received);
    assert_eq!(received.bytes, text.into_bytes());
    let status = setup.connections.status(0);
    assert_eq!((status.transports[1].opened, status.transports[1].accepted), (1, 1));
}

#[test]
fn several_threads_share_connections_and_leave_no_port_behind() {
    let setup = Setup::new("tcp", "threads = 3\nconnections = 60", false);
    let mut clients: Vec<TcpStream> = (0..60).map(|_| setup.connect()).collect();
    // Each is answered on its own connection: there is no data plane.
    for client in &mut clients {
        client.write_all(message("OPTIONS", "").as_bytes()).unwrap();
    }
    for client in &mut clients {
        let answer = read_until(client, b"\r\n\r\n");
        assert!(answer.starts_with(b"SIP/2.0 503 "), "{}", String::from_utf8_lossy(&answer));
    }
    let status = setup.connections.status(0);
    assert!(status.threads.iter().all(|thread| thread.connections > 5), "{:?}", status.threads);
    assert_eq!(setup.connect().read(&mut [0]).unwrap_or(0), 0, "there is no place for one more");
    let (folder, other) = (setup.directory.path(), free());
    let text = format!(
        "[appliance]\nrun_directory = {folder:?}\n[[listen]]\naddress = \"{other}\"\ntransport = \"tcp\"\n\
         [connections]\nthreads = 3\nconnections = 60\n"
    );
    let config = Config::parse(&text, folder).unwrap();
    setup.connections.configure(&config, [7; 16]).unwrap();
    for client in &mut clients {
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "its listen point is no more");
    }
    until(|| TcpListener::bind(setup.address).is_ok());
    until(|| TcpStream::connect(other).is_ok());
}
