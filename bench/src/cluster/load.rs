//! Load that goes on by itself.

/// What goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Registrations a second.
    pub(super) registers: f64,
    /// Calls a second.
    pub(super) calls: f64,
    /// How long a call is up, in milliseconds.
    pub(super) hold: u64,
    /// Whether callers probe first-stage nodes.
    pub(super) probes: bool,
}

/// What is due of it.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) rates: Rates,
    is_on: bool,
    /// Operations that are due, in parts.
    due: [f64; 2],
    last: u64,
}

impl Load {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates, is_on: false, due: [0.0; 2], last: 0 }
    }

    /// Begins or ends it, at this time in milliseconds.
    pub(super) fn set(&mut self, is_on: bool, now: u64) {
        (self.is_on, self.last) = (is_on, now);
    }

    /// Registrations and calls that are to begin now.
    pub(super) fn due(&mut self, now: u64) -> [u32; 2] {
        if !self.is_on {
            return [0, 0];
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
        let elapsed = (now - self.last) as f64 / 1e3;
        self.last = now;
        let rates = [self.rates.registers, self.rates.calls];
        let mut begun = [0, 0];
        for ((due, rate), begun) in self.due.iter_mut().zip(rates).zip(&mut begun) {
            *due += rate * elapsed;
            while *due >= 1.0 {
                *due -= 1.0;
                *begun += 1;
            }
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use super::{Load, Rates};

    #[test]
    fn parts_of_operations_add_up() {
        let mut load = Load::new(Rates { registers: 1.0, calls: 250.0, hold: 0, probes: false });
        assert_eq!(load.due(5_000), [0, 0]);
        load.set(true, 5_000);
        let all: Vec<_> = (1..=1_000).map(|ms| load.due(5_000 + ms)).collect();
        let sum = |kind: usize| all.iter().map(|due| due[kind]).sum::<u32>();
        assert!((0..=1).contains(&sum(0)) && (249..=250).contains(&sum(1)));
    }
}
