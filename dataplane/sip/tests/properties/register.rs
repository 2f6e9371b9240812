//! A registrar takes any REGISTER: it answers, and what it then has can be stored and loaded.

use std::cell::RefCell;
use std::sync::LazyLock;

use super::Appliance;
use sip_core::{
    Action, Headers, Location, LocationSizes, Message, Method, Output, Registered, RequestRoute,
    Rule, begin_route, parse, record,
};

const SIZES: LocationSizes = LocationSizes { aors: 32, bindings: 64, text_blocks: 1_024 };

static HOME: LazyLock<Appliance> =
    LazyLock::new(|| Appliance::new(vec![Rule::always(Action::Register)], *b"0123456789abcdef"));

thread_local! {
    static WORKER: RefCell<(Location, Output)> =
        RefCell::new((ready(1), Output::new()));
}

fn ready(key: u8) -> Location {
    let mut location = Location::new(SIZES, 0, 1, [key; 16]);
    location.set_time(1_000, 1_800_000_000_000);
    location.set_ready();
    location
}

/// Checks the property for one datagram.
pub fn check(datagram: &[u8]) {
    let _ = record::records(datagram)
        .filter_map(Result::ok)
        .map(|one| one.bindings().count())
        .sum::<usize>();
    let mut headers = Headers::default();
    let Ok(Message::Request(request)) = parse(datagram, &mut headers) else { return };
    let mut route = RequestRoute::default();
    if request.method() != Method::Register || begin_route(&request, &mut route).is_err() {
        return;
    }
    for arrival in &HOME.arrivals {
        WORKER.with_borrow_mut(|(location, out)| {
            let registered = location.register(&request, &route, &HOME.tables, arrival, None, out);
            if !matches!(registered, Registered::Drop(_)) {
                let mut headers = Headers::default();
                let parsed = parse(out.bytes(), &mut headers);
                assert!(matches!(parsed, Ok(Message::Response(_))), "{parsed:?}");
            }
            store_and_load(location);
        });
    }
}

fn store_and_load(location: &mut Location) {
    let mut batch = Vec::with_capacity(1 << 16);
    location.drain(&mut batch, &HOME.tables);
    assert!(!location.has_changes());
    let mut next = ready(2);
    let counts = next.load(&batch, &HOME.tables).unwrap();
    assert_eq!((counts.refused, counts.foreign), (0, 0));
    let mut again = Vec::with_capacity(1 << 16);
    next.drain(&mut again, &HOME.tables);
    assert!(again.is_empty(), "what is loaded is no change");
    if location.counts().aors > 20 {
        *location = ready(1);
    }
}
