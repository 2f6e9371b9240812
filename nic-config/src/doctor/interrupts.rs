//! Where interrupts go: not to the workers.

use std::collections::BTreeSet;

use super::server::Interrupt;
use super::{Case, Finding, Findings, Level, list};

pub(super) fn check(case: Case<'_>) -> Vec<Finding> {
    let mut found = Findings::of("interrupts");
    let workers: BTreeSet<u16> = case.workers().iter().copied().collect();
    let known = &case.server.interrupts;
    let hits = |irq: &Interrupt| irq.cpus.iter().any(|cpu| workers.contains(cpu));
    let mut of_nics = BTreeSet::new();
    for nic in case.nics {
        of_nics.extend(nic.interrupts.iter().copied());
        let all: Vec<_> =
            nic.interrupts.iter().filter_map(|irq| Some((*irq, known.get(irq)?))).collect();
        if all.is_empty() {
            continue;
        }
        let cpus: BTreeSet<u16> =
            all.iter().flat_map(|(_, irq)| irq.cpus.iter().copied()).collect();
        let bad: Vec<_> =
            all.iter().filter(|(_, irq)| hits(irq)).map(|(number, _)| *number).collect();
        let seen = format!("{}: {} interrupts on lcores {}", nic.name, all.len(), list(cpus));
        if bad.is_empty() {
            found.ok(seen);
            continue;
        }
        let usable = case.server.cpus.usable.difference(&workers);
        let rest = list(usable.copied());
        let (effect, mend) = if rest.is_empty() {
            let effect =
                "the kernel's receive work interrupts the workers; there is no other lcore";
            (effect, "fewer lcores.workers".to_owned())
        } else {
            let numbers: Vec<_> = bad.iter().map(u32::to_string).collect();
            let mend = format!(
                "for irq in {}; do echo {rest} > /proc/irq/$irq/smp_affinity_list; done \
                 (irqbalance: IRQBALANCE_BANNED_CPULIST={})",
                numbers.join(" "),
                list(workers.iter().copied()),
            );
            ("the kernel's receive work for AF_XDP runs where a worker polls", mend)
        };
        let seen = format!("{seen}, {} of them on workers", bad.len());
        found.add(Level::Warning, seen, effect, mend);
    }
    let others = known
        .iter()
        .filter(|(number, irq)| irq.count > 0 && hits(irq) && !of_nics.contains(number));
    let names: Vec<_> = others.map(|(number, irq)| format!("{number} ({})", irq.name)).collect();
    if !names.is_empty() {
        found.add(
            Level::Advice,
            format!("interrupts of other devices on workers: {}", names.join(", ")),
            "each costs a worker some microseconds",
            "echo LCORES > /proc/irq/NUMBER/smp_affinity_list, or isolcpus=managed_irq,domain,...",
        );
    } else if !workers.is_empty() {
        found.ok("no other device interrupts a worker");
    }
    found.list
}
