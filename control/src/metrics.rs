//! Every counter in OpenMetrics form, from one snapshot.

mod cluster;
mod tables;

use crate::api::Configuration;
use crate::cluster::report::ClusterReport;
use control_api::operator::{ConnectionsStatus, Count, MemberReport, MemberState, RealmReport};
use control_api::status::{
    QueueStatus, RebalanceStatus, STAGES, SpillStatus, Status, WorkerStatus,
};
use control_api::{DropReason, NamesStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use tables::{
    CONNECTION_THREAD, CONNECTIONS, KERNEL, MEMBER_LOAD, Metric, NAMES, QUEUE, REBALANCE, SPILL,
    STATUS, STORE, TRANSPORT, Value, WORKER,
};

/// How the text says what it is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The data plane; none while it is away.
    pub dataplane: Option<Status>,
    /// The members of the destination sets.
    pub members: Vec<MemberReport>,
    /// The realms.
    pub realms: Vec<RealmReport>,
    /// TCP, TLS and WebSocket.
    pub connections: ConnectionsStatus,
    /// Host names.
    pub names: NamesStatus,
    /// Who shares users; none without `[cluster]`.
    pub cluster: Option<ClusterReport>,
    /// The configuration in force.
    pub configuration: Configuration,
}

/// The snapshot as text.
///
/// # Errors
/// None that a text in memory has.
pub fn encode(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("trunkline");
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Families(encoder);
        out.one("up", "Whether the data plane answers.", &Value::flag(self.dataplane.is_some()))?;
        out.configuration(&self.configuration)?;
        out.members(&self.members)?;
        out.realms(&self.realms)?;
        out.connections(&self.connections)?;
        out.all(NAMES, &[(Vec::new(), &self.names)])?;
        if let Some(cluster) = &self.cluster {
            out.cluster(cluster)?;
        }
        if let Some(status) = &self.dataplane {
            out.dataplane(status)?;
        }
        Ok(())
    }
}

/// Labels of one line.
type Labels = Vec<(&'static str, String)>;

/// Metric families, one after the other.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn dataplane(&mut self, status: &Status) -> fmt::Result {
        self.all(STATUS, [(Vec::new(), status)].as_slice())?;
        self.all(KERNEL, [(Vec::new(), &status.kernel)].as_slice())?;
        self.all(STORE, [(Vec::new(), &status.store)].as_slice())?;
        let queues: Vec<_> =
            status.queues.iter().map(|queue| (queue_labels(queue), queue)).collect();
        self.all(QUEUE, &queues)?;
        self.drops(&status.queues)?;
        let worker_labels = |lcore: u16| vec![("lcore", lcore.to_string())];
        let workers: Vec<_> =
            status.workers.iter().map(|worker| (worker_labels(worker.lcore), worker)).collect();
        self.all(WORKER, &workers)?;
        let pair = |spill: &SpillStatus| {
            vec![("lcore", spill.from.to_string()), ("sibling", spill.to.to_string())]
        };
        let spills: Vec<_> = status.spills.iter().map(|spill| (pair(spill), spill)).collect();
        self.all(SPILL, &spills)?;
        let port = |rebalance: &RebalanceStatus| vec![("port", rebalance.port.clone())];
        let rebalances: Vec<_> = status.rebalances.iter().map(|one| (port(one), one)).collect();
        self.all(REBALANCE, &rebalances)?;
        self.stages(&status.workers)
    }

    fn stages(&mut self, workers: &[WorkerStatus]) -> fmt::Result {
        let help = "Time spent in each stage of the way of a message, in a sample: divide by trunkline_worker_sampled_messages_total.";
        let mut family = self.family("worker_stage_seconds", help, MetricType::Counter)?;
        for worker in workers {
            for (stage, ns) in STAGES.iter().zip(worker.stages.ns) {
                let labels =
                    vec![("lcore", worker.lcore.to_string()), ("stage", (*stage).to_owned())];
                line(&mut family, &labels, &Value::nanos(ns))?;
            }
        }
        Ok(())
    }

    fn drops(&mut self, queues: &[QueueStatus]) -> fmt::Result {
        let help = "Packets dropped, by reason: trunkline_drop_reason_info says what each means.";
        let mut family = self.family("dropped", help, MetricType::Counter)?;
        for queue in queues {
            for reason in DropReason::ALL {
                let mut labels = queue_labels(queue);
                labels.push(("reason", reason.name().to_owned()));
                line(&mut family, &labels, &Value::Count(queue.dropped_for(*reason)))?;
            }
        }
        let help = "What moves the counter of each drop reason.";
        let mut family = self.family("drop_reason", help, MetricType::Info)?;
        for reason in DropReason::ALL {
            let labels = [("reason", reason.name()), ("help", reason.help())];
            family.encode_info(&labels)?;
        }
        Ok(())
    }

    fn configuration(&mut self, configuration: &Configuration) -> fmt::Result {
        let Configuration { generation, file_differs, broken_file, waiting } = configuration;
        let waiting = waiting.len() as u64;
        let families: [(_, _, Value); 4] = [
            (
                "generation",
                "Generation of the configuration in force.",
                Value::Level(generation.number),
            ),
            (
                "file_differs",
                "Whether the file holds something else than what is in force.",
                Value::flag(*file_differs),
            ),
            (
                "file_broken",
                "Whether control began with the last good configuration, because the file was broken.",
                Value::flag(broken_file.is_some()),
            ),
            ("waiting_settings", "Settings that wait for a restart.", Value::Level(waiting)),
        ];
        for (name, help, value) in families {
            self.one(&format!("configuration_{name}"), help, &value)?;
        }
        Ok(())
    }

    fn members(&mut self, members: &[MemberReport]) -> fmt::Result {
        if members.is_empty() {
            return Ok(());
        }
        let labels = |member: &MemberReport| {
            vec![("set", member.set.clone()), ("member", member.address.to_string())]
        };
        let help = "Whether a member of a destination set takes new calls.";
        let mut family = self.family("member_in_use", help, MetricType::Gauge)?;
        for member in members {
            line(&mut family, &labels(member), &Value::flag(member.is_in_use))?;
        }
        let help = "State of a member of a destination set: 1 for the one that it has.";
        let mut family = self.family("member_state", help, MetricType::Gauge)?;
        let states =
            [MemberState::Up, MemberState::Probing, MemberState::Draining, MemberState::Down];
        for member in members {
            for state in states {
                let mut labels = labels(member);
                labels.push(("state", state.name().to_owned()));
                line(&mut family, &labels, &Value::flag(state == member.state))?;
            }
        }
        let asked = members.iter().filter_map(|member| Some((labels(member), member.load?)));
        let asked: Vec<_> = asked.collect();
        let asked: Vec<_> = asked.iter().map(|(labels, load)| (labels.clone(), load)).collect();
        if asked.is_empty() { Ok(()) } else { self.all(MEMBER_LOAD, &asked) }
    }

    fn connections(&mut self, status: &ConnectionsStatus) -> fmt::Result {
        self.all(CONNECTIONS, &[(Vec::new(), status)])?;
        let thread = |index: usize| vec![("thread", index.to_string())];
        let threads = status.threads.iter().enumerate();
        let threads: Vec<_> = threads.map(|(index, one)| (thread(index), one)).collect();
        self.all(CONNECTION_THREAD, &threads)?;
        let transports = status.transports.iter();
        let transports: Vec<_> =
            transports.map(|one| (vec![("transport", one.transport.clone())], one)).collect();
        self.all(TRANSPORT, &transports)?;
        let refused = "Connections that were not taken, by reason.";
        self.counts("connections_refused", refused, &status.refused)?;
        self.counts("connections_ended", "Connections that ended, by reason.", &status.ended)
    }

    fn counts(&mut self, name: &str, help: &str, counts: &[Count]) -> fmt::Result {
        if counts.is_empty() {
            return Ok(());
        }
        let mut family = self.family(name, help, MetricType::Counter)?;
        for Count { reason, count } in counts {
            line(&mut family, &vec![("reason", reason.clone())], &Value::Count(*count))?;
        }
        Ok(())
    }

    fn realms(&mut self, realms: &[RealmReport]) -> fmt::Result {
        if realms.is_empty() {
            return Ok(());
        }
        let labels = |realm: &RealmReport| vec![("realm", realm.realm.clone())];
        let mut family =
            self.family("realm_users", "Users of a realm that are in force.", MetricType::Gauge)?;
        for realm in realms {
            line(&mut family, &labels(realm), &Value::Level(realm.users.unwrap_or(0)))?;
        }
        let help = "Whether the users of a realm could not be read the last time.";
        let mut family = self.family("realm_trouble", help, MetricType::Gauge)?;
        for realm in realms {
            line(&mut family, &labels(realm), &Value::flag(realm.trouble.is_some()))?;
        }
        Ok(())
    }

    /// Each metric of a table, for each of `things`.
    fn all<T>(&mut self, table: &[Metric<T>], things: &[(Labels, &T)]) -> fmt::Result {
        for Metric { name, help, value } in table {
            let Some((_, first)) = things.first() else { return Ok(()) };
            let mut family = self.family(name, help, value(first).kind())?;
            for (labels, thing) in things {
                line(&mut family, labels, &value(thing))?;
            }
        }
        Ok(())
    }

    fn one(&mut self, name: &str, help: &str, value: &Value) -> fmt::Result {
        let mut family = self.family(name, help, value.kind())?;
        line(&mut family, &Vec::new(), value)
    }

    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }
}

fn queue_labels(queue: &QueueStatus) -> Labels {
    let QueueStatus { port, queue, lcore, .. } = queue;
    vec![("port", port.clone()), ("queue", queue.to_string()), ("lcore", lcore.to_string())]
}

fn line(family: &mut MetricEncoder<'_>, labels: &Labels, value: &Value) -> fmt::Result {
    if labels.is_empty() {
        return put(family, value);
    }
    put(&mut family.encode_family(labels)?, value)
}

fn put(line: &mut MetricEncoder<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Count(count) => line.encode_counter::<NoLabelSet, u64, u64>(count, None),
        Value::CountSeconds(seconds) => line.encode_counter::<NoLabelSet, f64, u64>(seconds, None),
        Value::Level(level) => line.encode_gauge(level),
        Value::LevelSeconds(seconds) => line.encode_gauge(seconds),
    }
}

#[cfg(test)]
mod tests;
