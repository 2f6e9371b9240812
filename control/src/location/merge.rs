//! What is restored together with what is stored: a phone that registered after the backup was taken keeps
//! its binding.

use sip_core::limits::CONTACTS_MAX;
use sip_core::record::{BindingView, Record, records, write};

/// Appends the record of an AoR with the bindings of both to `out`. Of two states of one binding the one that ends
/// later counts, and of too many bindings those that end last: as the workers do it.
pub(super) fn merge(stored: &[u8], restored: &Record<'_>, out: &mut Vec<u8>) {
    let mut all: Vec<BindingView<'_>> = restored.bindings().collect();
    if let Some(Ok(stored)) = records(stored).next() {
        for binding in stored.bindings() {
            match all.iter_mut().find(|one| is_same(one, &binding)) {
                Some(one) if one.expires_unix_ms <= binding.expires_unix_ms => *one = binding,
                Some(_) => {}
                None => all.push(binding),
            }
        }
    }
    all.sort_by_key(|binding| std::cmp::Reverse(binding.expires_unix_ms));
    all.truncate(CONTACTS_MAX);
    if write(restored.aor(), &all, out).is_err() {
        out.extend_from_slice(restored.bytes());
    }
}

/// Whether both are states of one binding: of one flow (RFC 5626 section 6), or of one Contact.
fn is_same(one: &BindingView<'_>, other: &BindingView<'_>) -> bool {
    if one.instance.is_empty() || one.reg_id == 0 {
        one.uri == other.uri
    } else {
        (one.instance, one.reg_id) == (other.instance, other.reg_id)
    }
}

#[cfg(test)]
mod tests {
    use super::merge;
    use crate::location::json::{AorLine, BindingLine, lines};
    use sip_core::record::records;

    fn binding(uri: &str, ends: u64, flow: u32) -> BindingLine {
        let instance = if flow == 0 { "" } else { "\"<urn:uuid:1>\"" };
        BindingLine { instance: instance.into(), reg_id: flow, ..BindingLine::plain(uri, ends) }
    }

    fn merged(stored: Vec<BindingLine>, restored: Vec<BindingLine>) -> Vec<(String, u64)> {
        let record = |bindings: Vec<BindingLine>| {
            let mut bytes = Vec::new();
            AorLine { aor: "a@x".into(), bindings }.write(&mut bytes).unwrap();
            bytes
        };
        let (stored, restored) = (record(stored), record(restored));
        let mut out = Vec::new();
        merge(&stored, &records(&restored).next().unwrap().unwrap(), &mut out);
        let line = lines(&out).unwrap().remove(0);
        line.bindings.into_iter().map(|one| (one.uri, one.expires_unix_ms)).collect()
    }

    #[test]
    fn what_ends_later_counts() {
        let all = merged(
            vec![binding("sip:a@1", 90, 0), binding("sip:a@2", 10, 0), binding("sip:a@7", 60, 1)],
            vec![binding("sip:a@1", 50, 0), binding("sip:a@2", 40, 0), binding("sip:a@8", 70, 1)],
        );
        let all: Vec<_> = all.iter().map(|(uri, ends)| (uri.as_str(), *ends)).collect();
        assert_eq!(all, [("sip:a@1", 90), ("sip:a@8", 70), ("sip:a@2", 40)]);
    }

    #[test]
    fn there_are_never_too_many() {
        let of = |from: u64| (from..from + 10).map(|n| binding(&format!("sip:a@{n}"), n, 0));
        let all = merged(of(100).collect(), of(200).collect());
        assert_eq!(all.len(), 16);
        assert!(all.iter().all(|(_, ends)| *ends >= 104));
    }
}
