//! The longest of a million prefixes that a user part begins with.
//!
//! A number of up to 16 characters is one word: four bits for each, the first on top. All numbers
//! that begin with a prefix then lie between two words, and longer prefixes cut pieces out of
//! shorter ones. So the table becomes a sorted list of words from which on an answer holds, as far
//! as the first digits stay the same:
//!
//! ```text
//!   4930 → a   493 → c   49301 → b
//!   493 c (3 digits) │ 4930 a (4) │ 49301 b (5) │ 49302 a (4) │ 4931 c (3)
//! ```
//!
//! The last word that is not above the number has the answer. It is searched in a static B+ tree
//! without pointers, in nodes that are compared at once: for a million prefixes, four levels of 16
//! words, which stay in the cache of the core, and one of leaves, which costs one access to memory.
//! A leaf keeps its words as 32-bit distances from the first, since they are close to each other.
//! Prefixes with other characters, or longer ones, are few: they lie in a sorted list of their own.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::parse::uri::Scheme;

/// Words of a node.
const NODE: usize = 16;

/// Words of a leaf: as many as fit two cache lines with what holds from them on.
const LEAF: usize = 16;

/// What stands for "no prefix" among the targets.
const NONE: u16 = u16::MAX;

/// A node: words in ascending order, their top bit turned so that they compare as signed ones.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Node([i64; NODE]);

/// Words as distances from `first`, which are shifted by `shift`, and what holds from each on for
/// numbers whose first digits are the same.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Leaf {
    first: u64,
    distances: [u32; LEAF],
    targets: [u16; LEAF],
    digits: [u8; LEAF],
    shift: u8,
}

/// From a word on an answer holds, for words with the same first digits.
#[derive(Clone, Copy, Debug)]
struct Change {
    word: u64,
    target: u16,
    /// How many digits: 1 to 16.
    digits: u8,
}

/// A table of prefixes, each with a target below [`u16::MAX`].
#[derive(Debug)]
pub(super) struct PrefixMap {
    /// All nodes above the leaves, level by level from the root down.
    nodes: Box<[Node]>,
    /// Where the levels begin.
    levels: Box<[usize]>,
    leaves: Box<[Leaf]>,
    texts: Texts,
    entries: usize,
}

/// A prefix that stands twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Twice<'a>(pub(super) &'a str);

impl PrefixMap {
    /// The table of these prefixes.
    pub(super) fn build<'a>(
        entries: impl Iterator<Item = (&'a str, u16)>,
    ) -> Result<Self, Twice<'a>> {
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        let mut count = 0;
        for (prefix, target) in entries {
            count += 1;
            match number(prefix) {
                Some(word) => numbers.push(Number { word, prefix, target }),
                None => texts.push((prefix, target)),
            }
        }
        numbers.sort_unstable_by_key(|number| (number.word, number.prefix.len()));
        let same = |pair: &&[Number<'a>]| pair[0].prefix == pair[1].prefix;
        if let Some(pair) = numbers.windows(2).find(same) {
            return Err(Twice(pair[0].prefix));
        }
        let leaves = leaves(&changes(&numbers));
        let (nodes, levels) = tree(&leaves);
        let texts = Texts::build(texts)?;
        Ok(Self { nodes, levels, leaves, texts, entries: count })
    }

    /// The target of the longest prefix of this user part.
    #[inline]
    pub(super) fn find(&self, scheme: Scheme, user: &[u8]) -> Option<u16> {
        let target = match word_of(user.iter().copied()) {
            (word, None) => self.search(word),
            (word, Some(_)) => self.find_unusual(scheme, user, word),
        };
        Some(target).filter(|&target| target != NONE)
    }

    /// As [`Self::find`], for a user part that is more than a word of digits, which is `word`.
    #[cold]
    fn find_unusual(&self, scheme: Scheme, user: &[u8], word: u64) -> u16 {
        let is_plain = scheme != Scheme::Tel && !user.contains(&b'%');
        let (word, rest) =
            if is_plain { (word, Some(0)) } else { word_of(UserBytes::new(scheme, user)) };
        // A text prefix that fits is longer than what can be read as a number.
        let text = if rest.is_some() { self.texts.find(scheme, user) } else { None };
        text.unwrap_or_else(|| self.search(word))
    }

    /// How many prefixes there are.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.nodes)
            + size_of_val(&*self.leaves)
            + size_of_val(&*self.texts.list)
            + self.texts.bytes.len()
    }

    /// The target of the last word that is not above `word`.
    #[inline]
    fn search(&self, word: u64) -> u16 {
        let key = ordered(word);
        let mut child = 0;
        for &level in &self.levels {
            let Some(node) = self.nodes.get(level + child) else { return NONE };
            let rank: usize = node.0.iter().map(|&other| usize::from(other <= key)).sum();
            child = child * (NODE + 1) + rank;
        }
        self.leaves.get(child).map_or(NONE, |leaf| leaf.search(word))
    }
}

impl Leaf {
    /// A leaf of as many of these changes as fit, of which there is one, and how many those are.
    #[expect(clippy::cast_possible_truncation, reason = "a shift, and distances that fit")]
    fn fill(changes: &[Change]) -> (Self, usize) {
        let first = changes[0].word;
        let (distances, targets, digits) = ([u32::MAX; LEAF], [NONE; LEAF], [1; LEAF]);
        let mut leaf = Self { first, distances, targets, digits, shift: 0 };
        let mut count = changes.len().min(LEAF);
        // Distances end in zeros: prefixes are shorter than words.
        loop {
            let words = changes[..count].iter().map(|change| change.word - first);
            let (bits, last) =
                words.fold((0, 0), |(bits, _), distance| (bits | distance, distance));
            let shift = if bits == 0 { 0 } else { bits.trailing_zeros() };
            if last >> shift < u64::from(u32::MAX - 1) {
                leaf.shift = shift as u8;
                break;
            }
            count -= 1;
        }
        for (place, change) in changes[..count].iter().enumerate() {
            leaf.distances[place] = ((change.word - first) >> leaf.shift) as u32;
            leaf.targets[place] = change.target;
            leaf.digits[place] = change.digits;
        }
        (leaf, count)
    }

    /// The target of the last word that is not above `word`, if it holds so far.
    #[inline]
    fn search(&self, word: u64) -> u16 {
        let shift = self.shift & 63;
        let distance = word.saturating_sub(self.first) >> shift;
        let distance = u32::try_from(distance).unwrap_or(u32::MAX).min(u32::MAX - 1);
        let rank: usize = self.distances.iter().map(|&other| usize::from(other <= distance)).sum();
        // The first distance is 0, so that the rank is 1 at least.
        let at = rank.wrapping_sub(1) % LEAF;
        let begin = self.first + (u64::from(self.distances[at]) << shift);
        let differ = (word ^ begin) >> ((64 - 4 * u32::from(self.digits[at])) & 63);
        if differ == 0 { self.targets[at] } else { NONE }
    }
}

/// A prefix that fits one word.
struct Number<'a> {
    word: u64,
    prefix: &'a str,
    target: u16,
}

/// The four bits of each character that stands in numbers, 0 of any other.
#[expect(clippy::cast_possible_truncation, reason = "13 digits")]
static DIGITS: [u8; 256] = {
    let (mut table, mut at) = ([0; 256], 0);
    let order = b"0123456789+*#";
    while at < order.len() {
        at += 1;
        table[order[at - 1] as usize] = at as u8;
    }
    table
};

/// The word of the digits that `characters` begin with, and the first character that is not in it.
#[inline]
fn word_of(characters: impl Iterator<Item = u8>) -> (u64, Option<u8>) {
    let (mut word, mut shift) = (0, 64);
    for byte in characters {
        let digit = DIGITS[usize::from(byte)];
        if digit == 0 || shift == 0 {
            return (word, Some(byte));
        }
        shift -= 4;
        word |= u64::from(digit) << shift;
    }
    (word, None)
}

/// The word of a prefix that fits one.
fn number(prefix: &str) -> Option<u64> {
    match word_of(prefix.bytes()) {
        (word, None) => Some(word),
        (_, Some(_)) => None,
    }
}

/// The words from which on an answer holds, in ascending order.
fn changes(numbers: &[Number<'_>]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::with_capacity(numbers.len() * 5 / 4);
    // The prefixes that hold here, each with the first word behind it; the longest last.
    let mut open: Vec<(u64, Change)> = Vec::new();
    for number in numbers {
        close(&mut open, &mut changes, number.word);
        let digits = u8::try_from(number.prefix.len()).unwrap_or(u8::MAX);
        let change = Change { word: number.word, target: number.target, digits };
        push(&mut changes, change);
        // No digit is 15, so that nothing lies behind the last word.
        let width = 1_u64.checked_shl(64 - 4 * u32::from(digits)).unwrap_or(0);
        open.push((number.word.saturating_add(width), change));
    }
    close(&mut open, &mut changes, u64::MAX);
    changes
}

/// Ends the prefixes that do not hold at `word` any more: what they were cut out of holds again.
fn close(open: &mut Vec<(u64, Change)>, changes: &mut Vec<Change>, word: u64) {
    while let Some((end, _)) = open.pop_if(|(end, _)| *end <= word) {
        if let Some((outer_end, outer)) = open.last()
            && end < *outer_end
        {
            push(changes, Change { word: end, ..*outer });
        }
    }
}

/// Adds a change, which may take the place of one at the same word.
fn push(changes: &mut Vec<Change>, change: Change) {
    changes.pop_if(|last| last.word == change.word);
    changes.push(change);
}

/// The leaves that hold these changes.
fn leaves(mut changes: &[Change]) -> Box<[Leaf]> {
    let mut leaves = Vec::with_capacity(changes.len() / LEAF + 1);
    while !changes.is_empty() {
        let (leaf, count) = Leaf::fill(changes);
        leaves.push(leaf);
        changes = &changes[count..];
    }
    leaves.into()
}

/// The nodes over these leaves, level by level from the root, and where each level begins. The key i
/// of a node is the first word beneath its child i + 1.
fn tree(leaves: &[Leaf]) -> (Box<[Node]>, Box<[usize]>) {
    let mut levels: Vec<Vec<Node>> = Vec::new();
    let (mut children, mut leaves_beneath) = (leaves.len(), 1);
    while children > 1 {
        let first = |child: usize| leaves.get(child * leaves_beneath).map(|leaf| leaf.first);
        let node = |at: usize| {
            Node(core::array::from_fn(|i| first(at * (NODE + 1) + i + 1).map_or(i64::MAX, ordered)))
        };
        children = children.div_ceil(NODE + 1);
        levels.push((0..children).map(node).collect());
        leaves_beneath *= NODE + 1;
    }
    let (mut nodes, mut begins) = (Vec::new(), Vec::new());
    for level in levels.into_iter().rev() {
        begins.push(nodes.len());
        nodes.extend(level);
    }
    (nodes.into(), begins.into())
}

/// A word that compares as a signed one.
#[inline]
fn ordered(word: u64) -> i64 {
    (word ^ 1 << 63).cast_signed()
}

/// Prefixes that are no numbers, sorted.
#[derive(Debug, Default)]
struct Texts {
    list: Box<[Text]>,
    bytes: Box<[u8]>,
}

#[derive(Clone, Copy, Debug)]
struct Text {
    start: u32,
    length: u8,
    target: u16,
    /// The longest other one that this one begins with; itself when there is none.
    shorter: u32,
}

impl Texts {
    fn build(mut entries: Vec<(&str, u16)>) -> Result<Self, Twice<'_>> {
        entries.sort_unstable();
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Twice(pair[0].0));
        }
        let (mut list, mut bytes) = (Vec::<Text>::with_capacity(entries.len()), Vec::new());
        let mut open: Vec<(&str, u32)> = Vec::new();
        for ((prefix, target), index) in entries.into_iter().zip(0_u32..) {
            while open.pop_if(|(outer, _)| !prefix.starts_with(*outer)).is_some() {}
            let shorter = open.last().map_or(index, |&(_, outer)| outer);
            let start = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let length = u8::try_from(prefix.len()).unwrap_or(u8::MAX);
            list.push(Text { start, length, target, shorter });
            bytes.extend_from_slice(prefix.as_bytes());
            open.push((prefix, index));
        }
        Ok(Self { list: list.into(), bytes: bytes.into() })
    }

    #[cold]
    fn find(&self, scheme: Scheme, user: &[u8]) -> Option<u16> {
        let mut plain = [0; crate::limits::USER_PREFIX_MAX];
        let mut length = 0;
        for (place, byte) in plain.iter_mut().zip(UserBytes::new(scheme, user)) {
            *place = byte;
            length += 1;
        }
        let user = &plain[..length];
        let behind = self.list.partition_point(|text| self.bytes_of(*text) <= user);
        let mut at = behind.checked_sub(1)?;
        loop {
            let text = *self.list.get(at)?;
            if user.starts_with(self.bytes_of(text)) {
                return Some(text.target);
            }
            let shorter = text.shorter as usize;
            if shorter == at {
                return None;
            }
            at = shorter;
        }
    }

    fn bytes_of(&self, text: Text) -> &[u8] {
        let start = text.start as usize;
        self.bytes.get(start..start + usize::from(text.length)).unwrap_or_default()
    }
}

/// The characters of a user part as they compare: `%34` and `4` are the same (RFC 3261 section
/// 19.1.4), and a number is the same with and without its visual separators (RFC 3966 section 4). A
/// broken escape ends them.
pub(super) struct UserBytes<'a> {
    rest: &'a [u8],
    is_number: bool,
}

impl<'a> UserBytes<'a> {
    #[inline]
    pub(super) fn new(scheme: Scheme, user: &'a [u8]) -> Self {
        Self { rest: user, is_number: scheme == Scheme::Tel }
    }
}

impl Iterator for UserBytes<'_> {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'-' | b'.' | b'(' | b')' if self.is_number => {}
                b'%' => {
                    let (&[high, low], rest) = self.rest.split_first_chunk::<2>()?;
                    self.rest = rest;
                    return Some(nibble(high)? << 4 | nibble(low)?);
                }
                byte => return Some(byte),
            }
        }
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests;
