//! The states of members as they stand in the router's settings.

use super::monitor::Impaired;
use control_api::MemberStatus;
use control_api::operator::MemberState;
use sip_core::Settings;

/// Writes `impaired` into `settings`; all other members are up.
pub fn set_states(settings: &mut Settings, impaired: &[Impaired]) {
    for set in &mut settings.sets {
        for member in &mut set.members {
            let entry = impaired.iter().find(|i| i.address == member.address && i.set == set.name);
            member.state = to_sip(entry.map_or(MemberState::Up, |impaired| impaired.state));
        }
    }
}

/// The members whose state differs, when nothing but states does; `None` when the settings differ.
pub fn changed_states(before: &Settings, after: &Settings) -> Option<Vec<MemberStatus>> {
    let mut changes = Vec::new();
    let mut same = before.clone();
    for (set, (old, new)) in (0_u16..).zip(same.sets.iter_mut().zip(&after.sets)) {
        for (member, (old, new)) in (0_u16..).zip(old.members.iter_mut().zip(&new.members)) {
            if old.state != new.state {
                old.state = new.state;
                changes.push(MemberStatus { set, member, state: from_sip(new.state) });
            }
        }
    }
    (same == *after).then_some(changes)
}

fn to_sip(state: MemberState) -> sip_core::MemberState {
    match state {
        MemberState::Up => sip_core::MemberState::Up,
        MemberState::Probing => sip_core::MemberState::Probing,
        MemberState::Draining => sip_core::MemberState::Draining,
        MemberState::Down => sip_core::MemberState::Down,
    }
}

fn from_sip(state: sip_core::MemberState) -> MemberState {
    match state {
        sip_core::MemberState::Up => MemberState::Up,
        sip_core::MemberState::Probing => MemberState::Probing,
        sip_core::MemberState::Draining => MemberState::Draining,
        sip_core::MemberState::Down => MemberState::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::{Impaired, MemberState, MemberStatus, changed_states, set_states};
    use sip_core::{DestinationSet, Member, Settings};

    fn settings() -> Settings {
        let member = |at: &str| Member::new(at.parse().unwrap());
        let members = vec![member("192.0.2.1:5060"), member("192.0.2.2:5060")];
        let set = |name: &str| DestinationSet {
            name: name.into(),
            members: members.clone(),
            ..DestinationSet::default()
        };
        Settings { sets: vec![set("core"), set("edge")], ..Settings::default() }
    }

    #[test]
    fn only_what_changes_is_told() {
        let (before, mut after) = (settings(), settings());
        assert_eq!(changed_states(&before, &after), Some(vec![]));
        let (set, address) = ("edge".to_owned(), "192.0.2.2:5060".parse().unwrap());
        set_states(&mut after, &[Impaired { set, address, state: MemberState::Draining }]);
        let change = MemberStatus { set: 1, member: 1, state: MemberState::Draining };
        assert_eq!(changed_states(&before, &after), Some(vec![change]));
        set_states(&mut after, &[]);
        assert_eq!(after, before);
        let more = Settings { record_route: true, ..settings() };
        assert_eq!(changed_states(&before, &more), None);
    }
}
