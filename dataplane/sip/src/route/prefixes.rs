//! The longest of a million prefixes that a user part begins with.
//!
//! A number of up to 16 characters is one word: four bits for each, the first on top. All numbers
//! that begin with a prefix then lie between two words, and longer prefixes cut pieces out of
//! shorter ones, so that the table becomes a sorted list of words at which the answer changes:
//!
//! ```text
//!   4930 → a   493 → c   49301 → b        … │ 493 c │ 4930 a │ 49301 b │ 49302 a │ 4931 c │ 494 none
//! ```
//!
//! The last of them that is not above the number is the answer. It is searched in a static B+ tree
//! without pointers, in nodes of 16 words that are compared at once: a million prefixes make six
//! levels, of which the upper four stay in the cache of the core. Prefixes with other characters, or
//! longer ones, are few: they lie in a sorted list of their own.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::parse::uri::Scheme;

/// Words of a node.
const NODE: usize = 16;

/// Characters in a word.
const WORD_LENGTH: usize = 16;

/// What stands for "no prefix" among the targets.
const NONE: u16 = u16::MAX;

/// A node: words in ascending order, their top bit turned so that they compare as signed ones.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Node([i64; NODE]);

/// A table of prefixes, each with a target below [`u16::MAX`].
#[derive(Debug)]
pub(super) struct PrefixMap {
    /// All nodes, level by level from the root down.
    nodes: Box<[Node]>,
    /// Where the levels begin; the last one holds every word.
    levels: Box<[usize]>,
    /// What is right from each word of the last level on.
    targets: Box<[u16]>,
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
        let changes = changes(&numbers);
        let (nodes, levels) = tree(&changes);
        let mut targets: Vec<_> = changes.iter().map(|&(_, target)| target).collect();
        // A search may end behind the last word of a node that is not full.
        targets.resize(targets.len().next_multiple_of(NODE), NONE);
        let texts = Texts::build(texts)?;
        Ok(Self { nodes, levels, targets: targets.into(), texts, entries: count })
    }

    /// The target of the longest prefix of this user part.
    #[inline]
    pub(super) fn find(&self, scheme: Scheme, user: &[u8]) -> Option<u16> {
        let mut characters = UserBytes::new(scheme, user);
        let (mut word, mut shift) = (0, 64);
        let is_all_number = loop {
            let Some(byte) = characters.next() else { break true };
            let digit = DIGITS[usize::from(byte)];
            if digit == 0 || shift == 0 {
                break false;
            }
            shift -= 4;
            word |= u64::from(digit) << shift;
        };
        // A text prefix that fits is longer than what can be read as a number.
        if !is_all_number
            && !self.texts.list.is_empty()
            && let Some(target) = self.texts.find(scheme, user)
        {
            return Some(target);
        }
        Some(self.search(word)).filter(|&target| target != NONE)
    }

    /// How many prefixes there are.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.nodes)
            + size_of_val(&*self.targets)
            + size_of_val(&*self.texts.list)
            + self.texts.bytes.len()
    }

    /// The target of the last word that is not above `word`.
    #[inline]
    fn search(&self, word: u64) -> u16 {
        let word = ordered(word);
        let (mut child, mut node, mut rank) = (0, 0, 0);
        for &level in &self.levels {
            node = child;
            let Some(keys) = self.nodes.get(level + node) else { return NONE };
            rank = keys.0.iter().map(|&key| usize::from(key <= word)).sum();
            child = node * (NODE + 1) + rank;
        }
        self.targets.get((node * NODE + rank).wrapping_sub(1)).copied().unwrap_or(NONE)
    }
}

/// A prefix that fits one word.
struct Number<'a> {
    word: u64,
    prefix: &'a str,
    target: u16,
}

/// The four bits of each character that stands in numbers, 0 of any other.
static DIGITS: [u8; 256] = {
    let (mut table, mut at) = ([0; 256], 0);
    let order = b"0123456789+*#";
    while at < order.len() {
        table[order[at] as usize] = at as u8 + 1;
        at += 1;
    }
    table
};

/// The word of a prefix that fits one.
fn number(prefix: &str) -> Option<u64> {
    if prefix.len() > WORD_LENGTH {
        return None;
    }
    let digits = prefix.bytes().map(|byte| u64::from(DIGITS[usize::from(byte)]));
    let add = |(word, shift): (u64, u32), digit| match digit {
        0 => None,
        digit => Some((word | digit << (shift - 4), shift - 4)),
    };
    digits.into_iter().try_fold((0, 64), add).map(|(word, _)| word)
}

/// The words at which the answer changes, and the answer from there on.
fn changes(numbers: &[Number<'_>]) -> Vec<(u64, u16)> {
    let mut changes = Vec::with_capacity(2 * numbers.len() + 1);
    // The prefixes that hold here, each with the first word behind it; the longest last.
    let mut open: Vec<(u64, u16)> = vec![(u64::MAX, NONE)];
    changes.push((0, NONE));
    for number in numbers {
        close(&mut open, &mut changes, number.word);
        change(&mut changes, number.word, number.target);
        // No digit is 15, so that this cannot overflow but for the empty prefix.
        let width = 1_u64.checked_shl(64 - 4 * number.prefix.len() as u32).unwrap_or(0);
        open.push((number.word.checked_add(width).unwrap_or(u64::MAX), number.target));
    }
    close(&mut open, &mut changes, u64::MAX - 1);
    changes
}

/// Ends the prefixes that do not hold at `word` any more.
fn close(open: &mut Vec<(u64, u16)>, changes: &mut Vec<(u64, u16)>, word: u64) {
    while let [.., (_, outer), (end, _)] = open[..]
        && end <= word
    {
        open.pop();
        change(changes, end, outer);
    }
}

/// Adds a change, which may take the place of one at the same word.
fn change(changes: &mut Vec<(u64, u16)>, word: u64, target: u16) {
    if changes.last().is_some_and(|&(last, _)| last == word) {
        changes.pop();
    }
    if changes.last().is_none_or(|&(_, last)| last != target) {
        changes.push((word, target));
    }
}

/// The nodes over these words, level by level from the root, and where each level begins. The key i
/// of an upper node is the first word beneath its child i + 1.
fn tree(changes: &[(u64, u16)]) -> (Box<[Node]>, Box<[usize]>) {
    let fill = |key: &dyn Fn(usize) -> Option<u64>| {
        let mut node = Node([i64::MAX; NODE]);
        for (place, word) in node.0.iter_mut().zip((0..).map_while(key)) {
            *place = ordered(word);
        }
        node
    };
    let word = |at: usize| changes.get(at).map(|&(word, _)| word);
    let leaves = changes.len().div_ceil(NODE);
    let mut levels: Vec<Vec<Node>> =
        vec![(0..leaves).map(|leaf| fill(&|i| word(leaf * NODE + i))).collect()];
    // Words beneath one node of the level that was made last.
    let mut beneath = NODE;
    while let Some(last) = levels.last()
        && last.len() > 1
    {
        let count = last.len().div_ceil(NODE + 1);
        let first = |child: usize| word(child * beneath);
        levels.push((0..count).map(|at| fill(&|i| first(at * (NODE + 1) + i + 1))).collect());
        beneath *= NODE + 1;
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
    fn build<'a>(mut entries: Vec<(&'a str, u16)>) -> Result<Self, Twice<'a>> {
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
