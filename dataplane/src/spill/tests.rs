use super::{Place, Spill, bucket_of};
use crate::limits::{
    BURST_MAX, SPILL_BUCKETS, SPILL_DEPTH, SPILL_PENDING_MAX, SPILL_RING, SPILL_SIBLINGS_MAX,
};
use std::sync::atomic::{AtomicU32, Ordering};

#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
const BURST: u32 = BURST_MAX as u32;
#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
const DEPTH: u32 = SPILL_DEPTH as u32;

/// A message: its call, and which one of that call it is.
type Message = (u32, u32);

fn ends(workers: usize) -> Vec<Spill<Message>> {
    let mut ends = Spill::for_workers(workers);
    for end in &mut ends {
        end.note_own(0);
    }
    ends
}

fn place(end: &mut Spill<Message>, (call, number): Message) -> Place {
    let place = end.place(&call.to_be_bytes());
    if let Place::Sibling(seat) = place {
        end.give(seat, (call, number));
    }
    place
}

fn is_given(end: &mut Spill<Message>, message: Message) -> bool {
    matches!(place(end, message), Place::Sibling(_))
}

#[test]
fn each_worker_gives_to_those_behind_it() {
    assert!(!Spill::<Message>::for_workers(1)[0].has_siblings());
    let siblings = |end: &Spill<Message>| end.given().map(|(sibling, _)| sibling).collect();
    let three: Vec<Vec<u8>> = ends(3).iter().map(siblings).collect();
    assert_eq!(three, [[1, 2], [2, 0], [0, 1]]);
    let many = ends(20);
    assert_eq!(siblings(&many[18]), [19, 0, 1, 2, 3, 4, 5][..SPILL_SIBLINGS_MAX]);
}

#[test]
fn nothing_is_given_without_need_or_without_a_sibling_that_has_time() {
    let [mut owner, mut sibling] = ends(2).try_into().unwrap();
    assert!(!owner.begin(false));
    assert!(owner.begin(true));
    for _ in 0..200 {
        sibling.note_own(BURST_MAX);
    }
    assert!(!owner.begin(true));
    for _ in 0..200 {
        sibling.note_own(0);
    }
    assert!(owner.begin(true));
}

#[test]
fn a_sibling_is_filled_up_to_a_depth_and_the_rest_stays() {
    let [mut owner, mut sibling] = ends(2).try_into().unwrap();
    let mut stayed = 0;
    for call in 0..10 * DEPTH {
        if call % BURST == 0 {
            owner.begin(true);
        }
        // Others of the same bucket follow it, so a little more may go.
        stayed += u32::from(place(&mut owner, (call, 0)) == Place::Here);
        if (call + 1) % BURST == 0 {
            owner.send(3);
        }
    }
    let given = owner.given().next().unwrap().1;
    assert!((u64::from(DEPTH)..u64::from(3 * DEPTH)).contains(&given), "{given}");
    assert_eq!(given + u64::from(stayed), u64::from(10 * DEPTH));
    let mut taken = 0;
    while let Some((source, batch)) = sibling.take() {
        assert_eq!((sibling.owner(source), batch.port), (0, 3));
        taken += batch.packets.len() as u64;
        sibling.finish(source, batch.packets.len());
    }
    assert_eq!((taken, sibling.taken()), (given, given));
    assert!(owner.begin(true));
}

#[test]
fn a_call_follows_its_last_message_and_then_goes_anywhere() {
    let [mut owner, mut sibling] = ends(2).try_into().unwrap();
    assert!(owner.begin(true));
    assert!(is_given(&mut owner, (1, 0)));
    owner.send(0);
    // There is no need any more, but the sibling has not done it.
    assert!(owner.begin(false));
    assert!(is_given(&mut owner, (1, 1)));
    assert_eq!(place(&mut owner, (2, 0)), Place::Here);
    owner.send(0);
    let (source, batch) = sibling.take().unwrap();
    assert_eq!(batch.packets[..], [(1, 0)]);
    sibling.finish(source, 1);
    assert!(owner.begin(false));
    assert!(is_given(&mut owner, (1, 2)));
    owner.send(0);
    while let Some((source, batch)) = sibling.take() {
        sibling.finish(source, batch.packets.len());
    }
    assert!(!owner.begin(false), "all is done");
    assert!(owner.begin(true));
    for call in 100..100 + DEPTH {
        place(&mut owner, (call, 0));
    }
    assert_eq!(place(&mut owner, (1, 3)), Place::Here, "it is free, and the sibling is full");
    assert_eq!(place(&mut owner, (1, 4)), Place::Here, "in the same burst it has not left yet");
}

#[test]
fn a_sibling_that_stands_still_gets_no_more_than_there_is_room_for() {
    let [mut owner, mut sibling] = ends(2).try_into().unwrap();
    let (mut given, mut refused) = (0, 0);
    for number in 0..100 * BURST {
        if number % BURST == 0 {
            owner.send(0);
            owner.begin(true);
        }
        match place(&mut owner, (1, number)) {
            Place::Sibling(_) => given += 1,
            Place::Nowhere => refused += 1,
            Place::Here => panic!("it would overtake the others"),
        }
    }
    assert_eq!((given, refused), (SPILL_PENDING_MAX, 100 * BURST_MAX - SPILL_PENDING_MAX));
    for _ in 0..10 * SPILL_RING {
        owner.begin(false);
        place(&mut owner, (2, 0));
        owner.send(0);
    }
    let mut next = 0;
    while let Some((_, batch)) = sibling.take() {
        for message in batch.packets {
            if message.0 == 1 {
                assert_eq!(message.1, next);
                next += 1;
            }
        }
    }
    assert_eq!(next as usize, given);
}

#[test]
fn call_ids_are_spread_over_the_buckets() {
    let mut filled = vec![0_u32; SPILL_BUCKETS];
    for call in 0..16 * SPILL_BUCKETS {
        filled[bucket_of(format!("{call:06}-4711@10.77.1.2:5060").as_bytes())] += 1;
    }
    let (least, most) = (filled.iter().min().unwrap(), filled.iter().max().unwrap());
    assert!(*least > 0 && *most < 48, "{least} to {most}");
}

/// Three threads that really run beside each other: who sees a message of a call sees it behind all earlier ones.
#[test]
fn threads_keep_the_order_of_each_call() {
    const CALLS: u32 = 40;
    const MESSAGES: u32 = 2_000;
    let next: Vec<AtomicU32> = (0..CALLS).map(|_| AtomicU32::new(0)).collect();
    // Relaxed on purpose: what orders the two is the word that says what is done.
    let leave = |(call, number): Message| {
        let seen = next[call as usize].load(Ordering::Relaxed);
        assert_eq!(seen, number, "call {call}");
        next[call as usize].store(number + 1, Ordering::Relaxed);
    };
    let [mut owner, first, second] = ends(3).try_into().unwrap();
    let total = CALLS * MESSAGES;
    let stop = AtomicU32::new(0);
    let here = std::thread::scope(|scope| {
        for mut sibling in [first, second] {
            let (leave, stop) = (&leave, &stop);
            scope.spawn(move || {
                loop {
                    let is_last = stop.load(Ordering::Acquire) == 1;
                    sibling.note_own(0);
                    while let Some((source, batch)) = sibling.take() {
                        let count = batch.packets.len();
                        batch.packets.into_iter().for_each(leave);
                        sibling.finish(source, count);
                    }
                    if is_last {
                        break;
                    }
                    std::thread::yield_now();
                }
            });
        }
        let (mut sent, mut here) = (0, 0);
        while sent < total {
            let must_place = owner.begin(true);
            let mut mine = vec![];
            for index in sent..total.min(sent + BURST) {
                let message = (index % CALLS, index / CALLS);
                let place = if must_place { place(&mut owner, message) } else { Place::Here };
                match place {
                    Place::Here => mine.push(message),
                    Place::Sibling(_) => {}
                    Place::Nowhere => panic!("there are fewer than fill a ring"),
                }
            }
            sent = total.min(sent + BURST);
            owner.send(0);
            here += mine.len() as u64;
            mine.into_iter().for_each(leave);
            let is_behind = |lane: &super::Lane<Message>| {
                lane.given - lane.done.read() > SPILL_PENDING_MAX as u64 / 2
            };
            while owner.lanes.iter().any(is_behind) {
                std::thread::yield_now();
            }
        }
        stop.store(1, Ordering::Release);
        here
    });
    let given: u64 = owner.given().map(|(_, given)| given).sum();
    assert_eq!(given + here, u64::from(total));
    assert!(given > 0);
    assert!(next.iter().all(|next| next.load(Ordering::Relaxed) == MESSAGES));
}
