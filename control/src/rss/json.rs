//! A plan as a program reads it.

use super::{Report, over_mean};
use nic_config::rss::planner::{Elephant, End, Outcome};
use serde_json::{Value, json};

/// The plan as one object; the same input gives the same text, unless the time ended the search.
pub fn json(report: &Report) -> Value {
    let Report { plan, in_force, limits, flows } = *report;
    let outcome = |outcome: &Outcome| {
        json!({
            "max_over_mean": over_mean(outcome.max(), plan),
            "queue_loads": outcome.queue_loads,
            "key": outcome.key.to_string(),
            "reta": outcome.reta.entries(),
        })
    };
    let elephant = |elephant: &Elephant| {
        json!({
            "source": elephant.flow.source().to_string(),
            "destination": elephant.flow.destination().to_string(),
            "flows": elephant.flows,
            "weight": elephant.weight,
            "share": elephant.weight / plan.total,
            "over_mean": over_mean(elephant.weight, plan),
            "queue": elephant.queue,
        })
    };
    json!({
        "queues": plan.before.queue_loads.len(),
        "reta_size": in_force.reta.entries().len(),
        "function": in_force.function.name(),
        "fields": in_force.fields.to_string(),
        "flows": flows,
        "weight": plan.total,
        "seed": limits.seed,
        "keys_tried": plan.keys_tried,
        "search_ended": match plan.end {
            End::NearBest => "near_best",
            End::Keys => "keys",
            End::Caller => "time",
        },
        "before": outcome(&plan.before),
        "after": outcome(&plan.after),
        "best_possible": {
            "max_over_mean": over_mean(plan.best_possible.lower, plan),
            "known_max_over_mean": over_mean(plan.best_possible.known, plan),
        },
        "key": plan.after.key.to_string(),
        "reta": plan.after.reta.entries(),
        "entries_changed": plan.entries_changed(),
        "elephants": plan.elephants.iter().map(elephant).collect::<Vec<_>>(),
    })
}
