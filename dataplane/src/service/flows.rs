//! What workers count of flows, as moving averages.

use super::Service;
use super::rss::named;
use crate::flows::{FlowKey, FlowTable};
use crate::limits::{FLOW_AVERAGE, FLOW_RATE_MIN, FLOW_TABLE_NS, FLOWS_KEPT, FLOWS_SHOWN};
use crate::mailbox::{Command, ServiceEnd};
use control_api::{FlowRate, PortFlows};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// The flows of all workers.
#[derive(Debug, Default)]
pub(super) struct FlowBook {
    flows: RefCell<HashMap<FlowKey, Average>>,
    /// When the first table came.
    began_ns: Cell<Option<u64>>,
    /// Empty tables that did not fit into the mailboxes of their workers.
    waiting: RefCell<Vec<(usize, Box<FlowTable>)>>,
}

/// What came over a flow, where each message counts for less the longer ago it came.
#[derive(Clone, Copy, Debug)]
struct Average {
    messages: f64,
    bytes: f64,
    at_ns: u64,
    /// The queue that brought it last.
    queue: u16,
}

impl Average {
    fn fade(&mut self, now_ns: u64) {
        let rest = self.rest(now_ns);
        self.messages *= rest;
        self.bytes *= rest;
        self.at_ns = self.at_ns.max(now_ns);
    }

    /// What is left of it by now.
    fn rest(&self, now_ns: u64) -> f64 {
        (-seconds(now_ns.saturating_sub(self.at_ns)) / FLOW_AVERAGE.as_secs_f64()).exp()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a time for averages")]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

impl FlowBook {
    /// Takes what a worker has counted, on the queue of its number, and gives the table back to it.
    pub(super) fn take(
        &self,
        number: usize,
        worker: &ServiceEnd,
        mut table: Box<FlowTable>,
        now_ns: u64,
    ) {
        self.add(u16::try_from(number).unwrap_or(u16::MAX), &table, now_ns);
        table.clear();
        self.give(number, worker, table);
    }

    fn add(&self, queue: u16, table: &FlowTable, now_ns: u64) {
        if self.began_ns.get().is_none() {
            self.began_ns.set(Some(now_ns.saturating_sub(FLOW_TABLE_NS)));
        }
        let mut flows = self.flows.borrow_mut();
        for count in table.counts() {
            let new = || Average { messages: 0.0, bytes: 0.0, at_ns: now_ns, queue };
            let average = flows.entry(count.key).or_insert_with(new);
            average.fade(now_ns);
            average.messages += f64::from(count.messages);
            #[expect(clippy::cast_precision_loss, reason = "an average")]
            let bytes = count.bytes as f64;
            average.bytes += bytes;
            average.queue = queue;
        }
        if flows.len() > FLOWS_KEPT {
            forget_least(&mut flows, now_ns);
        }
    }

    /// Gives tables to a worker that had no room for them.
    pub(super) fn give_waiting(&self, number: usize, worker: &ServiceEnd) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(at) = waiting.iter().position(|(owner, _)| *owner == number) {
            let (_, table) = waiting.swap_remove(at);
            drop(waiting);
            self.give(number, worker, table);
        }
    }

    fn give(&self, number: usize, worker: &ServiceEnd, table: Box<FlowTable>) {
        if let Err(Command::Flows(table)) = worker.send(Command::Flows(table)) {
            self.waiting.borrow_mut().push((number, table));
        }
    }

    /// The flows of a port, each second, those with the most messages first.
    pub(super) fn rates(&self, port: u8, now_ns: u64) -> Vec<FlowRate> {
        let weight = self.weight(now_ns);
        let flows = self.flows.borrow();
        let of_port = flows.iter().filter(|(key, _)| key.port() == port);
        let mut rates: Vec<_> = of_port
            .map(|(key, average)| {
                let each_second = average.rest(now_ns) / weight;
                FlowRate {
                    source: key.source(),
                    destination: key.target(),
                    queue: average.queue,
                    messages: average.messages * each_second,
                    bytes: average.bytes * each_second,
                }
            })
            .filter(|rate| rate.messages >= FLOW_RATE_MIN)
            .collect();
        let order = |a: &FlowRate, b: &FlowRate| {
            b.messages.total_cmp(&a.messages).then_with(|| a.source.cmp(&b.source))
        };
        rates.sort_by(order);
        rates
    }

    /// For how long flows have been counted, in seconds.
    pub(super) fn age(&self, now_ns: u64) -> f64 {
        self.began_ns.get().map_or(0.0, |began| seconds(now_ns.saturating_sub(began)))
    }

    /// What one message each second has come to by now; at the beginning the average goes back over less time.
    fn weight(&self, now_ns: u64) -> f64 {
        let average = FLOW_AVERAGE.as_secs_f64();
        (average * -(-self.age(now_ns) / average).exp_m1()).max(f64::MIN_POSITIVE)
    }
}

/// Forgets the quarter of flows over which the least came.
fn forget_least(flows: &mut HashMap<FlowKey, Average>, now_ns: u64) {
    let left = |average: &Average| average.messages * average.rest(now_ns);
    let mut all: Vec<f64> = flows.values().map(left).collect();
    let (_, limit, _) = all.select_nth_unstable_by(FLOWS_KEPT / 4, f64::total_cmp);
    let (limit, mut excess) = (*limit, FLOWS_KEPT / 4);
    flows.retain(|_, average| {
        let is_little = excess > 0 && left(average) <= limit;
        excess -= usize::from(is_little);
        !is_little
    });
}

impl Service {
    /// The flows that a port receives now, at most so many.
    ///
    /// # Errors
    /// No such port.
    pub fn port_flows(&self, port: Option<&str>, most: u32) -> Result<PortFlows, String> {
        let (index, name) =
            named(&self.rss_ports(), port).map(|(i, port)| (i, port.name.clone()))?;
        let now_ns = self.now_ns();
        let mut flows = self.flows().rates(u8::try_from(index).unwrap_or(u8::MAX), now_ns);
        let others = flows.split_off((most as usize).min(FLOWS_SHOWN).min(flows.len()));
        Ok(PortFlows {
            port: name,
            seconds: self.flows().age(now_ns).min(FLOW_AVERAGE.as_secs_f64()),
            flows,
            other_flows: u32::try_from(others.len()).unwrap_or(u32::MAX),
            other_messages: others.iter().map(|flow| flow.messages).sum(),
            other_bytes: others.iter().map(|flow| flow.bytes).sum(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::FlowBook;
    use crate::decode::Datagram;
    use crate::flows::{FlowKey, FlowTable};
    use crate::limits::{FLOW_AVERAGE, FLOWS_KEPT};
    use crate::mailbox::{Command, mailbox};

    const SECOND: u64 = 1_000_000_000;

    fn key(port: u8, peer: u32) -> FlowKey {
        let source = (core::net::Ipv4Addr::from_bits(0x0a00_0000 + peer), 5060).into();
        let target = ([10, 77, 1, 1], 5060).into();
        FlowKey::of(port, &Datagram { source, target, payload: 0..0 })
    }

    fn table(flows: &[(FlowKey, u32)]) -> FlowTable {
        let mut table = FlowTable::default();
        for (key, messages) in flows {
            table.add(*key, *messages, 500, 0);
        }
        table
    }

    #[test]
    fn rates_are_right_from_the_first_second_on_and_follow_what_comes() {
        let book = FlowBook::default();
        let (heavy, light, other) = (key(0, 1), key(0, 2), key(1, 3));
        for second in 1..=5 * FLOW_AVERAGE.as_secs() {
            book.add(0, &table(&[(heavy, 900), (other, 7)]), second * SECOND);
            book.add(1, &table(&[(light, 100)]), second * SECOND);
            let rates = book.rates(0, second * SECOND);
            let shown: Vec<_> = rates.iter().map(|rate| (rate.queue, rate.source)).collect();
            assert_eq!(shown, [(0, heavy.source()), (1, light.source())]);
            // What came at the end of a second stands for all of it.
            assert!((rates[0].messages / 900.0 - 1.0).abs() < 0.02, "{second}: {rates:?}");
            assert!((rates[1].messages / rates[0].messages - 1.0 / 9.0).abs() < 1e-9);
            assert!((rates[0].bytes - 500.0).abs() < 10.0);
        }
        assert_eq!(book.rates(1, SECOND).len(), 1);
        let later = 6 * FLOW_AVERAGE.as_secs() * SECOND;
        assert!((book.rates(0, later)[0].messages / 900.0 - (-1.0_f64).exp()).abs() < 0.02);
    }

    #[test]
    fn with_too_many_flows_the_least_are_forgotten() {
        let book = FlowBook::default();
        for first in (0..2 * u32::try_from(FLOWS_KEPT).unwrap()).step_by(1_000) {
            let few: Vec<_> = (first..first + 1_000).map(|peer| (key(0, peer), 1)).collect();
            book.add(0, &table(&few), SECOND);
            book.add(0, &table(&[(key(0, 0), 1_000)]), SECOND);
            assert!(book.flows.borrow().len() <= FLOWS_KEPT);
        }
        assert!(book.flows.borrow().len() > FLOWS_KEPT / 2);
        assert_eq!(book.rates(0, SECOND)[0].source, key(0, 0).source());
    }

    #[test]
    fn a_table_comes_back_to_its_worker_when_there_is_room() {
        let (worker, service) = mailbox();
        let book = FlowBook::default();
        while service.send(Command::LocationReady).is_ok() {}
        book.take(0, &service, Box::new(table(&[(key(0, 1), 1)])), SECOND);
        book.give_waiting(0, &service);
        while !matches!(worker.next(), None | Some(Command::Flows(_))) {}
        book.give_waiting(1, &service);
        assert!(worker.next().is_none(), "it is another worker's");
        book.give_waiting(0, &service);
        let Some(Command::Flows(table)) = worker.next() else { panic!("it is not there") };
        assert_eq!(table.counts().count(), 0);
        assert!(book.waiting.borrow().is_empty());
    }
}
