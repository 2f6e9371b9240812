//! How much memory the location of a worker takes: who is registered, and where.

use crate::settings::MemorySettings;

/// Bytes of a block in which the texts of bindings are kept: URIs, parameters, Path, instance.
pub const TEXT_BLOCK_BYTES: u64 = 64;

/// Its link to the next one.
const TEXT_BLOCK_LINK: u64 = 4;

/// Blocks for each binding when nothing is said: an address-of-record and a Contact of 200 bytes together
/// with its parameters, and some Path.
const TEXT_BLOCKS_EACH: u32 = 4;

/// Bytes of an address-of-record beside its texts, an upper bound: its record and its part of the index.
/// Control has a test that holds it against sip-core.
pub const AOR_BYTES: u64 = 112;

/// Bytes of a binding beside its texts, an upper bound: its record and its part of the timer wheel.
pub const BINDING_BYTES: u64 = 144;

/// What each worker has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocationCapacity {
    /// Addresses-of-record with a binding at one time.
    pub aors: u32,
    /// Bindings of all of them.
    pub bindings: u32,
    /// Blocks of [`TEXT_BLOCK_BYTES`] for their texts.
    pub text_blocks: u32,
}

impl LocationCapacity {
    /// What the settings say, or the default: five bindings for four addresses-of-record, four blocks for
    /// each binding.
    pub fn of(settings: &MemorySettings) -> Self {
        let aors = settings.aors;
        let bindings = settings.bindings.unwrap_or(aors.saturating_add(aors.div_ceil(4)));
        let blocks = bindings.saturating_mul(TEXT_BLOCKS_EACH);
        let text_blocks = settings.location_text_blocks.unwrap_or(blocks);
        Self { aors, bindings, text_blocks }
    }

    /// Memory of one worker's location, MiB.
    pub fn mebibytes(&self) -> u32 {
        let bytes = u64::from(self.aors) * AOR_BYTES
            + u64::from(self.bindings) * BINDING_BYTES
            + u64::from(self.text_blocks) * (TEXT_BLOCK_BYTES + TEXT_BLOCK_LINK);
        u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{LocationCapacity, MemorySettings};

    #[test]
    fn five_bindings_for_four_addresses_of_record() {
        let mut settings = MemorySettings::default();
        let LocationCapacity { aors, bindings, text_blocks } = LocationCapacity::of(&settings);
        assert_eq!((aors, bindings, text_blocks), (65_536, 81_920, 327_680));
        settings.bindings = Some(70_000);
        assert_eq!(LocationCapacity::of(&settings).text_blocks, 280_000);
        settings.location_text_blocks = Some(100_000);
        assert_eq!(LocationCapacity::of(&settings).text_blocks, 100_000);
        let none = LocationCapacity::of(&MemorySettings { aors: 0, ..MemorySettings::default() });
        assert_eq!((none, none.mebibytes()), (LocationCapacity::default(), 0));
    }
}
