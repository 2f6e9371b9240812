//! `trunkline check`: a configuration against its own rules, the router's and this machine.

mod overload;
mod registrar;

use crate::config::{Config, ConfigError, Route, Transactions, explain_routes};
use nic_config::{Machine, NicPlan, PlanError};
use sip_core::limits::TIMEOUT_T1;
use sip_core::{Maddr, MergedRequests, SettingsError, Tables};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why a configuration would not start.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The file itself is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file asks for what this machine does not have.
    #[error("{0}: {1}")]
    Plan(String, PlanError),
    /// The router refuses what the file says.
    #[error(transparent)]
    Tables(SettingsError),
    /// The machine cannot be looked at.
    #[error("this machine cannot be looked at: {0}")]
    Machine(#[from] std::io::Error),
}

/// A configuration that would start on this machine, for people to read.
#[derive(Debug)]
pub struct Checked {
    /// The configuration.
    pub config: Config,
    /// What the data plane would run.
    pub plan: NicPlan,
    /// The tables that the router would use.
    pub tables: Tables,
    /// How long it took to read and check the files, and to build the tables.
    pub took: [Duration; 2],
}

/// Checks the file at `path` with all that can be known before a start.
///
/// # Errors
/// Every mistake in the file, or the first thing that this machine lacks.
pub fn check(path: &Path) -> Result<Checked, CheckError> {
    let start = Instant::now();
    let config = Config::load(path)?;
    let read_in = start.elapsed();
    let machine = Machine::probe()?;
    let plan = nic_config::plan(&config.nic, &machine)
        .map_err(|error| CheckError::Plan(path.display().to_string(), error))?;
    let start = Instant::now();
    let tables = Tables::build(&config.to_settings([0; 16])).map_err(CheckError::Tables)?;
    let took = [read_in, start.elapsed()];
    Ok(Checked { config, plan, tables, took })
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, plan, .. } = self;
        let appliance = &config.appliance;
        writeln!(f, "appliance {}", appliance.name)?;
        if !appliance.domains.is_empty() {
            writeln!(f, "  answers for {}", appliance.domains.join(", "))?;
        }
        let record = if appliance.record_route { "puts itself into" } else { "stays out of" };
        writeln!(f, "  {record} the Record-Route of dialogs")?;
        if appliance.maddr == Maddr::Honour {
            writeln!(f, "  sends messages to the maddr that their Via or URI names")?;
        }
        writeln!(f, "  management socket {}", appliance.socket().display())?;
        writeln!(f, "\nplan\n{}", crate::status_report::indented(&plan.to_string()))?;
        writeln!(f, "listens on")?;
        for listen in &config.listen {
            writeln!(f, "  {} {}", listen.transport.name(), listen.address)?;
        }
        self.write_prefix_tables(f)?;
        self.write_transactions(f)?;
        write!(f, "{}{}", registrar::location(config), registrar::credentials(config))?;
        write!(f, "{}", overload::overload(&config.overload))?;
        writeln!(f, "\nroutes, the first that fits decides")?;
        write!(f, "{}", crate::status_report::indented(&explain_routes(config)))
    }
}

impl Checked {
    /// How stateful routes send on, if there are some.
    fn write_transactions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.config.routes.iter().any(Route::is_stateful) {
            return Ok(());
        }
        let Transactions { t1_ms, t2_ms, t4_ms, timer_c_seconds, .. } = self.config.transactions;
        let Transactions { failover_ms, attempts, in_dialog, recurse, merged, .. } =
            self.config.transactions;
        let via_ports = &self.config.transactions.via_ports;
        let gives_up = (TIMEOUT_T1 * t1_ms).div_ceil(1_000);
        writeln!(f, "\ntransactions")?;
        writeln!(
            f,
            "  T1 {t1_ms} ms, T2 {t2_ms} ms, T4 {t4_ms} ms; a destination that is silent for 64 T1 = {gives_up} s is given up"
        )?;
        writeln!(f, "  a callee may ring for {timer_c_seconds} s (timer C)")?;
        if !via_ports.is_empty() {
            writeln!(f, "  each worker's requests leave from a port of its own: {via_ports:?}")?;
        }
        let silent = match failover_ms {
            0 => String::new(),
            ms => format!(", the next after {ms} ms of silence"),
        };
        writeln!(f, "  at most {attempts} destination(s) are tried for a request{silent}")?;
        let within = if in_dialog { "get transactions too" } else { "stay stateless" };
        let redirected = if recurse { "are followed" } else { "are passed on" };
        let again = match merged {
            MergedRequests::Refuse => "are answered with 482",
            MergedRequests::Forward => "are sent on",
        };
        writeln!(
            f,
            "  requests within our dialogs {within}; 3xx responses {redirected}; merged requests {again}"
        )
    }

    fn write_prefix_tables(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.config.prefix_tables.is_empty() {
            return Ok(());
        }
        let [read_in, built_in] = self.took;
        writeln!(f, "\nprefix tables, read and checked in {read_in:.0?}, built in {built_in:.0?}")?;
        for (table, size) in self.config.prefix_tables.iter().zip(self.tables.prefix_sizes()) {
            let file = table.file.display();
            let kib = size.memory.div_ceil(1024);
            writeln!(f, "  {}: {} prefixes of {file}, {kib} KiB", table.name, size.entries)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nic_config::location::LocationCapacity;
    use nic_config::settings::MemorySettings;
    use nic_config::transactions::TransactionCapacity;
    use sip_core::{DigestSizes, LocationSizes, TransactionSizes};

    #[test]
    fn bindings_need_no_more_memory_than_is_planned() {
        for aors in [1_000, 65_536, 1_000_000, 5_000_000] {
            let settings = MemorySettings { aors, ..MemorySettings::default() };
            let planned = LocationCapacity::of(&settings);
            let LocationCapacity { aors, bindings, text_blocks } = planned;
            let sizes = LocationSizes { aors, bindings, text_blocks };
            let (needed, planned) = (sizes.memory() >> 20, planned.mebibytes() as usize);
            assert!(
                needed <= planned + 1,
                "{aors}: {needed} of {planned} MiB: {:?}",
                sizes.parts()
            );
            assert!(planned <= needed + needed / 4 + 1, "{aors}: {planned} for {needed} MiB");
        }
    }

    #[test]
    fn credentials_need_no_more_memory_than_is_planned() {
        use nic_config::registrar::{FAILURES, NONCES, digest_mebibytes};
        let sizes = DigestSizes { nonces: NONCES, failures: FAILURES };
        assert_eq!(sizes, DigestSizes::default());
        let needed = sizes.memory().div_ceil(1 << 20);
        let planned = digest_mebibytes() as usize;
        assert!(needed <= planned && planned <= needed + needed / 2, "{needed} of {planned} MiB");
    }

    #[test]
    fn transactions_need_no_more_memory_than_is_planned() {
        for transactions in [1_000, 65_536, 1_000_000] {
            let settings = MemorySettings { transactions, ..MemorySettings::default() };
            let planned = TransactionCapacity::of(&settings);
            let buffers = planned.message_buffers;
            let needed = TransactionSizes { transactions, buffers }.memory().div_ceil(1 << 20);
            let planned = planned.mebibytes() as usize;
            assert!(needed <= planned + 1, "{transactions}: {needed} of {planned} MiB");
            assert!(
                planned <= needed + needed / 4 + 1,
                "{transactions}: {planned} for {needed} MiB"
            );
        }
    }
}
