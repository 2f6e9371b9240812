//! Prefix tables: up to millions of number prefixes and the destination set of each.

use alloc::string::String;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

/// A named table of user prefixes. Its texts lie in one piece, so that a million of them are sent,
/// compared and freed as quickly as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PrefixTable {
    /// The name that rules use.
    pub name: String,
    /// Names of the destination sets that entries point to.
    pub sets: Vec<String>,
    /// All prefixes, one behind the other.
    text: String,
    /// The length of each.
    lengths: Vec<u8>,
    /// Index in `sets` of each.
    targets: Vec<u16>,
}

impl PrefixTable {
    /// An empty table that points to these destination sets.
    pub fn new(name: impl Into<String>, sets: Vec<String>) -> Self {
        Self { name: name.into(), sets, ..Self::default() }
    }

    /// Adds a prefix of at most [`USER_PREFIX_MAX`](crate::limits::USER_PREFIX_MAX) bytes for the
    /// set of this index in `sets`; `false` when it is longer.
    pub fn push(&mut self, prefix: &str, set: u16) -> bool {
        if prefix.len() > crate::limits::USER_PREFIX_MAX {
            return false;
        }
        let Ok(length) = u8::try_from(prefix.len()) else { return false };
        self.text.push_str(prefix);
        self.lengths.push(length);
        self.targets.push(set);
        true
    }

    /// How many prefixes there are.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Feeds all entries to `hasher`.
    pub(crate) fn hash_entries(&self, hasher: &mut impl Hasher) {
        (&self.text, &self.lengths, &self.targets).hash(hasher);
    }

    /// The prefixes in the order in which they were added, each with the index of its set. What
    /// does not fit together, which only a stranger could have sent, ends them early.
    pub fn entries(&self) -> impl Iterator<Item = (&str, u16)> {
        let mut rest = self.text.as_str();
        self.lengths.iter().zip(&self.targets).map_while(move |(&length, &target)| {
            let (prefix, behind) = rest.split_at_checked(length.into())?;
            rest = behind;
            Some((prefix, target))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::PrefixTable;

    #[test]
    fn what_is_pushed_comes_out_in_order() {
        let mut table = PrefixTable::new("numbers", vec!["a".into(), "b".into()]);
        assert!(table.push("+49", 0) && table.push("", 1) && table.push("é1", 1));
        assert!(!table.push(&"1".repeat(129), 0));
        assert_eq!(table.entries().collect::<Vec<_>>(), [("+49", 0), ("", 1), ("é1", 1)]);
    }
}
