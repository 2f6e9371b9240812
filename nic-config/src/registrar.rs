//! How much memory a worker takes for credentials and for answers that wait, whatever the settings.

/// Nonces of digest authentication whose counts a worker knows.
pub const NONCES: u32 = 98_304;

/// Bytes of one, an upper bound. Control has a test that holds these against sip-core.
const NONCE_BYTES: u64 = 43;

/// Sources, and as many users, of whom a worker knows that they have failed lately.
pub const FAILURES: u32 = 16_384;

/// Bytes of one, an upper bound.
const FAILURE_BYTES: u64 = 32;

/// Bytes of answers to REGISTER of one worker that wait for the store: 16,000 of 500 bytes, which is what
/// comes in the 10 ms that a disk takes at 1,600,000 per second, or in a second at 16,000 per second.
pub const HELD_BYTES: u64 = 8 << 20;

/// Bytes of a user's credentials, an upper bound. All workers share one table.
pub const CREDENTIAL_BYTES: u64 = 80;

/// Memory of the nonces and failures of one worker, MiB.
pub const fn digest_mebibytes() -> u32 {
    mebibytes(NONCES as u64 * NONCE_BYTES + 2 * FAILURES as u64 * FAILURE_BYTES)
}

/// Memory of the answers of one worker that wait, MiB.
pub const fn held_mebibytes() -> u32 {
    mebibytes(HELD_BYTES)
}

#[expect(clippy::cast_possible_truncation, reason = "a few MiB")]
const fn mebibytes(bytes: u64) -> u32 {
    bytes.div_ceil(1 << 20) as u32
}
