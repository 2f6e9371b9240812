//! A plan as a person reads it.

use super::over_mean;
use nic_config::rss::planner::{Elephant, End, InForce, Limits, Outcome};
use nic_config::rss::{Plan, Reta, RssKey};
use std::fmt::{self, Display, Formatter};

/// Characters of the longest bar.
const BAR: f64 = 26.0;
/// Elephants shown.
const ELEPHANTS_MAX: usize = 20;

/// With a best possible max/mean above this the number of queues is worth a word.
const CROWDED: f64 = 1.1;

/// A plan and what it was asked for.
pub struct Report<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What is in force, or taken to be.
    pub in_force: &'a InForce,
    /// What the search was given.
    pub limits: Limits,
    /// How many flows there are.
    pub flows: usize,
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write_head(f)?;
        self.write_queues(f)?;
        self.write_elephants(f)?;
        let after = &self.plan.after;
        writeln!(f, "\n{}\n", InEthtoolForm { key: &after.key, reta: &after.reta })?;
        self.write_how(f)
    }
}

impl Report<'_> {
    fn write_head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (plan, in_force) = (self.plan, self.in_force);
        writeln!(
            f,
            "{} flows of weight {} in all; {} queues, {} entries, {} over {}\n",
            self.flows,
            plan.total,
            plan.before.queue_loads.len(),
            in_force.reta.entries().len(),
            in_force.function.name(),
            in_force.fields,
        )?;
        let best = plan.best_possible;
        let ratio = |load: f64| load / best.lower;
        writeln!(f, "{:15} {:>8} {:>14}", "", "max/mean", "to the best")?;
        for (name, outcome) in [("before", &plan.before), ("after", &plan.after)] {
            let (max, to_best) = (over_mean(outcome.max(), plan), ratio(outcome.max()));
            writeln!(f, "{name:15} {max:8.4} {to_best:14.4}")?;
        }
        writeln!(f, "{:15} {:8.4}", "best possible", over_mean(best.lower, plan))?;
        writeln!(
            f,
            "\nNo assignment of whole flows to queues has a max/mean below the best possible; one with {:.4} is known.",
            over_mean(best.known, plan)
        )?;
        let worth = plan.total / best.lower;
        if over_mean(best.lower, plan) > CROWDED {
            writeln!(
                f,
                "So many queues are too many: these flows fill no more than {worth:.1} of them."
            )?;
        }
        self.write_search(f)
    }

    fn write_search(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plan = self.plan;
        let end = match plan.end {
            End::NearBest => "less than a thousandth is left to gain",
            End::Keys => "no more were to be tried",
            End::Caller => "the time was up, so another run may end elsewhere",
        };
        let key = if plan.after.key == plan.before.key { "stays" } else { "changes" };
        let (changed, entries) = (plan.entries_changed(), plan.after.reta.entries().len());
        let (tried, seed) = (plan.keys_tried, self.limits.seed);
        writeln!(f, "Keys tried from seed {seed}: {tried}; {end}.")?;
        writeln!(f, "The key {key}; {changed} of {entries} entries change.")
    }

    fn write_queues(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plan = self.plan;
        let (before, after) = (&plan.before, &plan.after);
        let fullest = before.max().max(after.max());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a length of 0 to BAR"
        )]
        let bar = |load: f64| "#".repeat((load / fullest * BAR).round() as usize);
        writeln!(f, "\n{:5} {:<34} after (1.00 is the mean)", "queue", "before")?;
        for (queue, (was, is)) in before.queue_loads.iter().zip(&after.queue_loads).enumerate() {
            let loads = [*was, *is].map(|load| (over_mean(load, plan), bar(load)));
            let [(was, was_bar), (is, is_bar)] = loads;
            writeln!(f, "{queue:5} {was:6.2} {was_bar:<27} {is:6.2} {is_bar}")?;
        }
        Ok(())
    }

    fn write_elephants(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plan = self.plan;
        if plan.elephants.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\nElephants: heavier than the mean load of a queue, and no table can split one."
        )?;
        writeln!(f, "{:>6} {:>7} {:>5} flow", "share", "of mean", "queue")?;
        for elephant in plan.elephants.iter().take(ELEPHANTS_MAX) {
            let Elephant { flow, flows, weight, queue } = elephant;
            let others = match flows - 1 {
                0 => String::new(),
                others => format!(" and {others} others that the hash takes for the same"),
            };
            let (share, of_mean) = (weight / plan.total * 100.0, over_mean(*weight, plan));
            writeln!(f, "{share:5.1}% {of_mean:7.2} {queue:5} {flow}{others}")?;
        }
        if plan.elephants.len() > ELEPHANTS_MAX {
            writeln!(f, "and {} more", plan.elephants.len() - ELEPHANTS_MAX)?;
        }
        let has_ports = plan.elephants.iter().all(|elephant| elephant.flows == 1);
        let help = if has_ports {
            "What helps is more flows: several source ports or addresses at the peer, or several ports of ours that it\n\
             spreads its calls over, one for each core."
        } else {
            "What helps is a hash over the ports too, where the NIC can: ethtool -N IFACE rx-flow-hash udp4 sdfn; fragments\n\
             never have them. Then more flows: several source ports or addresses at the peer."
        };
        writeln!(
            f,
            "{help}\nWhere nothing keeps state, other workers take a part of it while they have time: [lcores] spill, on by default."
        )
    }

    fn write_how(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let after = &self.plan.after;
        writeln!(
            f,
            "Put it into a port that runs: write it down with --json plan.json, then trunkline rss apply plan.json --port NAME.\n\
             For every start: rss_key and rss_reta of the port in the configuration."
        )?;
        if self.in_force.function.has_key() && after.key != self.plan.before.key {
            writeln!(
                f,
                "An interface without an appliance gets the key by ethtool -X IFACE hkey {}",
                after.key
            )?;
        }
        writeln!(
            f,
            "(ethtool -X can only give each queue one block of entries of the table; rss apply sets any.)"
        )
    }
}

/// Key and table as `ethtool -x` prints them; `--reta` reads it again.
pub struct InEthtoolForm<'a> {
    /// The key.
    pub key: &'a RssKey,
    /// The table.
    pub reta: &'a Reta,
}

impl InEthtoolForm<'_> {
    /// Those of a plan.
    pub fn of(outcome: &Outcome) -> InEthtoolForm<'_> {
        InEthtoolForm { key: &outcome.key, reta: &outcome.reta }
    }
}

impl Display for InEthtoolForm<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (queues, reta, key) = (self.reta.queues(), self.reta, self.key);
        writeln!(f, "RX flow hash indirection table with {queues} RX ring(s):")?;
        write!(f, "{reta}RSS hash key:\n{key}")
    }
}
