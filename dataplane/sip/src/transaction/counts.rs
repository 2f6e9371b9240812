//! What is counted of the transactions of one worker.

/// Gauges first, then counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionCounts {
    /// Transactions alive.
    pub alive: u64,
    /// Of these, not answered at all yet: requests other than INVITE.
    pub trying: u64,
    /// Answered by a provisional response at most.
    pub proceeding: u64,
    /// Answered; retransmissions of the request, or the ACK, may come.
    pub completed: u64,
    /// INVITE refused, and the ACK has come.
    pub confirmed: u64,
    /// INVITE answered with 2xx; others of these may come (RFC 6026).
    pub accepted: u64,
    /// Branches beyond the first of each transaction.
    pub branches: u64,
    /// Blocks of message buffers in use.
    pub buffers_used: u64,
    /// How late the timers are, in milliseconds.
    pub timer_lag_ms: u64,
    /// The latest that they have been.
    pub timer_lag_max_ms: u64,
    /// Transactions opened.
    pub opened: u64,
    /// Requests refused with 503, because the table or the buffers were full.
    pub refused_full: u64,
    /// Merged requests, refused with 482.
    pub merged: u64,
    /// Retransmitted requests, and ACKs, that went no further.
    pub requests_absorbed: u64,
    /// Responses that went no further: 100, retransmitted ones, those of other branches.
    pub responses_absorbed: u64,
    /// Messages that timers sent again.
    pub retransmitted: u64,
    /// Branches and servers that waited in vain.
    pub timed_out: u64,
    /// Branches to another destination, after one had failed or was silent.
    pub failed_over: u64,
    /// CANCELs sent.
    pub cancelled: u64,
    /// Messages that found no room in the outbox or in the buffers.
    pub outbox_full: u64,
}
