//! The registrar beside a naive model of it: random REGISTERs, time that goes by, changes that go to a store,
//! and new processes that load what that has.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use sip_core::{
    Action, Arrival, Choices, Headers, ListenId, ListenPoint, Located, Location, LocationSizes,
    Message, Output, Registered, RequestRoute, Rule, Settings, Tables, Targets, begin_route, parse,
    record, route_request,
};

const USERS: usize = 5;
const CONTACTS: usize = 4;
const LIMIT: u8 = 3;
const UNIX_MS: u64 = 1_800_000_000_000;

#[derive(Clone, Debug)]
enum Step {
    /// User, Call-ID, steps of CSeq, and the time in seconds of each Contact.
    Register(usize, u8, u32, Vec<(usize, u32)>),
    RemoveAll(usize, u8, u32),
    /// Milliseconds.
    Wait(u64),
    Drain,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let contact = (0..CONTACTS, prop_oneof![Just(0_u32), Just(30), 60..400_u32]);
    let contacts = prop::collection::btree_map(0..CONTACTS, contact, 1..3)
        .prop_map(|map| map.into_iter().map(|(index, (_, time))| (index, time)).collect());
    prop_oneof![
        8 => (0..USERS, 0..2_u8, 0..3_u32, contacts)
            .prop_map(|(user, call, cseq, contacts)| Step::Register(user, call, cseq, contacts)),
        1 => (0..USERS, 0..2_u8, 0..3_u32)
            .prop_map(|(user, call, cseq)| Step::RemoveAll(user, call, cseq)),
        2 => (1..200_000_u64).prop_map(Step::Wait),
        2 => Just(Step::Drain),
        1 => Just(Step::Restart),
    ]
}

/// What the model knows of a binding.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound {
    call: u8,
    cseq: u32,
    ends_ms: u64,
}

type Bindings = BTreeMap<usize, Bound>;

struct World {
    location: Location,
    tables: Tables,
    out: Output,
    now_ms: u64,
    model: HashMap<usize, Bindings>,
    cseqs: HashMap<(usize, u8), u32>,
    /// The store: the last record of each AoR.
    store: HashMap<String, Vec<u8>>,
}

impl World {
    fn new() -> Self {
        let mut settings = Settings {
            domains: vec!["example.com".into()],
            listen: vec![ListenPoint::udp("10.0.0.1:5060".parse().unwrap())],
            rules: vec![Rule::always(Action::Register), Rule::always(Action::Locate)],
            ..Settings::default()
        };
        settings.registrar.contacts_per_aor = LIMIT;
        let mut world = Self {
            location: Location::new(SIZES, 0, 1, [1; 16]),
            tables: Tables::build(&settings).unwrap(),
            out: Output::new(),
            now_ms: 1,
            model: HashMap::new(),
            cseqs: HashMap::new(),
            store: HashMap::new(),
        };
        world.location.set_ready();
        world.wait(0);
        world
    }

    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.location.set_time(self.now_ms, UNIX_MS + self.now_ms);
        while self.location.expire(16, &self.tables) {}
        let now_ms = self.now_ms;
        for bindings in self.model.values_mut() {
            bindings.retain(|_, bound| bound.ends_ms > now_ms);
        }
    }

    fn drain(&mut self) {
        let mut batch = Vec::with_capacity(65_536);
        self.location.drain(&mut batch, &self.tables);
        assert!(!self.location.has_changes());
        for record in record::records(&batch).map(Result::unwrap) {
            if record.is_deletion() {
                self.store.remove(record.aor());
            } else {
                self.store.insert(record.aor().to_owned(), record.bytes().to_vec());
            }
        }
    }

    /// Another process with another key, after the store has all.
    fn restart(&mut self) {
        self.drain();
        self.location = Location::new(SIZES, 0, 1, [2; 16]);
        self.location.set_time(self.now_ms, UNIX_MS + self.now_ms);
        for record in self.store.values() {
            let counts = self.location.load(record, &self.tables).unwrap();
            assert_eq!((counts.refused, counts.foreign), (0, 0));
        }
        self.location.set_ready();
    }

    fn send(&mut self, user: usize, call: u8, cseq: u32, lines: &str) -> (Registered, u16) {
        let message = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{cseq}\r\n\
             From: <sip:u{user}@example.com>;tag=1\r\nTo: <sip:u{user}@example.com>\r\n\
             Call-ID: {user}-{call}\r\nCSeq: {cseq} REGISTER\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        let mut headers = Headers::default();
        let Ok(Message::Request(request)) = parse(message.as_bytes(), &mut headers) else {
            panic!("{message}")
        };
        let mut route = RequestRoute::default();
        begin_route(&request, &mut route).unwrap();
        let arrival = Arrival { source: "192.0.2.7:5060".parse().unwrap(), listen: ListenId(0) };
        let Self { location, tables, out, .. } = self;
        let registered = location.register(&request, &route, tables, &arrival, None, out);
        let status = std::str::from_utf8(&out.bytes()[8..11]).unwrap().parse().unwrap();
        (registered, status)
    }

    fn next_cseq(&mut self, user: usize, call: u8, steps: u32) -> u32 {
        let cseq = self.cseqs.entry((user, call)).or_insert(1);
        *cseq += steps;
        *cseq
    }

    fn register(&mut self, user: usize, call: u8, steps: u32, contacts: &[(usize, u32)]) {
        let cseq = self.next_cseq(user, call, steps);
        let line = |&(contact, time): &(usize, u32)| {
            format!("Contact: <sip:c{contact}@192.0.2.7>;expires={time}\r\n")
        };
        let lines: String = contacts.iter().map(line).collect();
        let (registered, status) = self.send(user, call, cseq, &lines);
        let expected = self.model_register(user, call, cseq, contacts);
        assert_eq!(status, expected, "{user} {call} {cseq} {contacts:?}");
        assert_eq!(matches!(registered, Registered::Changed(_)), status == 200);
    }

    /// RFC 3261 section 10.3 step 7: all or nothing.
    fn model_register(
        &mut self,
        user: usize,
        call: u8,
        cseq: u32,
        contacts: &[(usize, u32)],
    ) -> u16 {
        let before = self.model.entry(user).or_default();
        let mut after = before.clone();
        let mut has_new = false;
        for &(contact, time) in contacts {
            if time != 0 && time < 60 {
                return 423;
            }
            let bound = before.get(&contact);
            if let Some(bound) = bound.filter(|bound| bound.call == call && cseq <= bound.cseq) {
                if cseq == bound.cseq && time != 0 {
                    continue;
                }
                return 500;
            }
            if time == 0 {
                after.remove(&contact);
            } else {
                let ends_ms = self.now_ms + u64::from(time) * 1_000;
                after.insert(contact, Bound { call, cseq, ends_ms });
                has_new |= bound.is_none();
            }
        }
        if has_new && after.len() > LIMIT.into() {
            return 403;
        }
        *before = after;
        200
    }

    fn remove_all(&mut self, user: usize, call: u8, steps: u32) {
        let cseq = self.next_cseq(user, call, steps);
        let (_, status) = self.send(user, call, cseq, "Contact: *\r\nExpires: 0\r\n");
        let bindings = self.model.entry(user).or_default();
        if bindings.values().any(|bound| bound.call == call && cseq <= bound.cseq) {
            assert_eq!(status, 500);
        } else {
            assert_eq!(status, 200);
            bindings.clear();
        }
    }

    /// All that can be asked is as the model has it.
    fn check(&mut self) {
        for user in 0..USERS {
            let bindings = self.model.get(&user).cloned().unwrap_or_default();
            let (_, status) = self.send(user, 9, 1, "");
            assert_eq!(status, 200);
            let answer = String::from_utf8(self.out.bytes().to_vec()).unwrap();
            assert_eq!(answer.matches("Contact:").count(), bindings.len(), "{answer}");
            for (contact, bound) in &bindings {
                let left_s = (bound.ends_ms - self.now_ms).div_ceil(1_000);
                let line = format!("Contact: <sip:c{contact}@192.0.2.7>;expires={left_s}\r\n");
                assert!(answer.contains(&line), "{line}{answer}");
            }
            self.check_located(user, bindings.len());
        }
        let bindings: usize = self.model.values().map(BTreeMap::len).sum();
        let counts = self.location.counts();
        // Timers are up to a quarter of a second late.
        assert!(counts.bindings >= bindings as u64 && counts.aors <= USERS as u64, "{counts:?}");
    }

    fn check_located(&mut self, user: usize, bindings: usize) {
        let message = format!(
            "INVITE sip:u{user}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
             From: <sip:x@example.com>;tag=1\r\nTo: <sip:u{user}@example.com>\r\n\
             Call-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        let mut headers = Headers::default();
        let Ok(Message::Request(request)) = parse(message.as_bytes(), &mut headers) else {
            panic!("{message}")
        };
        let arrival = Arrival { source: "192.0.2.9:5060".parse().unwrap(), listen: ListenId(0) };
        let (mut choices, mut route) = (Choices::default(), RequestRoute::default());
        route_request(&request, &self.tables, &arrival, &mut choices, &mut route).unwrap();
        let uri = route.located().unwrap();
        let mut targets = Targets::new();
        let located = self.location.locate(&request, &uri, &self.tables, &mut targets);
        let expected = if bindings == 0 { Located::NotRegistered } else { Located::Found };
        assert_eq!((located, targets.len()), (expected, bindings));
    }
}

const SIZES: LocationSizes = LocationSizes { aors: 8, bindings: 16, text_blocks: 64 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn it_does_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Register(user, call, cseq, contacts) => {
                    world.register(user, call, cseq, &contacts);
                }
                Step::RemoveAll(user, call, cseq) => world.remove_all(user, call, cseq),
                Step::Wait(ms) => world.wait(ms),
                Step::Drain => world.drain(),
                Step::Restart => world.restart(),
            }
            world.check();
        }
        world.wait(600_000);
        world.drain();
        prop_assert!(world.store.is_empty());
        let counts = world.location.counts();
        prop_assert_eq!((counts.aors, counts.bindings, counts.text_blocks_used), (0, 0, 0));
    }
}
