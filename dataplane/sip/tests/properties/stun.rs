//! STUN is answered with STUN of the same transaction, and nothing else is.

use sip_core::{Output, stun};

/// Checks the property for one datagram.
pub fn check(datagram: &[u8]) {
    let mut out = Output::new();
    for source in ["192.0.2.1:32853", "[2001:db8::1]:5060"] {
        if stun::answer(datagram, source.parse().unwrap(), &mut out).is_err() {
            continue;
        }
        let answer = out.bytes();
        assert!(stun::is_stun(datagram) && stun::is_stun(answer));
        assert_eq!(datagram[4..20], answer[4..20], "the same transaction");
        let length = u16::from_be_bytes([answer[2], answer[3]]);
        assert_eq!(usize::from(length) + 20, answer.len());
        assert!(matches!(answer[..2], [1, 1 | 0x11]), "a response");
        assert!(answer.len() <= 20 + 28 + 20 + 8, "short");
        // An answer has no answer.
        assert!(stun::answer(answer, source.parse().unwrap(), &mut Output::new()).is_err());
    }
}
