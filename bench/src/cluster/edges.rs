//! The first-stage nodes as callers see them: those that probe them with OPTIONS, as trunks do, leave out who does not answer
//! well.

use super::message;
use std::net::SocketAddr;

/// Time between two probes of a node, in milliseconds.
const EVERY: u64 = 1_000;
/// How long an answer may take.
const PATIENCE: u64 = 500;
/// Probes without an answer that make a node be left out; a refusal does so at once.
const SILENT: u8 = 2;

/// All first-stage nodes.
#[derive(Debug)]
pub(super) struct Edges {
    nodes: Vec<Edge>,
    are_probed: bool,
    sent: u32,
}

#[derive(Debug)]
struct Edge {
    name: String,
    at: SocketAddr,
    is_well: bool,
    /// When it is probed next.
    due: u64,
    /// The probe that waits for an answer.
    waits: Option<u32>,
    /// Probes without an answer, in a row.
    silent: u8,
}

impl Edges {
    /// All of them taken for well; `are_probed`: until a probe says otherwise.
    pub(super) fn new(nodes: impl Iterator<Item = (String, SocketAddr)>, are_probed: bool) -> Self {
        let edge = |(name, at)| Edge { name, at, is_well: true, due: 0, waits: None, silent: 0 };
        Self { nodes: nodes.map(edge).collect(), are_probed, sent: 0 }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn name(&self, index: usize) -> &str {
        self.nodes.get(index).map_or("", |edge| &edge.name)
    }

    pub(super) fn at(&self, index: usize) -> Option<SocketAddr> {
        self.nodes.get(index).map(|edge| edge.at)
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|edge| edge.name == name)
    }

    /// `index`, or the next one that is well.
    pub(super) fn well(&self, index: usize) -> usize {
        let mut order = (0..self.len()).map(|step| (index + step) % self.len());
        order.find(|at| self.nodes.get(*at).is_some_and(|edge| edge.is_well)).unwrap_or(index)
    }

    /// The probes that are to be sent now, from `from`.
    pub(super) fn due(&mut self, from: SocketAddr, now: u64) -> Vec<(String, SocketAddr)> {
        let mut all = Vec::new();
        if !self.are_probed {
            return all;
        }
        for edge in self.nodes.iter_mut().filter(|edge| edge.due <= now) {
            if edge.waits.is_some() {
                edge.silent = edge.silent.saturating_add(1);
                edge.is_well &= edge.silent < SILENT;
            }
            self.sent += 1;
            (edge.waits, edge.due) = (Some(self.sent), now + PATIENCE);
            all.push((message::options(from, edge.at, self.sent), edge.at));
        }
        all
    }

    /// A probe was answered.
    pub(super) fn answered(&mut self, probe: u32, status: u16, now: u64) {
        let asked = self.nodes.iter_mut().find(|edge| edge.waits == Some(probe));
        if let Some(edge) = asked {
            edge.is_well = status == 200;
            (edge.waits, edge.silent, edge.due) = (None, 0, now + EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Edges;

    #[test]
    fn who_does_not_answer_well_is_left_out() {
        let at = |port: u16| ([10, 79, 0, 11], port).into();
        let nodes = (1..=3_u16).map(|number| (format!("f{number}"), at(number)));
        let mut edges = Edges::new(nodes, true);
        assert_eq!(edges.due(at(9), 0).len(), 3);
        assert!(edges.due(at(9), 499).is_empty());
        edges.answered(1, 503, 10);
        edges.answered(3, 200, 10);
        assert_eq!((edges.well(0), edges.well(1)), (1, 1));
        // The second one says nothing, twice.
        assert_eq!(edges.due(at(9), 500).len(), 1);
        assert_eq!((edges.well(0), edges.well(1)), (1, 1));
        assert_eq!(edges.due(at(9), 1_000).len(), 1);
        assert_eq!((edges.well(0), edges.well(1), edges.well(2)), (2, 2, 2));
        assert_eq!(edges.due(at(9), 1_010).len(), 2);
        edges.answered(6, 200, 1_011);
        assert_eq!(edges.well(0), 0);
    }
}
