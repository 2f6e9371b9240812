//! The workers' lcores: isolated, at full speed, alone on their cores.

use std::collections::BTreeSet;

use super::{Case, Finding, Findings, Level, list};
use crate::settings::Idle;

pub(super) fn check(case: Case<'_>) -> Vec<Finding> {
    let mut found = Findings::of("cores");
    let cpus = &case.server.cpus;
    let Some(settings) = case.settings else {
        let isolated = list(cpus.isolated.iter().copied());
        let isolated = if isolated.is_empty() { "none" } else { &isolated };
        let usable = list(cpus.usable.iter().copied());
        found.ok(format!("lcores {usable}, isolated: {isolated}; --config says which are workers"));
        return found.list;
    };
    isolation(case, &mut found);
    siblings(case, &mut found);
    governors(case, &mut found);
    let lcores = &settings.lcores;
    if lcores.workers.contains(&0) && cpus.usable.len() > 1 {
        found.add(
            Level::Advice,
            "lcore 0 is a worker",
            "much of the kernel's own work stays on lcore 0, whatever is isolated",
            "choose other lcores.workers",
        );
    }
    if lcores.workers.contains(&lcores.service) && lcores.idle == Idle::Poll {
        found.add(
            Level::Warning,
            format!("lcores.service = {} is also a worker, and workers poll", lcores.service),
            "neighbours, status and reloads wait for a worker that never waits",
            "another lcores.service, or lcores.idle = \"yield\"",
        );
    }
    found.list
}

fn isolation(case: Case<'_>, found: &mut Findings) {
    let cpus = &case.server.cpus;
    let workers: BTreeSet<u16> = case.workers().iter().copied().collect();
    let all = list(workers.iter().copied());
    let missing = |from: &BTreeSet<u16>| list(workers.difference(from).copied());
    let grub = |parameters: String| {
        format!("GRUB_CMDLINE_LINUX in /etc/default/grub: {parameters}; update-grub; reboot")
    };
    let not_isolated = missing(&cpus.isolated);
    if not_isolated.is_empty() {
        found.ok(format!("workers {all} are isolated"));
    } else {
        let (level, effect) = if case.is_polling() {
            (
                Level::Warning,
                "the scheduler runs other threads there; the receive ring overflows meanwhile",
            )
        } else {
            (Level::Advice, "the scheduler runs other threads there")
        };
        let wanted = format!("isolcpus=managed_irq,domain,{all} nohz_full={all} rcu_nocbs={all}");
        found.add(level, format!("lcores {not_isolated} are not isolated"), effect, grub(wanted));
        return;
    }
    let ticking = missing(&cpus.nohz_full);
    if !ticking.is_empty() {
        found.add(
            Level::Advice,
            format!("lcores {ticking} are not in nohz_full"),
            "the timer interrupts each of them up to 1,000 times a second",
            grub(format!("nohz_full={all}")),
        );
    }
    let callbacks = missing(&cpus.rcu_nocbs);
    if !callbacks.is_empty() {
        found.add(
            Level::Advice,
            format!("lcores {callbacks} are not in rcu_nocbs"),
            "RCU callbacks run there",
            grub(format!("rcu_nocbs={all}")),
        );
    }
}

/// Two hyper-threads share one core's execution units and caches.
fn siblings(case: Case<'_>, found: &mut Findings) {
    let cpus = &case.server.cpus;
    let others = |lcore: &u16| cpus.siblings.get(lcore).map_or(&[][..], |others| others);
    let workers = case.workers();
    let is_pair = |lcore: &u16| others(lcore).iter().any(|other| workers.contains(other));
    let pairs: Vec<_> = workers.iter().copied().filter(is_pair).collect();
    if !pairs.is_empty() {
        found.add(
            Level::Warning,
            format!("workers {} are hyper-threads of one core", list(pairs)),
            "two workers do little more than one",
            "one worker for each core: lscpu -e=CPU,CORE,SOCKET,NODE",
        );
        return;
    }
    let is_used = |other: &&u16| cpus.usable.contains(other) && !cpus.isolated.contains(other);
    let used: BTreeSet<_> = workers.iter().flat_map(others).filter(is_used).copied().collect();
    if used.is_empty() {
        let seen =
            if cpus.siblings.is_empty() { "no hyper-threads" } else { "each worker has its core" };
        found.ok(seen);
        return;
    }
    let off: Vec<_> = used
        .iter()
        .map(|lcore| format!("echo 0 > /sys/devices/system/cpu/cpu{lcore}/online"))
        .collect();
    found.add(
        Level::Advice,
        format!("the other hyper-threads of the workers' cores are in use: {}", list(used)),
        "what runs there takes from the worker beside it",
        format!("isolate them too, or: {}", off.join("; ")),
    );
}

fn governors(case: Case<'_>, found: &mut Findings) {
    let governors = &case.server.cpus.governors;
    if governors.is_empty() {
        found.ok("no frequency governor: firmware or hypervisor decides");
        return;
    }
    let is_slow = |lcore: &&u16| governors.get(lcore).is_some_and(|name| name != "performance");
    let slow: Vec<_> = case.workers().iter().filter(is_slow).copied().collect();
    let Some(governor) = slow.first().and_then(|lcore| governors.get(lcore)) else {
        found.ok("governor performance");
        return;
    };
    let lcores = list(slow);
    found.add(
        Level::Warning,
        format!("lcores {lcores} have the governor {governor}"),
        "a burst finds the core at a low frequency",
        format!("cpupower -c {lcores} frequency-set -g performance"),
    );
}
