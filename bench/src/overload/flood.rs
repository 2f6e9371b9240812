//! What somebody sends who wants us to fail: garbage and INVITEs, from one address, without listening.

use crate::network::SIP;
use anyhow::{Context, Result};
use core::net::SocketAddrV4;
use core::time::Duration;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::Instant;

/// Messages are sent at least this often, a bunch at a time.
const PAUSE: Duration = Duration::from_millis(1);
/// Most messages of a bunch, so that a flood that cannot keep its rate ends in time.
const BUNCH: u32 = 1_024;

/// A flood, as a process of its own in the generator's namespace.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where it comes from
    #[arg(long)]
    from: SocketAddrV4,
    /// Messages per second
    #[arg(long)]
    rate: f64,
    /// For how long
    #[arg(long)]
    seconds: f64,
}

/// Sends an INVITE and a datagram of garbage in turn.
///
/// # Errors
/// When there is no socket at that address.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let socket = UdpSocket::bind(arguments.from).context("the flood's socket")?;
    let (begin, length) = (Instant::now(), Duration::from_secs_f64(arguments.seconds));
    let garbage = [0xff_u8; 300];
    let mut sent = 0_u64;
    while begin.elapsed() < length {
        let due = begin.elapsed().as_secs_f64() * arguments.rate;
        for _ in 0..BUNCH {
            #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53")]
            let is_ahead = sent as f64 >= due;
            if is_ahead {
                break;
            }
            let invite = invite(arguments.from, sent);
            let message = if sent.is_multiple_of(2) { invite.as_bytes() } else { &garbage };
            // What finds no room is as good as lost on the way.
            let _ = socket.send_to(message, SIP);
            sent += 1;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(ExitCode::SUCCESS)
}

fn invite(from: SocketAddrV4, number: u64) -> String {
    format!(
        "INVITE sip:flood@{SIP} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-flood-{number}\r\n\
         From: <sip:flood@{from}>;tag={number}\r\nTo: <sip:flood@{SIP}>\r\nCall-ID: flood-{number}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:flood@{from}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}
