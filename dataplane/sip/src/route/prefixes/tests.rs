use std::prelude::v1::*;

use proptest::prelude::*;

use super::*;

fn naive(entries: &[(String, u16)], user: &str) -> Option<u16> {
    let fits = entries.iter().filter(|(prefix, _)| user.starts_with(prefix.as_str()));
    fits.max_by_key(|(prefix, _)| prefix.len()).map(|&(_, target)| target)
}

fn map(entries: &[(String, u16)]) -> PrefixMap {
    PrefixMap::build(entries.iter().map(|(prefix, target)| (prefix.as_str(), *target))).unwrap()
}

proptest! {
    #[test]
    fn finds_what_a_walk_over_all_finds(
        entries in prop::collection::btree_map("[0-3+#]{1,5}|[0-2]{14,18}|[0-2a]{1,4}", 0..3_u16, 0..400),
        users in prop::collection::vec("[0-3+#]{0,7}|[0-2]{13,20}|[0-2a]{0,6}", 100),
    ) {
        let entries: Vec<_> = entries.into_iter().collect();
        let map = map(&entries);
        for user in &users {
            prop_assert_eq!(map.find(Scheme::Sip, user.as_bytes()), naive(&entries, user), "{}", user);
        }
    }
}

#[test]
fn numbers_and_texts_in_every_spelling() {
    let entries = [("+49", 1), ("+4930", 2), ("+49a", 3), ("123456789012345678", 4), ("sos", 5)];
    let map = map(&entries.map(|(prefix, target)| (prefix.to_string(), target)));
    let find = |scheme, user: &str| map.find(scheme, user.as_bytes());
    assert_eq!(find(Scheme::Sip, "+493"), Some(1));
    assert_eq!(find(Scheme::Sip, "%2b4%3930"), Some(2));
    assert_eq!(find(Scheme::Tel, "+49-(3)0.1"), Some(2));
    assert_eq!(find(Scheme::Sip, "+49-30"), Some(1));
    assert_eq!(find(Scheme::Sip, "+49ab"), Some(3));
    assert_eq!(find(Scheme::Sip, "1234567890123456789"), Some(4));
    assert_eq!(find(Scheme::Sip, "12345678901234567"), None);
    assert_eq!(find(Scheme::Sip, "sos.fire"), Some(5));
    assert_eq!(find(Scheme::Sip, "+48"), None);
    assert_eq!(find(Scheme::Sip, ""), None);
    assert_eq!(find(Scheme::Sip, "%4"), None);
}

#[test]
fn nothing_and_what_stands_twice() {
    let none = PrefixMap::build([].into_iter()).unwrap();
    assert_eq!(none.find(Scheme::Sip, b"49"), None);
    let twice = |prefix| PrefixMap::build([(prefix, 1), ("5", 1), (prefix, 2)].into_iter());
    assert_eq!(twice("49").unwrap_err(), Twice("49"));
    assert_eq!(twice("ab").unwrap_err(), Twice("ab"));
}
