use super::{Command, Errand, IcmpError, KernelSockets, Told};
use crate::mailbox::mailbox;
use crate::parcel::{Origin, WorkerParcels};
use crate::stats::Sent;
use control_api::UnreachableSign;
use core::net::SocketAddr;
use sip_core::quoted_branch;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(5);

/// Sockets on a free port of this host's, with one worker and a client.
async fn start(host: &str) -> (Rc<KernelSockets>, WorkerParcels, SocketAddr, UdpSocket) {
    let (worker, service) = mailbox();
    let sockets = KernelSockets::new(vec![service]);
    let free: SocketAddr = host.parse().unwrap();
    let address = UdpSocket::bind(free).await.unwrap().local_addr().unwrap();
    sockets.listen_on(&[address]);
    while sockets.status().sockets == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    (sockets, worker.parcels, address, UdpSocket::bind(free).await.unwrap())
}

async fn there_and_back(host: &str) {
    let (sockets, mut worker, address, client) = start(host).await;
    // More of them than there are parcels, so that these have to come home in between.
    for number in 0..100_u8 {
        let message = vec![number; 9_000];
        client.send_to(&message, address).await.unwrap();
        let arrives = async {
            loop {
                if let Some(parcel) = worker.next() {
                    return parcel;
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        let mut parcel = timeout(PATIENCE, arrives).await.expect("it arrives");
        assert_eq!((parcel.errand, parcel.message()), (Errand::Received, &message[..]));
        assert_eq!((parcel.source, parcel.target), (client.local_addr().unwrap(), address));

        (parcel.source, parcel.target) = (parcel.target, parcel.source);
        let origin = Origin { port: 2, sent: Sent::Replied };
        parcel.errand = Errand::Send(origin);
        worker.send(parcel);
        sockets.take_parcels(0);
        let parcel = worker.next().expect("word of it");
        assert_eq!(parcel.errand, Errand::Sent(origin, true));
        worker.send_home(parcel);
        sockets.take_parcels(0);
        let mut answer = vec![0; 10_000];
        let (length, from) = client.recv_from(&mut answer).await.unwrap();
        assert_eq!((&answer[..length], from), (&message[..], address));
    }
    let status = sockets.status();
    assert_eq!((status.received, status.sent, status.send_failed), (100, 100, 0));
}

#[tokio::test]
async fn large_messages_over_ipv4() {
    LocalSet::new().run_until(there_and_back("127.0.0.1:0")).await;
}

#[tokio::test]
async fn large_messages_over_ipv6() {
    LocalSet::new().run_until(there_and_back("[::1]:0")).await;
}

fn send(sockets: &KernelSockets, worker: &mut WorkerParcels, way: [SocketAddr; 2]) -> bool {
    let mut parcel = worker.take_free().expect("a parcel");
    assert!(parcel.fill(b"a message", b""));
    let origin = Origin { port: 0, sent: Sent::Forwarded };
    ([parcel.source, parcel.target], parcel.errand) = (way, Errand::Send(origin));
    worker.send(parcel);
    sockets.take_parcels(0);
    let parcel = worker.next().expect("word of it");
    let Errand::Sent(_, is_sent) = parcel.errand else { panic!("{:?}", parcel.errand) };
    worker.send_home(parcel);
    is_sent
}

#[tokio::test]
async fn an_error_about_one_host_costs_no_message_to_another() {
    let test = async {
        let (sockets, mut worker, address, client) = start("127.0.0.1:0").await;
        let open = client.local_addr().unwrap();
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for _ in 0..10 {
            assert!(send(&sockets, &mut worker, [address, closed]));
            assert!(send(&sockets, &mut worker, [address, open]));
            client.recv_from(&mut [0; 64]).await.unwrap();
        }
        sleep(Duration::from_millis(20)).await; // The last error is read by the socket's task.
        let told = sockets.take_unreachable();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].address, told[0].sign), (closed, UnreachableSign::Port));
        assert_eq!(sockets.status().unreachable, u64::from(told[0].reports));
        // Not one of ours, and the kernel has no socket there.
        assert!(!send(&sockets, &mut worker, [open, closed]));
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn what_belongs_to_another_worker_goes_there() {
    let (mut first, service) = mailbox();
    let (second, other) = mailbox();
    let sockets = KernelSockets::new(vec![service, other]);
    for owner in [1, 2] {
        let mut parcel = first.parcels.take_free().expect("a parcel");
        parcel.errand = Errand::HandOver(owner);
        first.parcels.send(parcel);
    }
    let before = sockets.free.borrow().len();
    sockets.take_parcels(0);
    assert_eq!(second.parcels.next().map(|parcel| parcel.errand), Some(Errand::HandedIn));
    assert!(second.parcels.next().is_none() && first.parcels.next().is_none());
    assert_eq!(sockets.free.borrow().len(), before + 1, "there is no third worker");
}

#[tokio::test]
async fn an_error_that_quotes_a_transaction_is_told_to_its_worker() {
    let test = async {
        let (_first, service) = mailbox();
        let (second, other) = mailbox();
        let sockets = KernelSockets::new(vec![service, other]);
        let host = SocketAddr::from(([192, 0, 2, 1], 5060));
        let place = format!("z9hG4bK-tl2{:02x}{:030x}", 1, 0);
        let quoted = quoted_branch(format!("OPTIONS Via;branch={place}\r\n").as_bytes());
        assert!(quoted.is_some());
        for (error, is_told) in [
            (IcmpError::TooBig(1_300), false),
            (IcmpError::Other, false),
            (IcmpError::Unreachable(UnreachableSign::Port), true),
        ] {
            sockets.take_error(Told { host, error, quoted });
            let told = matches!(second.next(), Some(Command::Unreachable(_)));
            assert_eq!(told, is_told, "{error:?}");
        }
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_listen_point_that_goes_is_free_again() {
    let test = async {
        let (sockets, _worker, address, _client) = start("127.0.0.1:0").await;
        sockets.listen_on(&[]);
        sleep(Duration::from_millis(20)).await;
        UdpSocket::bind(address).await.expect("free again");
    };
    LocalSet::new().run_until(test).await;
}
