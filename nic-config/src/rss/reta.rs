//! The redirection table: the low bits of the hash choose an entry, the entry names a queue.

use std::fmt::{self, Display, Formatter};

use super::{QUEUES_MAX, RssError};

/// Entries of the tables of NICs.
pub const SIZES: [usize; 4] = [64, 128, 256, 512];
/// Entries of most NICs' tables.
pub const SIZE: usize = 128;
/// What `ethtool -x` writes into one line.
const IN_A_LINE: usize = 8;

/// A table of 64, 128, 256 or 512 entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reta(Vec<u16>);

impl Reta {
    /// A table of these queues.
    pub fn new(entries: Vec<u16>) -> Result<Self, RssError> {
        if !SIZES.contains(&entries.len()) {
            return Err(RssError::RetaSize(entries.len()));
        }
        Ok(Self(entries))
    }

    /// Queue 0, 1, 2 and so on in turn, as drivers begin.
    pub fn in_turn(size: usize, queues: u16) -> Result<Self, RssError> {
        if !(1..=QUEUES_MAX).contains(&queues) {
            return Err(RssError::Queues(queues.into()));
        }
        Self::new((0..queues).cycle().take(size).collect())
    }

    /// Reads queue numbers apart by blanks, commas or line ends, or what `ethtool -x` prints.
    pub fn parse(text: &str) -> Result<Self, RssError> {
        let is_ethtool = text.contains("indirection table");
        let mut entries = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let after_index = line.split_once(':').map(|(index, rest)| (index.trim(), rest));
            let has_index = |index: &str| index.bytes().all(|digit| digit.is_ascii_digit());
            let queues = match after_index {
                Some((index, rest)) if !index.is_empty() && has_index(index) && !is_key(line) => {
                    rest
                }
                _ if is_ethtool => continue,
                _ => line,
            };
            let words = queues.split(|c: char| c.is_whitespace() || "[,]".contains(c));
            for word in words.filter(|word| !word.is_empty()) {
                let wrong = |_| RssError::RetaText { line: number + 1, text: word.to_owned() };
                entries.push(word.parse().map_err(wrong)?);
            }
        }
        Self::new(entries)
    }

    /// Refuses a table that names queues beyond `queues`.
    pub fn check(&self, queues: u16) -> Result<(), RssError> {
        match self.0.iter().position(|queue| *queue >= queues) {
            Some(index) => Err(RssError::RetaQueue {
                index,
                queue: self.0[index].into(),
                last: queues.saturating_sub(1),
            }),
            None => Ok(()),
        }
    }

    /// Its entries.
    pub fn entries(&self) -> &[u16] {
        &self.0
    }

    /// One more than the highest queue of the table.
    pub fn queues(&self) -> u16 {
        self.0.iter().max().map_or(0, |queue| queue.saturating_add(1))
    }

    /// The entry that a hash chooses.
    pub fn index(&self, hash: u32) -> usize {
        // The sizes are powers of two.
        hash as usize & (self.0.len() - 1)
    }
}

/// `ethtool -x` writes the key on a line of its own; its first bytes may be decimal digits.
fn is_key(line: &str) -> bool {
    line.matches(':').count() > 1
}

impl Display for Reta {
    /// The lines of `ethtool -x`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (line, queues) in self.0.chunks(IN_A_LINE).enumerate() {
            write!(f, "{:5}: ", line * IN_A_LINE)?;
            for queue in queues {
                write!(f, " {queue:5}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_as_they_are_written() {
        let table = Reta::in_turn(64, 5).expect("a table");
        assert_eq!((table.entries()[6], table.queues(), table.index(0xffff_ff46)), (1, 5, 6));
        let lines = table.to_string();
        assert!(
            lines.starts_with("    0:      0     1     2     3     4     0     1     2\n    8: ")
        );
        assert_eq!(Reta::parse(&lines).as_ref(), Ok(&table));
        let ethtool = format!(
            "RX flow hash indirection table for eth1 with 5 RX ring(s):\n{lines}RSS hash key:\n12:5a:12\n\
             RSS hash function:\n    toeplitz: on\n    xor: off\n"
        );
        assert_eq!(Reta::parse(&ethtool).as_ref(), Ok(&table));
        let json = format!("{:?}", table.entries());
        assert_eq!(Reta::parse(&json).as_ref(), Ok(&table));
    }

    #[test]
    fn impossible_tables_are_refused() {
        let why = |result: Result<Reta, RssError>| result.expect_err("refused").to_string();
        assert!(why(Reta::parse("0 1 2")).contains("has 3 entries; write one of [64, 128"));
        assert!(why(Reta::parse("0 1\n2 x")).contains("line 2 of the table: \"x\""));
        assert!(why(Reta::parse("0 70000")).contains("\"70000\""));
        assert!(why(Reta::in_turn(128, 0)).contains("0 queues; write 1 to 512"));
        let table = Reta::in_turn(64, 5).expect("a table");
        let error = table.check(4).expect_err("queue 4 is too much").to_string();
        assert_eq!(error, "entry 4 of the table names queue 4, but there are queues 0 to 3");
    }
}
