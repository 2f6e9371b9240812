//! The plan as a person reads it: `trunkline check` and the data plane's log print it.

use std::fmt::{self, Display, Formatter};

use crate::location::TEXT_BLOCK_BYTES;
use crate::plan::{MemoryPlan, NicPlan, PortPlan, Rss};
use crate::registrar::{CREDENTIAL_BYTES, FAILURES, NONCES, digest_mebibytes, held_mebibytes};
use crate::settings::Idle;
use crate::transactions::BUFFER_BYTES;

impl Display for NicPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (number, port) in self.ports.iter().enumerate() {
            writeln!(f, "port {number}: {port}")?;
        }
        let names: Vec<_> = self.ports.iter().map(|port| port.name.as_str()).collect();
        for worker in &self.workers {
            let socket = socket(worker.numa);
            let (lcore, queue) = (worker.lcore, worker.queue);
            writeln!(f, "lcore {lcore}{socket}: polls queue {queue} of {}", names.join(", "))?;
        }
        let idle = match self.idle {
            Idle::Poll => "poll on",
            Idle::Yield => "yield",
            Idle::Sleep => "sleep",
        };
        let spill = if self.spill { "; full ones spill stateless work" } else { "" };
        writeln!(f, "lcore {}: service; idle workers {idle}{spill}", self.service)?;
        writeln!(f, "memory: {}", self.memory)?;
        let memory = &self.memory;
        writeln!(
            f,
            "transactions: {} per worker, {} blocks of {BUFFER_BYTES} bytes for their messages: {} MiB \
             per worker",
            memory.transactions, memory.message_buffers, memory.transaction_mebibytes,
        )?;
        writeln!(
            f,
            "location: {} addresses-of-record per worker, {} bindings, {} blocks of {TEXT_BLOCK_BYTES} bytes \
             for their texts: {} MiB per worker",
            memory.location.aors,
            memory.location.bindings,
            memory.location.text_blocks,
            memory.location_mebibytes,
        )?;
        writeln!(
            f,
            "credentials: {NONCES} nonces per worker, {FAILURES} sources and as many users that have failed: {} MiB; \
             answers that wait for the store: {} MiB; {} MiB per worker, and {CREDENTIAL_BYTES} bytes at most for \
             each user, once for all workers",
            digest_mebibytes(),
            held_mebibytes(),
            memory.registrar_mebibytes,
        )?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

impl Display for PortPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (key, value) = self.device.setting();
        write!(f, "{} = {key} {value}", self.name)?;
        if let Some(interface) = &self.interface {
            let driver = interface.driver.as_deref().unwrap_or("virtual");
            write!(f, " (AF_XDP, {driver}, {})", interface.mac)?;
        }
        let spread = match self.rss {
            Rss::Off => "1 queue".to_owned(),
            Rss::Port => format!("{} queues by RSS", self.queues),
            Rss::Interface => format!("{} queues by the interface's own RSS", self.queues),
        };
        let key = if self.rss_key.is_some() { ", key as set" } else { "" };
        let reta = if self.rss_reta.is_some() { ", table as set" } else { "" };
        let moved = if self.rss_rebalance.is_some() { ", rebalanced live" } else { "" };
        let kernel = self.kernel_interface.iter().map(|name| format!(", {name} beside it"));
        let kernel: String = kernel.collect();
        let verified = if self.verify_checksums { "verified" } else { "not verified" };
        write!(
            f,
            "{}, MTU {}{kernel}, {spread}{key}{reta}{moved}, {} rx and {} tx descriptors each, checksums {verified}",
            socket(self.numa),
            self.mtu,
            self.rx_descriptors,
            self.tx_descriptors,
        )
    }
}

impl Display for MemoryPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = if self.hugepages { "hugepages" } else { "ordinary pages" };
        write!(
            f,
            "{} MiB of {kind} ({}): {} pool(s) of {} mbufs with {} bytes, {} cached per lcore",
            self.mebibytes,
            self.reason,
            self.pools,
            self.pool.mbufs,
            self.pool.data_room,
            self.pool.cache_size,
        )
    }
}

fn socket(numa: Option<u16>) -> String {
    numa.map_or_else(String::new, |socket| format!(" (NUMA socket {socket})"))
}
