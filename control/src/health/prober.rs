//! One probe: OPTIONS to a member, from a kernel socket of its own. The socket is connected, so that
//! the kernel chooses the source address, lets nobody but the member answer, and reports ICMP errors.

use super::machine::Outcome;
use crate::limits::PROBE_ANSWER_MAX;
use sip_core::{Headers, Message, parse};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// T1 of RFC 3261 section 17.1.1.1: the first retransmission comes after it, so that one lost
/// datagram is no failure.
const T1: Duration = Duration::from_millis(500);
/// T2: the longest pause between retransmissions.
const T2: Duration = Duration::from_secs(4);

/// Asks the member at `address`, and waits until `timeout` for a final response.
pub(super) async fn ask(address: SocketAddr, timeout: Duration) -> Outcome {
    match exchange(address, timeout).await {
        Ok(outcome) => outcome,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Outcome::Refused("its port is closed (ICMP)".into())
        }
        Err(error) => Outcome::Refused(format!("cannot be reached: {error}")),
    }
}

async fn exchange(address: SocketAddr, timeout: Duration) -> io::Result<Outcome> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    let id: u128 = rand::random();
    let request = options(address, socket.local_addr()?, id);
    let call_id = format!("{id:032x}");
    let deadline = Instant::now() + timeout;
    let mut pause = T1;
    let mut answer = vec![0; PROBE_ANSWER_MAX];
    loop {
        socket.send(request.as_bytes()).await?;
        let again = (Instant::now() + pause).min(deadline);
        while let Ok(length) = timeout_at(again, socket.recv(&mut answer)).await {
            if let Some(code) = final_response(&answer[..length?], &call_id) {
                return Ok(Outcome::Answered(code));
            }
        }
        if again == deadline {
            return Ok(Outcome::TimedOut);
        }
        pause = (2 * pause).min(T2);
    }
}

/// The code of a final response to our request.
fn final_response(datagram: &[u8], call_id: &str) -> Option<u16> {
    match &parse(datagram, &mut Headers::default()) {
        Ok(Message::Response(response)) if response.call_id() == call_id.as_bytes() => {
            Some(response.status()).filter(|status| *status >= 200)
        }
        _ => None,
    }
}

/// RFC 3261 section 11.1. Max-Forwards 1: it is the member that must answer, not somebody behind it.
fn options(to: SocketAddr, from: SocketAddr, id: u128) -> String {
    format!(
        "OPTIONS sip:{to} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from};branch=z9hG4bK{id:032x};rport\r\n\
         Max-Forwards: 1\r\n\
         From: <sip:probe@{from}>;tag={tag:016x}\r\n\
         To: <sip:{to}>\r\n\
         Call-ID: {id:032x}\r\n\
         CSeq: 1 OPTIONS\r\n\
         Accept: application/sdp\r\n\
         User-Agent: Trunkline\r\n\
         Content-Length: 0\r\n\r\n",
        tag = id >> 64,
    )
}

#[cfg(test)]
mod tests {
    use super::{Outcome, ask};
    use sip_core::{Headers, Message, Method, parse};
    use std::time::Duration;
    use tokio::net::UdpSocket;

    const SHORT: Duration = Duration::from_millis(1_200);

    /// A member that answers the `nth` OPTIONS with these responses, one after the other.
    async fn member(nth: usize, statuses: &'static [&'static str]) -> std::net::SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut datagram = [0; 2048];
            for _ in 1..nth {
                socket.recv_from(&mut datagram).await.unwrap();
            }
            let (length, source) = socket.recv_from(&mut datagram).await.unwrap();
            let text = std::str::from_utf8(&datagram[..length]).unwrap().to_owned();
            let mut headers = Headers::default();
            let Ok(Message::Request(request)) = &parse(&datagram[..length], &mut headers) else {
                panic!("{text}")
            };
            assert_eq!(request.method(), Method::Options);
            let headers = text.split_once("\r\n").unwrap().1;
            for status in statuses {
                let answer = format!("SIP/2.0 {status}\r\n{headers}");
                socket.send_to(answer.as_bytes(), source).await.unwrap();
            }
            let stranger = text.replace("Call-ID: ", "Call-ID: x");
            let stranger = format!("SIP/2.0 500 No\r\n{}", stranger.split_once("\r\n").unwrap().1);
            socket.send_to(stranger.as_bytes(), source).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn a_final_response_is_the_answer() {
        let address = member(1, &["100 Trying", "404 Not Found"]).await;
        assert_eq!(ask(address, SHORT).await, Outcome::Answered(404));
    }

    #[tokio::test]
    async fn a_lost_datagram_is_sent_again() {
        let address = member(2, &["200 OK"]).await;
        assert_eq!(ask(address, SHORT).await, Outcome::Answered(200));
    }

    #[tokio::test]
    async fn silence_strangers_and_closed_ports() {
        let address = member(1, &["180 Ringing"]).await;
        let short = Duration::from_millis(100);
        assert_eq!(ask(address, short).await, Outcome::TimedOut);
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let outcome = ask(closed, SHORT).await;
        assert_eq!(outcome, Outcome::Refused("its port is closed (ICMP)".into()));
    }
}
