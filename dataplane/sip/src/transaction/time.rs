//! Time as timers count it.

/// A point in time, in milliseconds; it wraps around after 49 days, so that two of them can be
/// compared when they lie less than 24 days apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tick(u32);

impl Tick {
    /// The tick of a time in milliseconds.
    #[expect(clippy::cast_possible_truncation, reason = "it wraps around")]
    pub(crate) const fn of_ms(ms: u64) -> Self {
        Self(ms as u32)
    }

    /// Milliseconds since some point in time, wrapped around.
    pub(crate) const fn count(self) -> u32 {
        self.0
    }

    /// This many milliseconds later.
    pub(crate) const fn plus(self, ms: u32) -> Self {
        Self(self.0.wrapping_add(ms))
    }

    /// The next tick that is a multiple of `ms`, a power of two; this one if it is.
    pub(crate) const fn rounded_up(self, ms: u32) -> Self {
        Self(self.0.wrapping_add(ms - 1) & !(ms - 1))
    }

    /// Milliseconds from `earlier` until this; negative when this comes first.
    pub(crate) const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// Whether this has come at `now`.
    pub(crate) const fn has_come(self, now: Self) -> bool {
        now.since(self) >= 0
    }

    /// The one that comes first.
    pub(crate) const fn sooner(self, other: Self) -> Self {
        if self.since(other) <= 0 { self } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::Tick;

    #[test]
    fn comparisons_hold_across_the_wrap() {
        let before = Tick::of_ms(u64::from(u32::MAX) - 10);
        let after = before.plus(20);
        assert_eq!(after, Tick::of_ms(u64::from(u32::MAX) + 10));
        assert_eq!(after.since(before), 20);
        assert_eq!(before.since(after), -20);
        assert!(before.has_come(after) && !after.has_come(before) && before.has_come(before));
        assert_eq!(after.sooner(before), before);
    }
}
