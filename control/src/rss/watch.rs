//! What the queues of a port carry now, its heaviest flows, and what a plan would make of them: `trunkline rss watch`.

mod draw;

pub use draw::{draw, once};

use super::live::flows;
use super::port::Shown;
use crate::dataplane_link::{Link, LinkError};
use crate::top::{Moment, Rates};
use control_api::status::RebalanceStatus;
use control_api::{FlowRate, PortFlows, RssAction, RssRequest};
use nic_config::rss::plan;
use nic_config::rss::planner::{Keys, Limits};
use nic_config::rss::rebalance::max_over_mean;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// Flows that are asked for: with more the plan knows only the heaviest, and the rest is even anyway.
const FLOWS_MAX: u32 = 4_096;
/// Flows that are listed.
const LISTED_MAX: usize = 20;

/// All that the data plane says of a port at one moment.
#[derive(Clone, Debug)]
pub struct Look {
    counters: Moment,
    /// Why the driver shows nothing, if it does not.
    rss: Result<Shown, String>,
    flows: PortFlows,
}

/// What happens on a port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// Its name.
    pub port: String,
    /// The driver, as far as it shows RSS.
    pub driver: Option<String>,
    /// Seconds between the two looks, over which the rates of queues go.
    pub seconds: f64,
    /// Each queue.
    pub queues: Vec<QueueLoad>,
    /// The fullest queue as a multiple of the mean.
    pub max_over_mean: f64,
    /// Seconds that the rates of flows go back.
    pub flow_seconds: f64,
    /// The heaviest flows.
    pub flows: Vec<FlowLine>,
    /// Flows that are not listed.
    pub other_flows: usize,
    /// Messages each second over these.
    pub other_messages: f64,
    /// What a plan would change.
    pub plan: Option<Gain>,
    /// Why there is none.
    pub no_plan: Option<String>,
    /// How live rebalance stands, where it is configured.
    pub rebalance: Option<RebalanceStatus>,
}

/// One queue.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct QueueLoad {
    /// Its number.
    pub queue: u16,
    /// The lcore that polls it.
    pub lcore: u16,
    /// Messages received each second.
    pub messages: f64,
    /// The same as a multiple of the mean of the queues.
    pub of_mean: f64,
    /// Part of the time that its lcore spent on its bursts, 0 to 1.
    pub busy: f64,
    /// Messages in each burst.
    pub per_burst: f64,
}

/// One flow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FlowLine {
    /// What comes over it.
    #[serde(flatten)]
    pub rate: FlowRate,
    /// Its part of all messages of the port, 0 to 1.
    pub share: f64,
    /// Its messages as a multiple of the mean of the queues.
    pub of_mean: f64,
}

/// What a plan that keeps the key would give, reckoned with the flows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// Max/mean now.
    pub before: f64,
    /// Max/mean with the plan.
    pub after: f64,
    /// What no key and no table can be better than.
    pub best_possible: f64,
    /// Entries of the table that it changes.
    pub entries_changed: usize,
    /// Flows that are heavier than the mean load of a queue.
    pub elephants: usize,
}

/// Asks the data plane behind the socket at `path`.
///
/// # Errors
/// As [`Link::flows`].
pub async fn look(path: &Path, port: Option<&str>) -> Result<Look, LinkError> {
    let mut link = Link::connect(path).await?;
    let flows = link.flows(port.map(str::to_owned), FLOWS_MAX).await?;
    let request = RssRequest { port: Some(flows.port.clone()), action: RssAction::Show };
    let rss = match link.rss(request).await {
        Ok(shown) => Ok(Shown::from(shown)),
        Err(LinkError::Refused { reason, .. }) => Err(reason),
        Err(error) => return Err(error),
    };
    let counters = Moment { status: link.status().await?, at: Instant::now() };
    Ok(Look { counters, rss, flows })
}

/// The same for callers without a runtime.
///
/// # Errors
/// As [`look`].
pub fn look_blocking(path: &Path, port: Option<&str>) -> Result<Look, LinkError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(look(path, port))
}

impl View {
    /// What happened from `before` to `after`.
    pub fn between(before: &Look, after: &Look) -> Self {
        let now = &after.flows;
        let queues = queues(&Rates::between(&before.counters, &after.counters), &now.port);
        let count = queues.len();
        let listed = now.flows.len().min(LISTED_MAX);
        let of_flows: f64 = now.flows.iter().map(|flow| flow.messages).sum();
        let total = of_flows + now.other_messages;
        #[expect(clippy::cast_precision_loss, reason = "few queues")]
        let line = |rate: &FlowRate| {
            let share = if total > 0.0 { rate.messages / total } else { 0.0 };
            FlowLine { rate: *rate, share, of_mean: share * count as f64 }
        };
        let loads: Vec<f64> = queues.iter().map(|queue| queue.messages).collect();
        let (plan, no_plan) = match gain(after) {
            Ok(gain) => (Some(gain), None),
            Err(reason) => (None, Some(reason)),
        };
        let rebalances = &after.counters.status.rebalances;
        Self {
            port: now.port.clone(),
            driver: after.rss.as_ref().ok().map(|shown| shown.driver.clone()),
            seconds: after.counters.at.duration_since(before.counters.at).as_secs_f64(),
            max_over_mean: if loads.is_empty() { 1.0 } else { max_over_mean(&loads) },
            queues,
            flow_seconds: now.seconds,
            flows: now.flows[..listed].iter().map(line).collect(),
            other_flows: now.flows.len() - listed + now.other_flows as usize,
            other_messages: total
                - now.flows[..listed].iter().map(|flow| flow.messages).sum::<f64>(),
            plan,
            no_plan,
            rebalance: rebalances.iter().find(|status| status.port == now.port).cloned(),
        }
    }
}

/// The queues of a port, in their order.
fn queues(rates: &Rates, port: &str) -> Vec<QueueLoad> {
    let of_port = rates.queues().into_iter().filter(|(queue, _)| queue.port == port);
    let mut queues: Vec<_> = of_port
        .map(|(queue, work)| QueueLoad {
            queue: queue.queue,
            lcore: queue.lcore,
            messages: rates.each_second(queue.received),
            of_mean: 0.0,
            busy: work.busy,
            per_burst: work.per_burst,
        })
        .collect();
    queues.sort_by_key(|queue| queue.queue);
    let total: f64 = queues.iter().map(|queue| queue.messages).sum();
    #[expect(clippy::cast_precision_loss, reason = "few queues")]
    let mean = total / queues.len() as f64;
    if total > 0.0 {
        for queue in &mut queues {
            queue.of_mean = queue.messages / mean;
        }
    }
    queues
}

/// What a plan would give that moves few entries.
fn gain(now: &Look) -> Result<Gain, String> {
    let shown = now.rss.as_ref().map_err(Clone::clone)?;
    let in_force = shown.in_force()?;
    let flows = flows(&now.flows, false, &[]);
    // Another key is a search of seconds: `trunkline rss plan --live`.
    let limits = Limits { keys: 1, seed: 1 };
    let plan = plan(&flows, shown.queues, &in_force, Keys::AsItIs, limits, &mut |_, _| false);
    let plan = plan.map_err(|error| error.to_string())?;
    let over_mean = |load: f64| super::over_mean(load, &plan);
    Ok(Gain {
        before: over_mean(plan.before.max()),
        after: over_mean(plan.after.max()),
        best_possible: over_mean(plan.best_possible.lower),
        entries_changed: plan.entries_changed(),
        elephants: plan.elephants.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_api::PortRss;
    use control_api::status::{QueueStatus, Status};
    use nic_config::rss::{Fields, Function, Reta, RssKey, Spread, Tuple};
    use std::time::Duration;

    /// Two queues; of eight peers those whose entries are on queue 0 send ten times as much as others.
    pub(super) fn looks() -> [Look; 2] {
        let (key, reta) = (RssKey::microsoft(40).unwrap(), Reta::in_turn(128, 2).unwrap());
        let spread = Spread::new(Function::Toeplitz, Fields::default(), &key, reta.clone());
        let mut flows: Vec<_> = (1..=8)
            .map(|peer| {
                let (source, destination) =
                    (([192, 0, 2, peer], 5060).into(), ([198, 51, 100, 1], 5060).into());
                let queue = spread.queue(&Tuple::new(source, destination).unwrap()).queue;
                let messages = if queue == 0 { 1_000.0 } else { 100.0 };
                FlowRate { source, destination, queue, messages, bytes: 500.0 * messages }
            })
            .collect();
        flows.sort_by(|a, b| b.messages.total_cmp(&a.messages));
        let of = |queue: u16| -> f64 {
            flows.iter().filter(|flow| flow.queue == queue).map(|flow| flow.messages).sum()
        };
        let loads = [of(0), of(1)];
        let rss = PortRss {
            port: "core".into(),
            driver: "net_ice".into(),
            queues: 2,
            key: Some(key.bytes().to_vec()),
            reta: reta.entries().to_vec(),
            fields: Some(Fields::default().to_string()),
            ..PortRss::default()
        };
        let (began, flows) = (
            Instant::now(),
            PortFlows { port: "core".into(), seconds: 30.0, flows, ..PortFlows::default() },
        );
        [0_u16, 2].map(|second| {
            let queue = |(load, queue): (&f64, u16)| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "small"
                )]
                let received = *load as u64 * u64::from(second);
                QueueStatus {
                    port: "core".into(),
                    queue,
                    lcore: 2 + queue,
                    received,
                    bursts: received / 4,
                    busy_ns: received * 300,
                    ..QueueStatus::default()
                }
            };
            let queues = loads.iter().zip(0..).map(queue).collect();
            let at = began + Duration::from_secs(second.into());
            let counters = Moment { status: Status { queues, ..Status::default() }, at };
            Look { counters, rss: Ok(rss.clone().into()), flows: flows.clone() }
        })
    }

    #[test]
    fn queues_flows_and_a_plan_are_seen() {
        let [before, after] = looks();
        let view = View::between(&before, &after);
        let loads: f64 = view.queues.iter().map(|queue| queue.of_mean).sum();
        assert!((loads - 2.0).abs() < 1e-9 && view.queues[0].lcore == 2);
        assert!((view.queues[0].of_mean - view.max_over_mean).abs() < 1e-9);
        assert!((view.seconds - 2.0).abs() < 1e-9 && (view.queues[0].per_burst - 4.0).abs() < 1e-9);
        assert!(view.max_over_mean > 1.5, "{}", view.max_over_mean);
        assert!((view.flows.iter().map(|flow| flow.share).sum::<f64>() - 1.0).abs() < 1e-9);
        let plan = view.plan.unwrap();
        assert!((plan.before - view.max_over_mean).abs() < 0.01, "{plan:?}");
        assert!(plan.after < plan.before && plan.after >= plan.best_possible);
        assert!(plan.entries_changed > 0 && view.no_plan.is_none());
    }

    #[test]
    fn a_driver_without_rss_is_a_reason_and_nothing_at_all_no_failure() {
        let [mut before, mut after] = looks();
        after.rss = Err("net_af_xdp shows no RSS".into());
        let view = View::between(&before, &after);
        assert_eq!((view.plan, view.driver), (None, None));
        assert_eq!(view.no_plan.as_deref(), Some("net_af_xdp shows no RSS"));
        for look in [&mut before, &mut after] {
            look.flows.flows.clear();
            look.counters.status.queues.clear();
        }
        let view = View::between(&before, &after);
        assert_eq!((view.queues.len(), view.flows.len(), view.other_flows), (0, 0, 0));
        assert!((view.max_over_mean - 1.0).abs() < 1e-9);
    }
}
