//! The same server three times.

use crate::{ANSWER, REQUEST};
use anyhow::Result;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a server looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(10);
const READ_MAX: usize = 4_096;

/// epoll, edge-triggered, with one buffer for all; a short read has emptied a socket (epoll(7)).
pub fn mio(listener: TcpListener, stop: &AtomicBool) -> Result<()> {
    const LISTENER: Token = Token(usize::MAX);
    listener.set_nonblocking(true)?;
    let mut listener = mio::net::TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Slab<(mio::net::TcpStream, usize)> = Slab::new();
    let (mut events, mut buffer) = (Events::with_capacity(256), [0; READ_MAX]);
    while !stop.load(Ordering::Relaxed) {
        poll.poll(&mut events, Some(LOOK))?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let entry = connections.vacant_entry();
                    poll.registry().register(
                        &mut stream,
                        Token(entry.key()),
                        Interest::READABLE,
                    )?;
                    entry.insert((stream, 0));
                }
                continue;
            }
            let Some((stream, received)) = connections.get_mut(event.token().0) else { continue };
            let length = loop {
                match stream.read(&mut buffer) {
                    Ok(length) => {
                        *received += length;
                        for _ in 0..*received / REQUEST {
                            stream.write_all(&[b'y'; ANSWER])?;
                        }
                        *received %= REQUEST;
                        if length < READ_MAX {
                            break length;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break 1,
                    Err(_) => break 0,
                }
            };
            if length == 0 {
                connections.remove(event.token().0);
            }
        }
    }
    Ok(())
}

/// A task for each connection, on a runtime of one thread.
pub fn tokio(listener: TcpListener, stop: &AtomicBool) -> Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let accept = async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(async move {
                let mut request = [0; REQUEST];
                while stream.read_exact(&mut request).await.is_ok()
                    && stream.write_all(&[b'y'; ANSWER]).await.is_ok()
                {}
            });
        }
    };
    local.block_on(&runtime, async {
        let accepting: tokio::task::JoinHandle<std::io::Result<()>> =
            tokio::task::spawn_local(accept);
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
        accepting.abort();
    });
    Ok(())
}

/// The same over io_uring.
pub fn compio(listener: TcpListener, stop: &AtomicBool) -> Result<()> {
    use compio::BufResult;
    use compio::io::{AsyncReadExt, AsyncWriteExt};
    listener.set_nonblocking(true)?;
    compio::runtime::Runtime::new()?.block_on(async move {
        let listener = compio::net::TcpListener::from_std(listener)?;
        let accepting = compio::runtime::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                compio::runtime::spawn(async move {
                    let (mut request, mut answer) = (vec![0; REQUEST], vec![b'y'; ANSWER]);
                    loop {
                        let BufResult(read, buffer) = stream.read_exact(request).await;
                        request = buffer;
                        if read.is_err() {
                            break;
                        }
                        let BufResult(written, buffer) = stream.write_all(answer).await;
                        answer = buffer;
                        if written.is_err() {
                            break;
                        }
                    }
                })
                .detach();
            }
        });
        while !stop.load(Ordering::Relaxed) {
            compio::time::sleep(LOOK).await;
        }
        drop(accepting);
        Ok(())
    })
}
