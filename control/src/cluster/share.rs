//! Which AoRs this node is to hold.

use crate::config::Cluster;
use crate::health::states::set_states;
use crate::health::{Impaired, States};
use sip_core::{MemberState, Settings, Shares};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// The share of this node: what it owns, and what it is the next for.
#[derive(Clone, Debug)]
pub(super) struct Share {
    shares: Shares,
    member: Option<SocketAddr>,
    copies: usize,
}

impl Share {
    /// The share while `impaired` members are not simply in use; none when the settings have no such set. This node
    /// takes itself for up: it runs.
    pub(super) fn new(
        cluster: &Cluster,
        settings: &Settings,
        impaired: &[Impaired],
    ) -> Option<Self> {
        let mut settings = settings.clone();
        set_states(&mut settings, impaired);
        let set = settings.sets.iter_mut().find(|set| set.name == cluster.members)?;
        for member in &mut set.members {
            if Some(member.address) == cluster.member {
                member.state = MemberState::Up;
            }
        }
        let shares = Shares::new(&settings.secret, set);
        Some(Self { shares, member: cluster.member, copies: cluster.copies.into() })
    }

    /// The members that are up, in the order in which the first stage would choose them for the AoR.
    pub(super) fn holders(&self, aor: &str) -> Vec<SocketAddr> {
        self.shares.holders(aor)
    }

    /// Whether this node holds the AoR: it is among the first in the order in which the first stage would choose.
    pub(super) fn has(&self, aor: &str) -> bool {
        let Some(member) = self.member else { return false };
        self.shares.holders(aor).iter().take(self.copies).any(|holder| *holder == member)
    }

    /// Whether both are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.shares.up() == other.shares.up()
    }

    /// The members that are up.
    pub(super) fn up(&self) -> Vec<SocketAddr> {
        self.shares.up()
    }
}

/// What a share follows from.
#[derive(Clone, Debug)]
pub struct ShareOf {
    /// The settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The members that are not simply in use.
    pub states: watch::Receiver<States>,
}

impl ShareOf {
    /// The share now.
    pub(super) fn now(&mut self, cluster: &Cluster) -> Option<Share> {
        let settings = Arc::clone(&self.settings.borrow_and_update());
        let states = Arc::clone(&self.states.borrow_and_update());
        Share::new(cluster, &settings, &states)
    }

    /// Whether it may have changed since it was last looked at.
    pub(super) fn has_changed(&self) -> bool {
        let changed = |changed: Result<bool, _>| changed.unwrap_or(false);
        changed(self.settings.has_changed().map_err(drop))
            || changed(self.states.has_changed().map_err(drop))
    }
}
