//! The table of cases: one line each.

use super::messages::Step::{self, Ack, Bye, Invite, Ok, Ringing, Trying};
use super::messages::{Arrived, Messages};
use super::{destinations, digest, ours, overload, peers, transaction, wheel};

/// Does the work of a case so many times.
pub(crate) type Work = Box<dyn FnMut(u64)>;

/// Iterations after which vectors have their size, lazy statics are there and caches are filled.
const WARM_UP: u64 = 64;

/// One thing to be measured.
pub(crate) struct Case {
    /// What the row is called.
    pub(crate) name: &'static str,
    /// Where it stands in the table.
    pub(crate) group: Group,
    /// The message it is about.
    step: Step,
    /// Prepares the work; what this does is not measured.
    prepare: fn(&Arrived) -> Work,
}

/// Parts of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Steps of the appliance.
    Ours,
    /// Published parsers on the same message.
    Peer,
    /// What a known piece of craft does with as many bytes.
    Mark,
}

/// All cases, in the order of the table.
pub(crate) const CASES: &[Case] = &[
    ours("decode_invite_600", Invite, ours::decode),
    ours("parse_invite_600", Invite, ours::parse),
    ours("parse_100", Trying, ours::parse),
    ours("parse_180", Ringing, ours::parse),
    ours("parse_200", Ok, ours::parse),
    ours("parse_ack", Ack, ours::parse),
    ours("parse_bye", Bye, ours::parse),
    ours("route_invite_600", Invite, ours::route),
    ours("route_invite_10_members", Invite, destinations::rendezvous),
    ours("route_invite_10_maglev", Invite, destinations::maglev),
    ours("route_invite_10_from_user", Invite, destinations::from_user),
    ours("route_invite_10_round_robin", Invite, destinations::round_robin),
    ours("route_invite_10_after_change", Invite, destinations::after_change),
    ours("route_invite_1000_rules", Invite, destinations::thousand_rules),
    ours("prefix_of_1000000", Invite, destinations::prefix),
    ours("route_200", Ok, ours::route),
    ours("route_bye", Bye, ours::route),
    ours("adjacency_hit", Invite, ours::adjacency_hit),
    ours("fib_lookup", Invite, ours::fib_lookup),
    ours("rewrite_invite_600", Invite, ours::rewrite),
    ours("rewrite_200", Ok, ours::rewrite),
    ours("rewrite_bye", Bye, ours::rewrite),
    ours("encode_invite_600", Invite, ours::encode),
    ours("forward_invite_600", Invite, ours::forward),
    ours("forward_100", Trying, ours::forward),
    ours("forward_180", Ringing, ours::forward),
    ours("forward_200", Ok, ours::forward),
    ours("forward_ack", Ack, ours::forward),
    ours("forward_bye", Bye, ours::forward),
    ours("transaction", Invite, transaction::whole_call),
    ours("wheel", Invite, wheel::arm_and_fire),
    ours("register_without_digest", Invite, digest::routed),
    ours("register_digest_md5", Invite, digest::md5),
    ours("register_digest_sha256", Invite, digest::sha256),
    ours("register_challenge", Invite, digest::challenge),
    ours("bucket_of_one_source", Invite, overload::one_source),
    ours("bucket_of_60000_sources", Invite, overload::many_sources),
    ours("bucket_banned", Invite, overload::banned),
    ours("shed_invite_600", Invite, overload::unanswered),
    ours("shed_invite_600_with_503", Invite, overload::answered),
    peer("peer_rsip_parse_invite_600", peers::rsip_parse),
    peer("peer_rsip_headers_invite_600", peers::rsip_headers),
    peer("peer_rsipstack_parse_invite_600", peers::rsipstack_parse),
    peer("peer_rsipstack_headers_invite_600", peers::rsipstack_headers),
    peer("peer_ezk_parse_invite_600", peers::ezk_parse),
    peer("peer_ezk_headers_invite_600", peers::ezk_headers),
    peer("peer_rvoip_parse_invite_600", peers::rvoip_parse),
    peer("peer_xylosip_parse_invite_600", peers::xylosip_parse),
    mark("mark_httparse_request_600", peers::httparse_request),
    mark("mark_memchr_lines_600", peers::memchr_lines),
];

const fn ours(name: &'static str, step: Step, prepare: fn(&Arrived) -> Work) -> Case {
    Case { name, group: Group::Ours, step, prepare }
}

const fn peer(name: &'static str, prepare: fn(&Arrived) -> Work) -> Case {
    Case { name, group: Group::Peer, step: Invite, prepare }
}

const fn mark(name: &'static str, prepare: fn(&Arrived) -> Work) -> Case {
    Case { name, group: Group::Mark, step: Invite, prepare }
}

impl Case {
    /// The work, warm.
    pub(super) fn work(&self, messages: &Messages) -> Work {
        let mut work = (self.prepare)(&messages.arrived(self.step));
        work(WARM_UP);
        work
    }
}

/// Makes a case's work of what one iteration does.
pub(super) fn repeat(mut act: impl FnMut() + 'static) -> Work {
    Box::new(move |iterations| {
        for _ in 0..iterations {
            act();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_works_and_ours_allocate_nothing_once_warm() {
        let messages = Messages::new();
        for case in CASES {
            let mut work = case.work(&messages);
            let allocations = allocation_counter::measure(|| work(1)).count_total;
            assert!(case.group != Group::Ours || allocations == 0, "{}: {allocations}", case.name);
        }
    }

    #[test]
    fn names_are_unique_snake_case_and_tell_the_group() {
        for (index, case) in CASES.iter().enumerate() {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            assert!(case.name.bytes().all(plain), "{}", case.name);
            assert!(CASES[..index].iter().all(|other| other.name != case.name), "{}", case.name);
            let group = match case.name.split('_').next() {
                Some("peer") => Group::Peer,
                Some("mark") => Group::Mark,
                _ => Group::Ours,
            };
            assert_eq!(case.group, group, "{}", case.name);
        }
    }
}
