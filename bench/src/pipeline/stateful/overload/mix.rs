//! The order in which messages of several streams arrive when nothing but their numbers is known: evenly mixed.

/// Gives the number of a stream for each message, so that at any time as even a part of each has come as can be.
#[derive(Debug)]
pub(super) struct Mix<const N: usize> {
    counts: [i64; N],
    /// By how much each stream is behind its share, times the total.
    behind: [i64; N],
    left: i64,
}

impl<const N: usize> Mix<N> {
    /// So many messages of each stream.
    #[expect(clippy::cast_possible_wrap, reason = "messages of some microseconds")]
    pub(super) fn new(counts: [usize; N]) -> Self {
        let counts = counts.map(|count| count as i64);
        Self { counts, behind: [0; N], left: counts.iter().sum() }
    }
}

impl<const N: usize> Iterator for Mix<N> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let total: i64 = self.counts.iter().sum();
        self.left = self.left.checked_sub(1).filter(|left| *left >= 0)?;
        for (behind, count) in self.behind.iter_mut().zip(self.counts) {
            *behind += count;
        }
        let at = (0..N).max_by_key(|&at| self.behind[at])?;
        self.behind[at] -= total;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::Mix;

    #[test]
    fn all_come_and_evenly() {
        assert_eq!(Mix::new([2, 4, 0]).collect::<Vec<_>>(), [1, 0, 1, 1, 0, 1]);
        for counts in [[1, 0, 0], [7, 300, 12], [0, 0, 0]] {
            let mut came = [0; 3];
            for at in Mix::new(counts) {
                came[at] += 1;
            }
            assert_eq!(came, counts);
        }
    }
}
