//! A proxy that connects by TLS gets its requests over the same connection (RFC 5923).

use crate::connections::{answer, connect_from_uac, of};
use crate::lab::Lab;
use crate::phone::Phone;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The proxy is a server, too, on a port on which it happens not to listen.
const SET: &str = "[[destination_sets]]\nname = \"proxy\"\nprobe = false\n\
    members = [{ address = \"10.77.1.2:5071\", transport = \"tls\" }]\n\n\
    [[routes]]\nmatch = { user_prefixes = [\"proxy\"] }\nforward = \"proxy\"\nstateful = true\n\n";

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A connection of the proxy, which shows the certificate of the lab: that names its address.
fn connect() -> Tls {
    let folder = Path::new("/run/trunkline/lab");
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).expect("a file");
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("a file");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_root_certificates(roots).with_client_auth_cert(vec![certificate], key)
        });
    let name = "10.77.1.1".try_into().expect("an address");
    let session = ClientConnection::new(Arc::new(config.expect("a configuration")), name);
    let socket = connect_from_uac("10.77.1.1:5061", 1).remove(0);
    StreamOwned::new(session.expect("a session"), socket)
}

/// Has the proxy say who it is.
fn introduce(connection: &mut Tls, sent_by: &str) {
    let text = format!(
        "OPTIONS sip:10.77.1.1;transport=tls SIP/2.0\r\nVia: SIP/2.0/TLS {sent_by};branch=z9hG4bK1;alias\r\n\
         From: <sip:proxy@lab.test>;tag=1\r\nTo: <sip:10.77.1.1>\r\nCall-ID: 1@proxy\r\nCSeq: 1 OPTIONS\r\n\
         Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    connection.write_all(text.as_bytes()).expect("written");
    assert!(answer(connection).starts_with("SIP/2.0 200 "));
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn requests_for_a_proxy_go_over_the_connection_that_it_opened() {
    let lab = Lab::up(1);
    lab.reconfigure(|config| {
        let config = config.replace("[tls]", "[tls]\nclient_ca = \"/run/trunkline/lab/cert.pem\"");
        let (general, routes) = config.split_once("# Phones register").expect("routes");
        [general, SET, "# Phones register", routes].concat()
    });
    let caller = Phone::caller("caller", 5072);
    // What a worker says of itself is not kept while a neighbour is asked for, and this phone repeats
    // nothing: the appliance has to know where it is.
    caller.asks("OPTIONS", "sip:10.77.1.1", "");
    caller.got(200);
    let refused = |why: &str| {
        caller.asks("MESSAGE", "sip:proxy@10.77.1.1", "");
        let answer = caller.hear_for(Duration::from_secs(5)).unwrap_or_else(|| panic!("{why}"));
        // A 503 is not for callers (RFC 3261 section 16.7 step 6).
        assert_eq!(answer.status(), Some(500), "{why}");
    };
    refused("nobody listens there");

    let mut liar = connect();
    introduce(&mut liar, "10.77.1.9:5071");
    refused("a sent-by that spells another address is not believed");
    drop(liar);

    let mut proxy = connect();
    introduce(&mut proxy, "10.77.1.2:5071");
    let opened = of("tls", "opened");
    for _ in 0..3 {
        caller.asks("MESSAGE", "sip:proxy@10.77.1.1", "");
        let request = answer(&mut proxy);
        let via = request.lines().find(|line| line.starts_with("Via:")).expect("a Via");
        assert!(
            via.starts_with("Via: SIP/2.0/TLS 10.77.1.1:5061;") && via.ends_with(";alias"),
            "{request}"
        );
        let copied = request.lines().filter(|line| {
            ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
        });
        let lines: Vec<&str> = ["SIP/2.0 200 OK"].into_iter().chain(copied).collect();
        let response = format!("{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n"));
        proxy.write_all(response.as_bytes()).expect("written");
        caller.got(200);
    }
    assert_eq!(of("tls", "opened"), opened, "no connection of ours");

    // RFC 5923 section 8.3: with the connection the alias goes.
    drop(proxy);
    for _ in 0..500 {
        if of("tls", "open") == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    refused("the connection is no more");
    assert!(of("tls", "opened") > opened, "one of ours is tried again");
    lab.assert_conserved();
}
