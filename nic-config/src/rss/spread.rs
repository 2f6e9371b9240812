//! Function, fields, key and table together: where a flow goes.

use super::fields::{INPUT_BYTES_MAX, Input};
use super::toeplitz::Toeplitz;
use super::{Fields, Function, Reta, RssKey, Tuple};

/// The queue of what a port does not hash.
pub const QUEUE_WITHOUT_HASH: u16 = 0;

/// RSS as a port does it.
pub struct Spread {
    function: Function,
    fields: Fields,
    toeplitz: Toeplitz,
    reta: Reta,
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The hash and the entry of the table that it chose; `None` for what the port does not hash.
    pub hashed: Option<(u32, usize)>,
    /// The receive queue.
    pub queue: u16,
}

impl Spread {
    /// A port with these settings.
    pub fn new(function: Function, fields: Fields, key: &RssKey, reta: Reta) -> Self {
        Self { function, fields, toeplitz: Toeplitz::new(key, INPUT_BYTES_MAX), reta }
    }

    /// The queue that a datagram of this flow reaches, and how.
    pub fn queue(&self, tuple: &Tuple) -> Place {
        let Some(input) = Input::of(tuple, self.fields, self.function) else {
            return Place { hashed: None, queue: QUEUE_WITHOUT_HASH };
        };
        let hash = hash(self.function, &self.toeplitz, input.bytes());
        let index = self.reta.index(hash);
        Place { hashed: Some((hash, index)), queue: self.reta.entries()[index] }
    }

    /// The hash of one flow, for which no table need be known.
    pub fn hash_alone(
        key: &RssKey,
        function: Function,
        fields: Fields,
        tuple: &Tuple,
    ) -> Option<u32> {
        let input = Input::of(tuple, fields, function)?;
        let toeplitz = Toeplitz::new(key, input.bytes().len());
        Some(hash(function, &toeplitz, input.bytes()))
    }
}

/// The hash of these bytes.
pub(super) fn hash(function: Function, toeplitz: &Toeplitz, input: &[u8]) -> u32 {
    match function {
        Function::Xor => input.iter().fold(0, |hash, byte| hash ^ u32::from(*byte)),
        _ => toeplitz.hash(input),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    fn tuple(source: &str, destination: &str) -> Tuple {
        let end = |text: &str| text.parse().expect("an address");
        Tuple::new(end(source), end(destination)).expect("one family")
    }

    #[test]
    fn a_flow_has_a_queue_and_what_is_not_hashed_has_the_first() {
        let key = RssKey::microsoft(40).expect("40 bytes");
        let reta = Reta::in_turn(128, 8).expect("a table");
        let fields = "ipv4-udp".parse().expect("field sets");
        let spread = Spread::new(Function::Toeplitz, fields, &key, reta.clone());
        let flow = tuple("66.9.149.187:2794", "161.142.100.80:1766");
        // 0x78 is 120, and 120 mod 8 is 0.
        let expected = Place { hashed: Some((0x51cc_c178, 0x78)), queue: 0 };
        assert_eq!(spread.queue(&flow), expected);
        assert_eq!(spread.queue(&flow.fragment()).hashed, None);
        let six = tuple("[2001:db8::1]:5060", "[2001:db8::2]:5060");
        assert_eq!(spread.queue(&six), Place { hashed: None, queue: QUEUE_WITHOUT_HASH });
        let xor = Spread::new(Function::Xor, Fields::default(), &key, reta);
        let flow = tuple("192.0.2.1:5060", "192.0.2.7:5080");
        assert_eq!(xor.queue(&flow).hashed, Some((0x1a, 0x1a)));
    }

    fn ends() -> impl Strategy<Value = Tuple> {
        let four = any::<(u32, u16, u32, u16)>().prop_map(|(a, b, c, d)| {
            let end = |ip, port| SocketAddr::from((Ipv4Addr::from_bits(ip), port));
            Tuple::new(end(a, b), end(c, d)).expect("one family")
        });
        let six = any::<(u128, u16, u128, u16)>().prop_map(|(a, b, c, d)| {
            let end = |ip, port| SocketAddr::from((Ipv6Addr::from_bits(ip), port));
            Tuple::new(end(a, b), end(c, d)).expect("one family")
        });
        prop_oneof![four, six]
    }

    proptest! {
        #[test]
        fn symmetric_keys_and_functions_know_no_direction(
            tuple in ends(),
            word in any::<u16>(),
            key in proptest::collection::vec(any::<u8>(), 40),
            is_fragment in any::<bool>(),
        ) {
            let tuple = if is_fragment { tuple.fragment() } else { tuple };
            let any_key = RssKey::new(key).expect("40 bytes");
            let repeated = RssKey::symmetric(word, 40).expect("40 bytes");
            let cases = [
                (Function::Toeplitz, &repeated),
                (Function::SymmetricSort, &any_key),
                (Function::SymmetricXor, &any_key),
                (Function::Xor, &any_key),
            ];
            for (function, key) in cases {
                let hash = |tuple| Spread::hash_alone(key, function, Fields::default(), tuple);
                prop_assert!(hash(&tuple).is_some());
                prop_assert_eq!(hash(&tuple), hash(&tuple.reversed()));
            }
        }
    }
}
