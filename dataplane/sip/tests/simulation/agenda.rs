//! Virtual time: what happens when.

/// Milliseconds ahead that can be planned; a power of two.
const HORIZON_MS: u64 = 1 << 19;

/// What is planned, one list for each millisecond; within one, first come first served.
pub(crate) struct Agenda<T> {
    lists: Vec<Vec<T>>,
    planned: usize,
    now_ms: u64,
    /// What of the list of this millisecond is still to be done, the next one last.
    today: Vec<T>,
}

impl<T> Agenda<T> {
    /// An empty one, at the beginning of time.
    pub(crate) fn new() -> Self {
        let lists = (0..HORIZON_MS).map(|_| Vec::new()).collect();
        Self { lists, planned: 0, now_ms: 0, today: Vec::new() }
    }

    /// The present.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Plans something, so many milliseconds from now.
    pub(crate) fn plan(&mut self, after_ms: u64, what: T) {
        assert!(after_ms < HORIZON_MS - 1, "{after_ms} ms are too far ahead");
        // What is planned for now comes behind all that was.
        let at = self.now_ms + after_ms.max(1);
        self.list(at).push(what);
        self.planned += 1;
    }

    /// What comes next, at its time.
    pub(crate) fn next(&mut self) -> Option<T> {
        while self.today.is_empty() {
            if self.planned == 0 {
                return None;
            }
            self.now_ms += 1;
            let now_ms = self.now_ms;
            self.today = std::mem::take(self.list(now_ms));
            self.today.reverse();
        }
        self.planned -= 1;
        self.today.pop()
    }

    fn list(&mut self, at_ms: u64) -> &mut Vec<T> {
        let index = usize::try_from(at_ms % HORIZON_MS).unwrap_or(0);
        &mut self.lists[index]
    }
}
