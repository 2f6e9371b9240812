//! The addresses and ports of a flow.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;

use super::RssError;

/// What a received UDP datagram says of its flow; both addresses are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    source: SocketAddr,
    destination: SocketAddr,
    is_fragment: bool,
}

impl Tuple {
    /// A whole datagram from `source` to `destination`.
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Result<Self, RssError> {
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(RssError::Families(source, destination));
        }
        Ok(Self { source, destination, is_fragment: false })
    }

    /// A fragment of such a datagram, be it the first one or a later one: NICs hash its addresses alone.
    #[must_use]
    pub fn fragment(self) -> Self {
        Self { is_fragment: true, ..self }
    }

    /// Who sends.
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// To whom.
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// Whether it is a fragment.
    pub fn is_fragment(&self) -> bool {
        self.is_fragment
    }

    /// The flow in the other direction.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { source: self.destination, destination: self.source, ..*self }
    }
}

impl Display for Tuple {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = if self.is_fragment { " (fragment)" } else { "" };
        write!(f, "{} -> {}{kind}", self.source, self.destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_families_make_no_flow() {
        let four = "192.0.2.1:5060".parse().expect("an address");
        let six = "[2001:db8::1]:5060".parse().expect("an address");
        assert!(Tuple::new(four, four).is_ok());
        let error = Tuple::new(four, six).expect_err("two families");
        assert!(error.to_string().contains("two families"), "{error}");
    }
}
