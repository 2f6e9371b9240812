//! The kernel's side of the listen points while the data plane is away: whoever asks for something new is told to come
//! back later, or to go elsewhere. What belongs to a dialog can go nowhere else: it is left to retransmission, as the data
//! plane may be back in time. A data plane that is there listens itself.

use crate::limits::{BIND_RETRY, DATAGRAM_MAX, ERROR_PAUSE, FALLBACK_LOG_EVERY};
use sip_core::{
    Arrival, Output, Reply, Settings, SettingsError, Tables, is_new_request, write_reply,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};

/// Answers on all listen addresses until stopped or dropped.
#[derive(Debug)]
pub struct Fallback {
    /// One task per listen point.
    tasks: JoinSet<()>,
}

impl Fallback {
    /// Binds a socket to each listen point that speaks UDP, now or as soon as the kernel has the address, and
    /// answers each request outside of dialogs with 503 and Retry-After.
    ///
    /// # Errors
    /// Settings that the router refuses.
    pub fn start(settings: &Settings) -> Result<Self, SettingsError> {
        let tables = Arc::new(Tables::build(settings)?);
        let mut tasks = JoinSet::new();
        for point in settings.listen.iter().filter(|point| !point.transport.is_connection()) {
            tasks.spawn(serve(point.address, Arc::clone(&tables)));
        }
        Ok(Self { tasks })
    }

    /// Ends all tasks; the sockets are closed when this returns.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn serve(address: SocketAddr, tables: Arc<Tables>) {
    let Some(listen) = tables.listen_id(address) else { return };
    let socket = bind_patiently(address).await;
    let mut datagram = vec![0; DATAGRAM_MAX];
    let mut reply = Output::new();
    let mut tally = Tally::new(address);
    loop {
        let Ok((length, source)) = socket.recv_from(&mut datagram).await else {
            // Mostly the ICMP error of an earlier answer; no reason to spin on any other.
            sleep(ERROR_PAUSE).await;
            continue;
        };
        let arrival = Arrival { source, listen };
        let request = &datagram[..length];
        let is_answered = is_new_request(request)
            && match write_reply(request, Reply::Unavailable, &tables, &arrival, &mut reply) {
                Ok(target) => {
                    // An answer that cannot be sent is as good as lost: the request comes again.
                    let _ = socket.send_to(reply.bytes(), target).await;
                    true
                }
                Err(_) => false,
            };
        tally.count(is_answered, source);
    }
}

/// Tries until the address is there and free.
async fn bind_patiently(address: SocketAddr) -> UdpSocket {
    let mut complained = false;
    loop {
        match bind(address) {
            Ok(socket) => {
                info!(%address, "answering 503 for what reaches the kernel");
                return socket;
            }
            Err(error) if !complained => {
                complained = true;
                warn!(%address, "no kernel socket yet: {error}; trying on");
            }
            Err(_) => {}
        }
        sleep(BIND_RETRY).await;
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // The data plane may be on the address already; the socket that was bound last receives.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Counts what came, and logs it without flooding the log.
struct Tally {
    address: SocketAddr,
    answered: u64,
    ignored: u64,
    logged: Option<Instant>,
    unlogged: u64,
}

impl Tally {
    fn new(address: SocketAddr) -> Self {
        Self { address, answered: 0, ignored: 0, logged: None, unlogged: 0 }
    }

    fn count(&mut self, answered: bool, source: SocketAddr) {
        if answered {
            self.answered += 1;
        } else {
            self.ignored += 1;
        }
        self.unlogged += 1;
        if self.logged.is_none_or(|last| last.elapsed() >= FALLBACK_LOG_EVERY) {
            warn!(
                address = %self.address,
                %source,
                answered = self.answered,
                ignored = self.ignored,
                "{} datagram(s) while the data plane is away",
                self.unlogged
            );
            (self.logged, self.unlogged) = (Some(Instant::now()), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fallback;
    use sip_core::{ListenPoint, Settings};
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::net::UdpSocket;
    use tokio::time::timeout;

    fn message(method: &str, port: u16) -> String {
        format!(
            "{method} sip:bob@127.0.0.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKx;rport\r\n\
             From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
             Call-ID: 1@x\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n\r\n"
        )
    }

    fn settings(address: SocketAddr) -> Settings {
        Settings {
            listen: vec![ListenPoint::udp(address)],
            retry_after_seconds: 7,
            ..Settings::default()
        }
    }

    /// Asks until there is an answer.
    async fn ask(client: &UdpSocket, address: SocketAddr) -> String {
        let port = client.local_addr().unwrap().port();
        let mut answer = [0; 2048];
        for _ in 0..50 {
            // Never answered, so that the first answer is one to the request after them.
            client.send_to(message("ACK", port).as_bytes(), address).await.unwrap();
            let bye =
                message("BYE", port).replace("bob@example.com>\r\n", "bob@example.com>;tag=2\r\n");
            client.send_to(bye.as_bytes(), address).await.unwrap();
            client.send_to(message("INVITE", port).as_bytes(), address).await.unwrap();
            let received = timeout(Duration::from_millis(100), client.recv(&mut answer)).await;
            if let Ok(Ok(length)) = received {
                return String::from_utf8_lossy(&answer[..length]).into_owned();
            }
        }
        panic!("no answer");
    }

    async fn answers(listen: &str) {
        let free: SocketAddr = listen.parse().unwrap();
        let address = UdpSocket::bind(free).await.unwrap().local_addr().unwrap();
        let fallback = Fallback::start(&settings(address)).unwrap();
        let client = UdpSocket::bind(free).await.unwrap();
        let answer = ask(&client, address).await;
        assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
        assert!(answer.contains("\r\nRetry-After: 7\r\n"), "{answer}");
        assert!(answer.contains("\r\nCSeq: 1 INVITE\r\n"), "{answer}");
        fallback.stop().await;
        UdpSocket::bind(address).await.expect("the address is free again");
    }

    #[tokio::test]
    async fn a_data_plane_that_comes_takes_over_before_we_let_go() {
        let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let address = UdpSocket::bind(free).await.unwrap().local_addr().unwrap();
        let _fallback = Fallback::start(&settings(address)).unwrap();
        let client = UdpSocket::bind(free).await.unwrap();
        ask(&client, address).await;
        let dataplane = super::bind(address).expect("both may be there");
        client.send_to(b"to whom?", address).await.unwrap();
        let received = timeout(Duration::from_secs(5), dataplane.recv(&mut [0; 64])).await;
        assert_eq!(received.expect("the socket bound last receives").unwrap(), 8);
        drop(dataplane);
        assert!(ask(&client, address).await.starts_with("SIP/2.0 503 "));
    }

    #[tokio::test]
    async fn requests_get_503_over_ipv4() {
        answers("127.0.0.1:0").await;
    }

    #[tokio::test]
    async fn requests_get_503_over_ipv6() {
        answers("[::1]:0").await;
    }
}
