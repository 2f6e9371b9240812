//! What a reload cannot change.

use super::Loaded;
use super::changes::Change;
use crate::config::Config;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What must be started again before a setting has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    /// The data plane: calls that it carries are interrupted.
    Dataplane,
    /// Control: calls go on.
    Control,
    /// Both.
    Both,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dataplane => "needs a restart of the data plane",
            Self::Control => "needs a restart of control",
            Self::Both => "needs a restart of both processes",
        })
    }
}

/// A setting, or a section of them, with what needs a restart for it and whether two configurations differ in it.
type Fixed = (&'static str, Restart, fn(&Config, &Config) -> bool);

/// All that is fixed while the processes run: ports, queues, cores and memory are DPDK's and are laid out once;
/// the directories hold locks and open files.
const FIXED: &[Fixed] = &[
    ("ports", Restart::Dataplane, |a, b| a.nic.ports != b.nic.ports),
    ("lcores", Restart::Dataplane, |a, b| a.nic.lcores != b.nic.lcores),
    ("memory", Restart::Dataplane, |a, b| a.nic.memory != b.nic.memory),
    ("appliance.run_directory", Restart::Both, |a, b| {
        a.appliance.run_directory != b.appliance.run_directory
    }),
    ("appliance.state_directory", Restart::Both, |a, b| {
        a.appliance.state_directory != b.appliance.state_directory
    }),
    ("appliance.secret_file", Restart::Control, |a, b| {
        a.appliance.secret_file != b.appliance.secret_file
    }),
    // Workers would promise what control does not keep.
    ("registrar.store", Restart::Control, |a, b| a.registrar.store != b.registrar.store),
    ("cluster", Restart::Control, |a, b| a.cluster != b.cluster),
    ("connections.threads", Restart::Control, |a, b| {
        a.connections.threads != b.connections.threads
    }),
    ("connections.cores", Restart::Control, |a, b| a.connections.cores != b.connections.cores),
    ("log.format", Restart::Control, |a, b| a.log.format != b.log.format),
];

/// What differs between two configurations, with what of it needs a restart.
pub fn differences(running: &Loaded, new: &Loaded) -> Vec<Change> {
    let table = |loaded: &Loaded| loaded.text.parse().unwrap_or_default();
    let mut changes = super::changes::changes(&table(running), &table(new));
    for change in &mut changes {
        change.restart = restart(&change.setting, &running.config, &new.config);
    }
    changes.extend(changed_prefixes(&running.config, &new.config));
    changes
}

/// What is written differently but means the same needs no restart.
fn restart(setting: &str, running: &Config, new: &Config) -> Option<Restart> {
    let holds = |place: &str| {
        let rest = setting.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ' ']))
    };
    let fixed = FIXED.iter().find(|(place, _, differ)| holds(place) && differ(running, new));
    fixed.map(|(_, restart, _)| *restart)
}

/// Prefix tables of the same name whose files have other contents.
fn changed_prefixes(running: &Config, new: &Config) -> Vec<Change> {
    let changed = new.prefix_tables.iter().filter_map(|table| {
        let old = running.prefix_tables.iter().find(|old| old.name == table.name)?;
        let shown = |of: &crate::config::PrefixTable| {
            format!("{} prefixes of {}", of.table().len(), of.file.display())
        };
        (old.table() != table.table()).then(|| Change {
            setting: format!("prefix_tables[{}] (contents)", table.name),
            before: Some(shown(old)),
            after: Some(shown(table)),
            restart: None,
        })
    });
    changed.collect()
}

/// `new` with everything that is fixed as it is in `running`.
pub(super) fn without_fixed(new: &Config, running: &Config) -> Config {
    let mut config = new.clone();
    config.nic = running.nic.clone();
    config.appliance.run_directory.clone_from(&running.appliance.run_directory);
    config.appliance.state_directory.clone_from(&running.appliance.state_directory);
    config.appliance.secret_file.clone_from(&running.appliance.secret_file);
    config.registrar.store = running.registrar.store;
    config.cluster.clone_from(&running.cluster);
    config.connections.threads = running.connections.threads;
    config.connections.cores.clone_from(&running.connections.cores);
    config.log.format = running.log.format;
    config
}

#[cfg(test)]
mod tests {
    use super::{FIXED, differences, without_fixed};
    use crate::configuration::Loaded;
    use std::path::Path;

    const BEFORE: &str = "[appliance]\nname = \"a\"\n[[ports]]\nname = \"p\"\ninterface = \"eth1\"\n\
                          [[listen]]\naddress = \"192.0.2.1:5060\"\n[[routes]]\nrelay = true\n";

    fn loaded(text: &str) -> Loaded {
        Loaded::parse(Path::new("t.toml"), text.to_owned()).unwrap()
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let after = BEFORE.replace("eth1", "eth2").replace("\"a\"", "\"b\"")
            + "[memory]\naors = 7\n[log]\nformat = \"json\"\n";
        let (before, after) = (loaded(BEFORE), loaded(&after));
        let lines: Vec<_> = differences(&before, &after).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "~ appliance.name: \"a\" -> \"b\"",
                "+ log.format: \"json\"   (needs a restart of control)",
                "+ memory.aors: 7   (needs a restart of the data plane)",
                "~ ports[p].interface: \"eth1\" -> \"eth2\"   (needs a restart of the data plane)",
            ]
        );
        let merged = without_fixed(&after.config, &before.config);
        assert!(FIXED.iter().all(|(_, _, differ)| !differ(&merged, &before.config)));
        assert_eq!(merged.appliance.name, "b");
    }

    #[test]
    fn a_default_that_is_written_out_needs_no_restart() {
        let after = BEFORE.replace("interface", "queues = 1\ninterface");
        let changes = differences(&loaded(BEFORE), &loaded(&after));
        assert_eq!((changes.len(), changes[0].restart), (1, None));
    }
}
