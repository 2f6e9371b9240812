//! The protocols over the rings between cores, in every order in which two or three threads can take
//! their steps and with every stale value that the memory model allows (loom), up to a number of
//! preemptions. The protocols are the data plane's own code; the ring beneath is a model.

mod ring;

use dataplane::handoff::HandoffEnd;
use dataplane::mailbox::Post;
use dataplane::parcel::Shuttle;
use dataplane::ring::Ring;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use ring::ModelRing;
use std::sync::Arc;

/// Preemptions that are tried: of two or three, which loom advises, the larger number. (Musuvathi and others,
/// OSDI 2008, found most bugs with two.)
const PREEMPTIONS: usize = 3;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

fn ring(capacity: usize) -> Arc<ModelRing> {
    Arc::new(ModelRing::new(capacity))
}

/// Pushes as the service core does: until there is room.
fn push_patiently(ring: &ModelRing, item: usize) {
    while ring.push(item).is_err() {
        thread::yield_now();
    }
}

fn pop_patiently(ring: &ModelRing) -> usize {
    loop {
        if let Some(item) = ring.pop() {
            return item;
        }
        thread::yield_now();
    }
}

/// A ring is a queue: nothing is lost, nothing comes twice, order is kept, a full one gives back.
#[test]
fn a_ring_keeps_what_it_took_and_gives_back_what_it_did_not() {
    for capacity in [1, 2] {
        explore(move || {
            let ring = ring(capacity);
            let producer = thread::spawn({
                let ring = Arc::clone(&ring);
                move || (1..=3).filter(|item| ring.push(*item).is_ok()).collect::<Vec<_>>()
            });
            let mut popped: Vec<usize> = (0..2).filter_map(|_| ring.pop()).collect();
            let taken = producer.join().unwrap();
            popped.extend(std::iter::from_fn(|| ring.pop()));
            assert_eq!(popped, taken);
            assert!(taken.len() >= capacity);
        });
    }
}

/// Epochs go to a worker and come back when it uses them no more. Only the service core frees them, each
/// once, in their order; the worker never uses one that is freed, and there is always room for its answer.
#[test]
fn an_epoch_is_freed_by_the_service_core_once_the_worker_has_left_it() {
    const NEWEST: usize = 2;
    explore(|| {
        let (commands, events) = (ring(1), ring(1));
        let is_freed: Arc<[AtomicUsize; NEWEST + 1]> = Arc::default();
        let worker = thread::spawn({
            let post = Post::new(Arc::clone(&commands), Arc::clone(&events));
            let is_freed = Arc::clone(&is_freed);
            move || {
                let mut current = 0;
                while current != NEWEST {
                    match post.next() {
                        Some(epoch) => {
                            let retired = std::mem::replace(&mut current, epoch);
                            assert_eq!(post.send(retired), Ok(()), "room for the answer");
                        }
                        None => thread::yield_now(),
                    }
                    assert_eq!(is_freed[current].load(Relaxed), 0, "in use and freed");
                }
            }
        });
        let mut freed = vec![];
        let mut free = |epoch: usize| {
            assert_eq!(is_freed[epoch].load(Relaxed), 0, "freed twice");
            is_freed[epoch].store(1, Relaxed);
            freed.push(epoch);
        };
        for epoch in 1..=NEWEST {
            // As `Service::deliver`, beside which events are taken.
            while commands.push(epoch).is_err() {
                events.pop().into_iter().for_each(&mut free);
                thread::yield_now();
            }
        }
        while !is_freed_all(&is_freed[..NEWEST]) {
            free(pop_patiently(&events));
        }
        worker.join().unwrap();
        assert_eq!(events.pop(), None);
        assert_eq!(freed, [0, 1]);
    });
}

fn is_freed_all(flags: &[AtomicUsize]) -> bool {
    flags.iter().all(|flag| flag.load(Relaxed) == 1)
}

/// Parcels of both ends travel and come home, whatever the order.
#[test]
fn every_parcel_comes_home() {
    const OURS: usize = 10; // The worker's parcel; those of the service core are below.
    explore(|| {
        let (down, up) = (ring(2), ring(2));
        let service = thread::spawn({
            let (down, up) = (Arc::clone(&down), Arc::clone(&up));
            move || {
                push_patiently(&down, 1);
                let mut home = vec![];
                for _ in 0..2 {
                    match pop_patiently(&up) {
                        OURS => down.push(OURS).expect("the ring holds all parcels there are"),
                        parcel => home.push(parcel),
                    }
                }
                home
            }
        });
        let mut worker = Shuttle::new(down, up, vec![OURS]);
        let parcel = worker.take_free().expect("at home in the beginning");
        assert_eq!(worker.take_free(), None);
        worker.send(parcel);
        let mut taken = vec![];
        while taken.len() < 2 {
            match worker.next() {
                Some(parcel) => {
                    taken.push(parcel);
                    worker.send_home(parcel, parcel == OURS);
                }
                None => thread::yield_now(),
            }
        }
        taken.sort_unstable();
        assert_eq!(taken, [1, OURS]);
        assert_eq!(service.join().unwrap(), [1]);
        assert_eq!((worker.take_free(), worker.take_free()), (Some(OURS), None));
    });
}

/// Two workers hand over to a third: what was taken arrives once, in the order of its sender, and what was
/// not taken is given back to be counted.
#[test]
fn what_is_handed_over_arrives_or_comes_back() {
    explore(|| {
        let mut ends = HandoffEnd::over(3, || ModelRing::new(1));
        let mut owner = ends.pop().expect("three ends");
        let siblings: Vec<_> = ends
            .into_iter()
            .zip([[1, 2], [11, 12]])
            .map(|(end, messages)| {
                thread::spawn(move || {
                    let is_taken = |message: &usize| match end.send(2, *message) {
                        Ok(()) => true,
                        Err((back, _)) => {
                            assert_eq!(back, *message);
                            false
                        }
                    };
                    messages.into_iter().filter(is_taken).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut got: Vec<usize> = owner.take().into_iter().collect();
        let sent: Vec<usize> =
            siblings.into_iter().flat_map(|sibling| sibling.join().unwrap()).collect();
        got.extend(std::iter::from_fn(|| owner.take()));
        got.sort_by_key(|message| message / 10); // By sender; a stable sort keeps the order of each.
        assert_eq!(got, sent);
    });
}
