//! How much memory the transactions of a worker take.

use crate::settings::MemorySettings;

/// Bytes of a message buffer.
pub const BUFFER_BYTES: u64 = 256;

/// Its place in the stack of free ones.
const BUFFER_PLACE: u64 = 4;

/// Blocks for each transaction when nothing is said: a request of 600 bytes and a response of 400.
const BUFFERS_EACH: u32 = 4;

/// Bytes of a transaction beside its messages, an upper bound: its record, its part of the index, of
/// the timer wheel and of the further branches. Control has a test that holds it against sip-core.
pub const RECORD_BYTES: u64 = 384;

/// Transactions of each worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionCapacity {
    /// Transactions at one time.
    pub transactions: u32,
    /// Blocks of [`BUFFER_BYTES`] for their messages.
    pub message_buffers: u32,
}

impl TransactionCapacity {
    /// What the settings say, or the default.
    pub fn of(settings: &MemorySettings) -> Self {
        let transactions = settings.transactions;
        let by_default = transactions.saturating_mul(BUFFERS_EACH);
        Self { transactions, message_buffers: settings.message_buffers.unwrap_or(by_default) }
    }

    /// Memory of one worker's transactions, MiB.
    pub fn mebibytes(&self) -> u32 {
        let records = u64::from(self.transactions) * RECORD_BYTES;
        let buffers = u64::from(self.message_buffers) * (BUFFER_BYTES + BUFFER_PLACE);
        u32::try_from((records + buffers).div_ceil(1 << 20)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{MemorySettings, TransactionCapacity};

    #[test]
    fn four_buffers_for_each_transaction() {
        let mut settings = MemorySettings::default();
        let capacity = TransactionCapacity::of(&settings);
        assert_eq!((capacity.transactions, capacity.message_buffers), (65_536, 262_144));
        assert_eq!(capacity.mebibytes(), 89);
        settings.message_buffers = Some(65_536);
        assert_eq!(TransactionCapacity::of(&settings).mebibytes(), 41);
        settings.transactions = 0;
        settings.message_buffers = None;
        assert_eq!(TransactionCapacity::of(&settings).mebibytes(), 0);
    }
}
