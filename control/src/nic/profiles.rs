//! What `trunkline nic profiles` says.

use nic_config::profile::{PROFILES, Profile};
use std::fmt::{self, Display, Formatter};

/// All profiles, one line each.
pub struct List;

impl Display for List {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let head =
            ["driver", "reta", "key", "live", "symm.", "flow", "tx csum", "rx csum", "stamps"];
        let [name, reta, key, rest @ ..] = head;
        write!(f, "{name:10} {reta:>5} {key:>4}")?;
        for word in rest {
            write!(f, "  {word:7}")?;
        }
        writeln!(f, "  devices")?;
        for profile in PROFILES {
            let rss = profile.rss;
            let number =
                |number: Option<usize>| number.map_or("-".into(), |number| number.to_string());
            let reta = number(rss.map(|rss| rss.reta));
            let key = number(rss.map(|rss| rss.key_bytes));
            write!(f, "{:10} {reta:>5} {key:>4}", profile.name)?;
            for (_, ability) in &profile.abilities()[..6] {
                write!(f, "  {:7}", ability.support.name())?;
            }
            writeln!(f, "  {}", profile.devices)?;
        }
        Ok(())
    }
}

/// One profile.
pub struct Page(pub &'static Profile);

impl Display for Page {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let profile = self.0;
        writeln!(f, "{}: {}", profile.name, profile.devices)?;
        let mut line = |what: &str, text: &str| writeln!(f, "  {what:16} {text}");
        line("DPDK's driver", &profile.dpdk.join(", "))?;
        if !profile.kernel.is_empty() {
            line("kernel's driver", &profile.kernel.join(", "))?;
        }
        line("how", profile.binding)?;
        match profile.rss {
            Some(rss) => {
                let more: Vec<_> = rss.other_reta.iter().map(usize::to_string).collect();
                let more = if more.is_empty() {
                    String::new()
                } else {
                    format!(" (also {})", more.join(", "))
                };
                line("RSS table", &format!("{} entries{more}", rss.reta))?;
                line("RSS key", &format!("{} bytes, at first {}", rss.key_bytes, rss.first_key))?;
                line("RSS fields", rss.fields)?;
            }
            None => line("RSS", "none through DPDK")?,
        }
        for (name, ability) in profile.abilities() {
            let note =
                if ability.note.is_empty() { String::new() } else { format!(": {}", ability.note) };
            line(name, &format!("{}{note}", ability.support.name()))?;
        }
        let most =
            |most: Option<u16>| most.map_or("as the device says".into(), |most| most.to_string());
        line("most queues", &most(profile.queues_max))?;
        line("most descriptors", &most(profile.descriptors_max))?;
        for limit in profile.limits {
            line("note", limit)?;
        }
        line("from", &format!("DPDK 22.11: {}", profile.sources.join(", ")))
    }
}
