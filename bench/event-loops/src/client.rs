//! The other end: as many requests on their way as the window says, in turn over all connections.

use crate::{ANSWER, REQUEST};
use anyhow::{Result, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Answers that came, and in how many seconds.
pub fn run(
    server: SocketAddr,
    connections: usize,
    window: usize,
    time: Duration,
) -> Result<(u64, f64)> {
    let mut poll = Poll::new()?;
    let mut all = Vec::new();
    for index in 0..connections {
        let socket = std::net::TcpStream::connect(server)?;
        socket.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(socket);
        stream.set_nodelay(true)?;
        poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        all.push((stream, 0));
    }
    let (mut next, mut count, mut buffer) = (0, 0, [0; 4_096]);
    let mut send = |all: &mut Vec<(TcpStream, usize)>| -> Result<()> {
        ensure!(all[next].0.write(&[b'x'; REQUEST])? == REQUEST, "a socket with room took less");
        next = (next + 1) % connections;
        Ok(())
    };
    for _ in 0..window {
        send(&mut all)?;
    }
    let mut events = Events::with_capacity(256);
    let begin = Instant::now();
    while begin.elapsed() < time {
        poll.poll(&mut events, Some(Duration::from_millis(10)))?;
        for event in &events {
            let (stream, received) = &mut all[event.token().0];
            match stream.read(&mut buffer) {
                Ok(length) => *received += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            let answers = *received / ANSWER;
            *received %= ANSWER;
            count += answers as u64;
            for _ in 0..answers {
                send(&mut all)?;
            }
        }
    }
    Ok((count.max(1), begin.elapsed().as_secs_f64()))
}
