//! The answer of `trunkline where`, for people and as JSON.

use super::PortQueues;
use serde::Serialize;
use sip_core::Transport;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What becomes of a message, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The message in one line; empty when only a 5-tuple was given.
    pub message: String,
    /// Where it comes from.
    pub from: SocketAddr,
    /// The listen point that it comes to.
    pub to: SocketAddr,
    /// What it comes over.
    pub transport: Transport,
    /// The queues that it may arrive at, port by port.
    pub queues: Vec<PortQueues>,
    /// Whether our mark proves that it belongs to a dialog: then no rule is asked.
    pub in_dialog: bool,
    /// The rules in their order, up to the one that decides.
    pub rules: Vec<RuleLine>,
    /// The member of a destination set that takes it.
    pub member: Option<Member>,
    /// The realm whose credentials it must have before anything happens.
    pub realm: Option<String>,
    /// Whether it gets a transaction.
    pub transaction: bool,
    /// What happens.
    pub fate: Fate,
    /// The message as it goes on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rewritten: String,
    /// What could not be known here.
    pub notes: Vec<String>,
}

/// A rule, and why it does not decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleLine {
    /// The rule in words, with its number.
    pub rule: String,
    /// The first of its criteria that the message does not meet; none for the rule that decides.
    pub misses: Option<String>,
}

/// The member of a destination set that takes a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Name of the set.
    pub set: String,
    /// Its address.
    pub address: SocketAddr,
    /// Its state.
    pub state: String,
    /// How many members the set has.
    pub of: usize,
    /// What of the message is hashed to find it.
    pub hashed: &'static str,
}

/// What happens to a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Nothing was asked.
    #[default]
    NotAsked,
    /// It goes on.
    Forwarded {
        /// Over what.
        transport: Transport,
        /// Where to.
        next_hop: SocketAddr,
        /// The listen point that it leaves from; none when the route leaves with another address.
        leaves_from: Option<SocketAddr>,
        /// The address that this machine's route to the next hop leaves with; none without a route.
        source: Option<IpAddr>,
    },
    /// We answer it from location, which the workers have.
    Registered,
    /// It goes to the bindings of a user, which the workers have.
    Located {
        /// The user's address-of-record.
        uri: String,
    },
    /// It goes to where a host name leads, which the workers ask control.
    Named {
        /// The name.
        name: String,
    },
    /// We answer it ourselves.
    Answered {
        /// Status line of the response.
        with: String,
        /// Where the response goes.
        to: SocketAddr,
        /// The whole response.
        #[serde(skip)]
        response: String,
    },
    /// It ends here.
    Dropped {
        /// Name of the drop reason.
        reason: String,
        /// The reason in words.
        why: String,
    },
}

impl Default for Answer {
    fn default() -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self {
            message: String::new(),
            from: nowhere,
            to: nowhere,
            transport: Transport::Udp,
            queues: Vec::new(),
            in_dialog: false,
            rules: Vec::new(),
            member: None,
            realm: None,
            transaction: false,
            fate: Fate::NotAsked,
            rewritten: String::new(),
            notes: Vec::new(),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.message.is_empty() {
            writeln!(f, "{}", self.message)?;
        }
        let over = over(self.transport);
        writeln!(f, "arrives      from {} at listen point {}{over}", self.from, self.to)?;
        if self.transport.is_connection() {
            writeln!(f, "queue        none: over control, always to one worker for one source")?;
        }
        for port in &self.queues {
            writeln!(f, "queue        {port}")?;
        }
        if self.in_dialog {
            writeln!(f, "in a dialog  by our mark or token in its Route: the rules are not asked")?;
        }
        if !self.rules.is_empty() {
            writeln!(f, "\nroutes, the first that fits decides")?;
        }
        for RuleLine { rule, misses } in &self.rules {
            match misses {
                Some(misses) => writeln!(f, "  no   {rule}\n       {misses}")?,
                None => writeln!(f, "  yes  {rule}")?,
            }
        }
        writeln!(f)?;
        if let Some(Member { set, address, state, of, hashed }) = &self.member {
            writeln!(f, "member       {address} of {set}, {state}: 1 of {of}, by {hashed}")?;
        }
        if let Some(realm) = &self.realm {
            writeln!(f, "credentials  of realm {realm} come first: without them it is challenged")?;
        }
        write!(f, "{}", self.fate)?;
        if self.transaction {
            writeln!(
                f,
                "transaction  yes, in the worker that has it, whose branch replaces the one below"
            )?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note         {note}"))
    }
}

/// Words for a transport that is not the usual one.
fn over(transport: Transport) -> String {
    if transport.is_connection() { format!(" over {}", transport.via()) } else { String::new() }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => Ok(()),
            Self::Forwarded { transport, next_hop, leaves_from, source } => {
                writeln!(f, "next hop     {next_hop}{}", over(*transport))?;
                match (leaves_from, source) {
                    (Some(listen), _) => writeln!(f, "leaves from  {listen}"),
                    (None, Some(source)) => writeln!(
                        f,
                        "leaves from  nowhere: this machine's route leaves with {source}, which is no \
                         listen point"
                    ),
                    (None, None) => writeln!(f, "leaves from  nowhere: this machine has no route"),
                }
            }
            Self::Registered => writeln!(
                f,
                "answered     from location, by the worker that has the address-of-record in its To"
            ),
            Self::Located { uri } => writeln!(
                f,
                "next hop     the bindings of {uri}, which its worker has: trunkline location show"
            ),
            Self::Named { name } => writeln!(f, "next hop     wherever {name} leads, by DNS"),
            Self::Answered { with, to, .. } => writeln!(f, "answered     {with}, to {to}"),
            Self::Dropped { reason, why } => writeln!(f, "dropped      {reason}: {why}"),
        }
    }
}

impl fmt::Display for PortQueues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |(queue, lcore): &(u16, u16)| format!("{queue} on lcore {lcore}");
        let places: Vec<_> = self.queues.iter().map(place).collect();
        write!(f, "{} of port {}: {}", places.join(" or "), self.port, self.chosen_by)
    }
}
