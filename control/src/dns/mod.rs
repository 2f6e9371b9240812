//! Host names as next hops (RFC 3263): the questions of the data plane, answered with the help of name servers.
//!
//! ```text
//!  data plane ──► link ──► answers ──┬─ known ─────────────────────────► reply
//!                                    └─ locate: NAPTR, SRV, A, AAAA ──┬─► reply
//!                                          by the resolver            ├─ nobody says anything: what was known ──► reply
//!                                                                     └─ failed ──► reply
//! ```
//!
//! A thread of its own does all of it, so that a name server that is slow makes nothing else wait.

mod answers;
mod link;
mod locate;
mod records;
#[cfg(test)]
mod testing;

use crate::config::{Config, Dns};
use answers::Answers;
use anyhow::{Context, Result};
use control_api::NamesStatus;
use sip_core::Transport;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// The thread that answers questions about names; it ends with the last of these.
#[derive(Clone, Debug)]
pub struct Names {
    answers: Arc<Answers>,
    plan: Arc<watch::Sender<Plan>>,
}

/// What of the configuration matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    dns: Dns,
    /// What can be spoken to servers, the best first.
    transports: Vec<Transport>,
}

impl Plan {
    fn of(config: &Config) -> Self {
        let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
        let speaks = |one: &Transport| config.listen.iter().any(|listen| listen.transport == *one);
        let transports = all.into_iter().filter(speaks).collect();
        Self { dns: config.dns.clone(), transports }
    }
}

impl Names {
    /// Answers the data plane behind `socket`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(socket: PathBuf, config: &Config) -> Result<Self> {
        let (plan, plans) = watch::channel(Plan::of(config));
        let answers = Arc::new(Answers::new(plan.borrow().clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let own = Arc::clone(&answers);
        std::thread::Builder::new()
            .name("names".to_owned())
            .spawn(move || runtime.block_on(link::serve(&socket, &own, plans)))
            .context("cannot start the thread for names")?;
        Ok(Self { answers, plan: Arc::new(plan) })
    }

    /// Answers nobody.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        let plan = Plan { dns: Dns::default(), transports: vec![Transport::Udp] };
        let answers = Arc::new(Answers::new(plan.clone()));
        Self { answers, plan: Arc::new(watch::channel(plan).0) }
    }

    /// Goes on by `config`.
    pub fn configure(&self, config: &Config) {
        self.plan.send_replace(Plan::of(config));
    }

    /// What was done so far.
    pub fn status(&self) -> NamesStatus {
        self.answers.status()
    }
}
