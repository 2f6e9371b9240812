use super::*;

/// A port in memory, whose driver can be made to misbehave.
struct Port {
    state: InPort,
    /// Refuses this part.
    refuses: Option<Part>,
    /// Takes each table and keeps entry 0 on queue 0.
    is_deaf: bool,
    writes: usize,
}

impl Port {
    fn new() -> Self {
        let key = Some(RssKey::microsoft(40).unwrap());
        let reta = Reta::in_turn(128, 4).unwrap();
        let state = InPort { key, reta, fields: Some(Fields::default()) };
        Self { state, refuses: None, is_deaf: false, writes: 0 }
    }
}

impl RssPort for Port {
    fn queues(&self) -> u16 {
        4
    }

    fn read(&self) -> io::Result<InPort> {
        Ok(self.state.clone())
    }

    fn write(&mut self, before: &InPort, wanted: &InPort) -> Result<(), WriteError> {
        self.writes += 1;
        assert_eq!(before, &self.state);
        let refused = |part| WriteError { part, error: io::Error::from_raw_os_error(22) };
        if before.key != wanted.key {
            if self.refuses == Some(Part::Key) {
                return Err(refused(Part::Key));
            }
            self.state.key.clone_from(&wanted.key);
        }
        if before.reta != wanted.reta {
            if self.refuses == Some(Part::Reta) {
                return Err(refused(Part::Reta));
            }
            let mut entries = wanted.reta.entries().to_vec();
            if self.is_deaf {
                entries[0] = 0;
            }
            self.state.reta = Reta::new(entries).unwrap();
        }
        Ok(())
    }
}

fn change() -> Change {
    let key = Some(RssKey::symmetric(0x6d5a, 40).unwrap());
    let reta = Some(Reta::new([3, 2, 1, 0].into_iter().cycle().take(128).collect()).unwrap());
    Change { key, reta, fields: None }
}

#[test]
fn a_change_is_written_and_read_back() {
    let mut port = Port::new();
    let before = port.state.clone();
    let applied = apply(&mut port, &change()).unwrap();
    assert_eq!((&applied.before, &applied.after), (&before, &port.state));
    assert_eq!(port.state.key, change().key);
    assert_eq!(Some(&port.state.reta), change().reta.as_ref());
    // What was before can be had back in the same way.
    let undo = Change { key: applied.before.key, reta: Some(applied.before.reta), fields: None };
    assert_eq!(apply(&mut port, &undo).unwrap().entries_changed(), 128);
    assert_eq!(port.state, Port::new().state);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let mut port = Port::new();
    let long = Change { key: Some(RssKey::microsoft(52).unwrap()), ..Change::default() };
    let large = Change { reta: Some(Reta::in_turn(512, 4).unwrap()), ..Change::default() };
    let far = Change { reta: Some(Reta::in_turn(128, 5).unwrap()), ..Change::default() };
    for (change, wanted) in [
        (Change::default(), "neither a key nor a table"),
        (long, "the key has 52 bytes; this port takes 40"),
        (large, "the table has 512 entries; this port has 128"),
        (far, "entry 4 of the table names queue 4, but there are queues 0 to 3"),
    ] {
        let error = apply(&mut port, &change).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    port.state.key = None;
    let error = apply(&mut port, &change()).unwrap_err().to_string();
    assert!(error.contains("keeps its key to itself"), "{error}");
    assert_eq!(port.writes, 0);
}

#[test]
fn after_a_refusal_the_port_is_as_it_was() {
    // The key is written first: it has to be taken back when the table is refused.
    for (part, wanted) in [(Part::Key, "refused the key"), (Part::Reta, "refused the table")] {
        let mut port = Port { refuses: Some(part), ..Port::new() };
        let error = apply(&mut port, &change()).unwrap_err().to_string();
        assert!(error.contains(wanted) && error.ends_with("the port is as it was"), "{error}");
        assert_eq!(port.state, Port::new().state);
    }
}

#[test]
fn a_driver_that_says_yes_and_does_something_else_is_found_out() {
    let mut port = Port { is_deaf: true, ..Port::new() };
    let error = apply(&mut port, &change()).unwrap_err().to_string();
    assert!(error.contains("took the table and shows another one"), "{error}");
    assert!(error.ends_with("the port is as it was"), "{error}");
    assert_eq!(port.state, Port::new().state);
}
