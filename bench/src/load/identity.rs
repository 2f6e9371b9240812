//! Which call a message belongs to: 24 hexadecimal digits that stand in its Call-ID, branch and tags.

use super::reader::ID_LEN;

/// A call's place in the generator, for ever different from any other call's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Index of the call's record.
    pub(crate) slot: u32,
    /// How often that record has been used before.
    pub(crate) generation: u32,
    /// This run of the generator: messages of an earlier one are told apart.
    pub(crate) run: u32,
}

impl Identity {
    /// Its digits.
    pub(crate) fn digits(self) -> [u8; ID_LEN] {
        let mut digits = [0; ID_LEN];
        for (eight, number) in
            digits.chunks_exact_mut(8).zip([self.slot, self.generation, self.run])
        {
            for (place, digit) in eight.iter_mut().rev().enumerate() {
                *digit = b"0123456789abcdef"[(number >> (4 * place)) as usize & 15];
            }
        }
        digits
    }

    /// The identity that a text begins with.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let digits = text.get(..ID_LEN)?;
        let number = |eight: &[u8]| {
            eight.iter().try_fold(0, |sum: u32, digit| {
                char::from(*digit).to_digit(16).map(|value| sum << 4 | value)
            })
        };
        Some(Self {
            slot: number(&digits[..8])?,
            generation: number(&digits[8..16])?,
            run: number(&digits[16..])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Identity;

    #[test]
    fn digits_are_read_back() {
        let identity = Identity { slot: 0x1234, generation: u32::MAX, run: 0xdead_beef };
        assert_eq!(&identity.digits(), b"00001234ffffffffdeadbeef");
        assert_eq!(Identity::read(b"00001234ffffffffdeadbeef@x"), Some(identity));
        assert_eq!(Identity::read(b"00001234fffffffgdeadbeef@x"), None);
        assert_eq!(Identity::read(b"0"), None);
    }
}
