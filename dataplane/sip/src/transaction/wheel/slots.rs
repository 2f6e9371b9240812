//! Where the slots of the wheel are, and which of them have entries.

use super::super::time::Tick;

/// Levels, one for each digit of a tick.
pub(super) const LEVELS: u32 = 4;
/// Slots of all levels.
pub(super) const SLOTS: u32 = LEVELS << DIGIT_BITS;
const DIGIT_BITS: u32 = 8;
const DIGIT_MASK: u32 = (1 << DIGIT_BITS) - 1;

/// A slot of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    /// The slot of `level` that holds `tick`.
    pub(super) fn new(level: u32, tick: Tick) -> Self {
        Self(level << DIGIT_BITS | digit(tick, level))
    }

    /// Where an entry that is due then lies when the wheel's time is `time`: in the lowest level that it
    /// is less than one turn away in.
    pub(super) fn of(due: Tick, time: Tick) -> Self {
        let is_in_turn = |level: &u32| {
            let shift = level * DIGIT_BITS;
            let slots = (due.count() >> shift).wrapping_sub(time.count() >> shift);
            slots << shift >> shift <= DIGIT_MASK
        };
        Self::new((0..LEVELS).find(is_in_turn).unwrap_or(LEVELS - 1), due)
    }

    /// The slot with this index, if there is one.
    pub(super) fn at(index: u32) -> Option<Self> {
        (index < SLOTS).then_some(Self(index))
    }

    /// 0 to [`SLOTS`], level by level.
    pub(super) fn index(self) -> u32 {
        self.0
    }
}

fn digit(tick: Tick, level: u32) -> u32 {
    tick.count() >> (level * DIGIT_BITS) & DIGIT_MASK
}

/// A bit for each slot.
#[derive(Debug, Default)]
pub(super) struct Occupied([u64; LEVELS as usize * WORDS]);

/// Words of a level.
const WORDS: usize = 1 << DIGIT_BITS >> WORD_BITS;
const WORD_BITS: u32 = 6;

impl Occupied {
    #[inline]
    pub(super) fn has(&self, place: Place) -> bool {
        self.0[word(place)] & bit(place) != 0
    }

    #[inline]
    pub(super) fn set(&mut self, place: Place) {
        self.0[word(place)] |= bit(place);
    }

    #[inline]
    pub(super) fn clear(&mut self, place: Place) {
        self.0[word(place)] &= !bit(place);
    }

    /// The beginning of the first slot with entries after those that hold `time`, which have none.
    #[inline]
    pub(super) fn after(&self, time: Tick) -> Option<Tick> {
        let (levels, _) = self.0.as_chunks::<WORDS>();
        let mut next: Option<Tick> = None;
        for (level, words) in (0..).zip(levels) {
            // The slots of the level go round.
            let from = digit(time, level);
            if let Some(digit) = first(words, from + 1).or_else(|| first(words, 0)) {
                let start = later(time, level, digit.wrapping_sub(from) & DIGIT_MASK);
                next = Some(next.map_or(start, |next| next.sooner(start)));
            }
            // Above nothing begins before the next slot there.
            if next.is_some_and(|next| next.has_come(later(time, level + 1, 1))) {
                break;
            }
        }
        next
    }
}

/// Index of a slot's word; masked, so that it needs no check.
fn word(place: Place) -> usize {
    (place.index() >> WORD_BITS) as usize % (LEVELS as usize * WORDS)
}

/// The beginning of the slot that comes so many after that of `time` in `level`.
fn later(time: Tick, level: u32, slots: u32) -> Tick {
    let shift = level * DIGIT_BITS;
    Tick::of_ms(((u64::from(time.count()) >> shift) + u64::from(slots)) << shift)
}

fn bit(place: Place) -> u64 {
    1 << (place.index() & ((1 << WORD_BITS) - 1))
}

/// The first bit that is set, not before `from`.
fn first(words: &[u64; WORDS], from: u32) -> Option<u32> {
    let start = (from >> WORD_BITS) as usize;
    let words = (0u32..).zip(words).skip(start);
    let mut mask = u64::MAX << (from & ((1 << WORD_BITS) - 1));
    for (index, word) in words {
        let found = word & mask;
        if found != 0 {
            return Some(index << WORD_BITS | found.trailing_zeros());
        }
        mask = u64::MAX;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(count: u32) -> Tick {
        Tick::of_ms(u64::from(count))
    }

    #[test]
    fn an_entry_lies_in_the_lowest_level_that_it_is_less_than_a_turn_away_in() {
        let time = tick(0x12_f3);
        for (due, index) in [
            (0x12_f3, 0x0_f3),
            (0x13_f2, 0x0_f2),
            (0x13_f3, 0x1_13),
            (0x1_11_ff, 0x1_11),
            (0x1_12_00, 0x2_01),
            (0x1_00_00_00, 0x3_01),
        ] {
            assert_eq!(Place::of(tick(due), time).index(), index, "{due:x}");
        }
    }

    #[test]
    fn the_next_slot_is_found_in_each_level_and_across_the_wrap() {
        let time = tick(0xff_12_f3_40);
        let mut occupied = Occupied::default();
        assert_eq!(occupied.after(time), None);
        for (due, next) in [
            (0x01_00_00_05, 0x01_00_00_00),
            (0xff_20_00_07, 0xff_20_00_00),
            (0xff_13_05_09, 0xff_13_05_00),
            (0xff_12_f4_3f, 0xff_12_f4_3f),
            (0xff_12_f3_41, 0xff_12_f3_41),
        ] {
            let place = Place::of(tick(due), time);
            assert!(!occupied.has(place));
            occupied.set(place);
            assert!(occupied.has(place));
            assert_eq!(occupied.after(time), Some(tick(next)), "{due:x}");
        }
        occupied.clear(Place::of(tick(0xff_12_f3_41), time));
        assert_eq!(occupied.after(time), Some(tick(0xff_12_f4_3f)));
    }
}
