//! The Toeplitz hash by tables: for each byte of the input and each of its 256 values the XOR of
//! the windows of the key that its bits select. A flow then costs one look-up for each byte, and a
//! planner can try thousands of keys on thousands of flows.

use super::RssKey;
use super::fields::INPUT_BYTES_MAX;

/// The hash with one key.
pub struct Toeplitz {
    tables: Vec<[u32; 256]>,
}

impl Toeplitz {
    /// Tables for inputs of up to `input_bytes`, at most [`INPUT_BYTES_MAX`].
    pub fn new(key: &RssKey, input_bytes: usize) -> Self {
        let input_bytes = input_bytes.min(INPUT_BYTES_MAX);
        let tables = key.bytes().windows(5).take(input_bytes).map(table).collect();
        Self { tables }
    }

    /// The hash of `input`, of which no more bytes count than there are tables.
    pub fn hash(&self, input: &[u8]) -> u32 {
        let pairs = self.tables.iter().zip(input);
        pairs.fold(0, |hash, (table, byte)| hash ^ table[usize::from(*byte)])
    }
}

/// The table of one byte of the input, which meets these five bytes of the key.
fn table(key: &[u8]) -> [u32; 256] {
    let first = u32::from_be_bytes([key[0], key[1], key[2], key[3]]);
    // The leftmost bit of the byte selects the leftmost 32 bits of the key, the next one those that begin a bit later.
    let window = |bit: u32| match 7 - bit {
        0 => first,
        shift => first << shift | u32::from(key[4]) >> (8 - shift),
    };
    let mut table = [0; 256];
    for value in 1..256_usize {
        let lowest = value.trailing_zeros();
        table[value] = table[value & (value - 1)] ^ window(lowest);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rss::{Fields, Function, Spread, Tuple};
    use proptest::prelude::*;

    /// Microsoft, "Verifying the RSS Hash Calculation"; the same rows stand in the datasheet of the
    /// 82599 (7.1.2.8.3), from which DPDK's test of `rte_thash` has them: destination, source, hash of
    /// the addresses, hash with the ports.
    const VECTORS: [(&str, &str, u32, u32); 8] = [
        ("161.142.100.80:1766", "66.9.149.187:2794", 0x323e_8fc2, 0x51cc_c178),
        ("65.69.140.83:4739", "199.92.111.2:14230", 0xd718_262a, 0xc626_b0ea),
        ("12.22.207.184:38024", "24.19.198.95:12898", 0xd2d0_a5de, 0x5c2b_394a),
        ("209.142.163.6:2217", "38.27.205.30:48228", 0x8298_9176, 0xafc7_327f),
        ("202.188.127.2:1303", "153.39.163.191:44251", 0x5d18_09c5, 0x10e8_28a2),
        ("[3ffe:2501:200:3::1]:1766", "[3ffe:2501:200:1fff::7]:2794", 0x2cc1_8cd5, 0x4020_7d3d),
        ("[ff02::1]:4739", "[3ffe:501:8::260:97ff:fe40:efab]:14230", 0x0f0c_461c, 0xdde5_1bbf),
        (
            "[fe80::200:f8ff:fe21:67cf]:38024",
            "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251",
            0x4b61_e985,
            0x02d1_feef,
        ),
    ];

    #[test]
    fn published_vectors() {
        let key = RssKey::microsoft(40).expect("40 bytes");
        let addresses: Fields = "ipv4,ipv6".parse().expect("field sets");
        for (destination, source, of_addresses, with_ports) in VECTORS {
            let end = |text: &str| text.parse().expect("an address");
            let tuple = Tuple::new(end(source), end(destination)).expect("one family");
            let hash = |tuple, fields| Spread::hash_alone(&key, Function::Toeplitz, fields, &tuple);
            assert_eq!(hash(tuple, addresses), Some(of_addresses), "{tuple}");
            assert_eq!(hash(tuple, Fields::default()), Some(with_ports), "{tuple}");
            assert_eq!(hash(tuple.fragment(), Fields::default()), Some(of_addresses), "{tuple}");
        }
    }

    /// Bit by bit, as the definition says it.
    fn naive(key: &[u8], input: &[u8]) -> u32 {
        let bit = |bytes: &[u8], place: usize| u32::from(bytes[place / 8] >> (7 - place % 8) & 1);
        let window = |start| (start..start + 32).fold(0, |word, place| word << 1 | bit(key, place));
        let selected = (0..input.len() * 8).filter(|place| bit(input, *place) == 1);
        selected.fold(0, |hash, place| hash ^ window(place))
    }

    proptest! {
        #[test]
        fn tables_give_what_the_definition_gives(
            key in proptest::collection::vec(any::<u8>(), 40),
            input in proptest::collection::vec(any::<u8>(), 0..=36),
        ) {
            let toeplitz = Toeplitz::new(&RssKey::new(key.clone()).expect("40 bytes"), 36);
            prop_assert_eq!(toeplitz.hash(&input), naive(&key, &input));
        }
    }
}
