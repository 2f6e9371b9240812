//! RSS for operators: flows from peer lists, captures and live counts, what an interface has in force, and plans
//! as people, programs and charts show them. The hash and the search are those of [`nic_config::rss`].

pub mod capture;
pub mod chart;
pub mod interface;
mod json;
pub mod live;
pub mod peers;
pub mod port;
mod report;
pub mod watch;

pub use json::json;
pub use report::{InEthtoolForm, Report};

/// A load as a multiple of the mean load of a queue.
fn over_mean(load: f64, plan: &nic_config::rss::Plan) -> f64 {
    load / plan.mean()
}
