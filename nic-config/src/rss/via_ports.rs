//! Return affinity: a port for each worker's Via, so that responses reach the queue which that worker polls.
//!
//! A response goes from the peer to the address and port of our Via. Address and peer are given, so the port is what
//! decides about the hash, and with it about the queue.

use super::planner::{Flow, InForce};
use super::{QUEUES_MAX, RssError, Spread, Tuple};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// A port for each worker, and what comes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ViaPorts {
    /// The port of each worker.
    pub ports: Vec<u16>,
    /// The part of its responses that comes back to it.
    pub returns: Vec<f64>,
    /// The part of all responses that would have to be handed over with the port of the list in all Vias.
    pub handed_off_before: f64,
}

impl ViaPorts {
    /// The part of all responses that has to be handed over, when all workers send equally much to these peers.
    pub fn handed_off(&self) -> f64 {
        1.0 - mean(&self.returns)
    }
}

/// Finds the ports for `workers` of which number i polls queue i. `responses` are flows as they arrive, the peer being
/// the source; their destination ports stand for what is used now.
///
/// # Errors
/// No flow, more workers than queues can be told apart, and fewer ports than workers.
pub fn via_ports(
    responses: &[Flow],
    workers: u16,
    in_force: &InForce,
    ports: RangeInclusive<u16>,
) -> Result<ViaPorts, RssError> {
    if !(1..=QUEUES_MAX).contains(&workers) {
        return Err(RssError::Queues(workers.into()));
    }
    if ports.len() < workers.into() {
        return Err(RssError::Ports { ports: ports.len(), workers });
    }
    in_force.reta.check(workers)?;
    let total: f64 = responses.iter().map(|flow| flow.weight).sum();
    if responses.is_empty() || total <= 0.0 {
        return Err(RssError::NoFlow);
    }
    let InForce { function, fields, key, reta } = in_force;
    let spread = Spread::new(*function, *fields, key, reta.clone());
    let shares = |port: Option<u16>| {
        let mut shares = vec![0.0; workers.into()];
        for flow in responses {
            let queue = spread.queue(&towards(&flow.tuple, port)).queue;
            shares[usize::from(queue)] += flow.weight / total;
        }
        shares
    };
    let handed_off_before = 1.0 - mean(&shares(None));
    let candidates: Vec<_> = ports.map(|port| (port, shares(Some(port)))).collect();
    let (ports, returns) = assign(&candidates, workers.into()).into_iter().unzip();
    Ok(ViaPorts { ports, returns, handed_off_before })
}

/// The same flow to another port of ours.
fn towards(tuple: &Tuple, port: Option<u16>) -> Tuple {
    let destination = tuple.destination();
    let to = SocketAddr::new(destination.ip(), port.unwrap_or(destination.port()));
    let moved = Tuple::new(tuple.source(), to).unwrap_or(*tuple);
    if tuple.is_fragment() { moved.fragment() } else { moved }
}

/// A port of its own for each worker, with the worker's share: the best pair first, then the best of the others. A port
/// that brings a worker more than half brings every other one less, so the workers seldom want the same.
fn assign(candidates: &[(u16, Vec<f64>)], workers: usize) -> Vec<(u16, f64)> {
    let mut chosen = vec![None; workers];
    let mut is_taken = vec![false; candidates.len()];
    for _ in 0..workers {
        let mut best: Option<(f64, usize, usize)> = None;
        for (place, (_, shares)) in candidates.iter().enumerate().filter(|(at, _)| !is_taken[*at]) {
            for worker in (0..workers).filter(|worker| chosen[*worker].is_none()) {
                if best.is_none_or(|(share, ..)| shares[worker] > share) {
                    best = Some((shares[worker], worker, place));
                }
            }
        }
        let Some((share, worker, place)) = best else { break };
        chosen[worker] = Some((candidates[place].0, share));
        is_taken[place] = true;
    }
    chosen.into_iter().flatten().collect()
}

#[expect(clippy::cast_precision_loss, reason = "at most 512 workers")]
fn mean(parts: &[f64]) -> f64 {
    parts.iter().sum::<f64>() / parts.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rss::{Fields, Function, Reta, RssKey};

    fn in_force(reta: Vec<u16>) -> InForce {
        let (function, fields) = (Function::Toeplitz, Fields::default());
        let key = RssKey::microsoft(40).unwrap();
        InForce { function, fields, key, reta: Reta::new(reta).unwrap() }
    }

    fn in_turn(queues: u16) -> InForce {
        in_force((0..queues).cycle().take(128).collect())
    }

    /// Two queues in no order that XOR could know.
    fn mixed() -> InForce {
        in_force((0..128).map(|entry| entry * 37 % 101 % 2).collect())
    }

    fn peers(count: u8) -> Vec<Flow> {
        let peer = |last| {
            let [source, ours] = [format!("192.0.2.{last}:5060"), "198.51.100.1:5060".into()];
            let tuple = Tuple::new(source.parse().unwrap(), ours.parse().unwrap()).unwrap();
            Flow { tuple, weight: 1.0 }
        };
        (1..=count).map(peer).collect()
    }

    #[test]
    fn one_peer_answers_each_worker_on_its_own_queue() {
        let flows = peers(1);
        let in_force = in_turn(4);
        let found = via_ports(&flows, 4, &in_force, 5070..=5169).unwrap();
        assert_eq!(found.returns, [1.0; 4]);
        assert!(found.handed_off().abs() < 1e-9 && (found.handed_off_before - 0.75).abs() < 1e-9);
        let spread = Spread::new(in_force.function, in_force.fields, &in_force.key, in_force.reta);
        for (worker, port) in found.ports.iter().enumerate() {
            let place = spread.queue(&towards(&flows[0].tuple, Some(*port)));
            assert_eq!(usize::from(place.queue), worker);
        }
    }

    #[test]
    fn more_peers_leave_something_to_be_handed_over() {
        let of = |count, in_force: &InForce| {
            via_ports(&peers(count), 2, in_force, 5070..=5169).unwrap().handed_off()
        };
        assert!(of(4, &mixed()) < 1e-9, "{}", of(4, &mixed()));
        assert!((0.3..0.5).contains(&of(200, &mixed())), "{}", of(200, &mixed()));
        // Toeplitz is linear: where the lowest bit of the hash is the queue, it differs between two peers for each
        // port or for none.
        assert!((of(2, &in_turn(2)) - 0.5).abs() < 1e-9);
        // Fragments are hashed without ports, so no port helps.
        let fragment = [Flow { tuple: peers(1)[0].tuple.fragment(), weight: 1.0 }];
        let found = via_ports(&fragment, 2, &mixed(), 5070..=5169).unwrap();
        assert!((found.handed_off() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let why = |result: Result<ViaPorts, RssError>| result.unwrap_err().to_string();
        let flows = peers(1);
        assert!(why(via_ports(&[], 2, &in_turn(2), 5070..=5169)).contains("no flow"));
        assert!(why(via_ports(&flows, 0, &in_turn(2), 5070..=5169)).contains("0 queues"));
        assert!(why(via_ports(&flows, 2, &in_turn(2), 5070..=5070)).contains("1 ports"));
        assert!(why(via_ports(&flows, 2, &in_turn(4), 5070..=5169)).contains("queues 0 to 1"));
    }
}
