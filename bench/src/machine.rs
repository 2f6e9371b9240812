//! The machine that figures come from, and what makes two machines comparable.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A kind of machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Model name of the CPU, as the kernel gives it.
    cpu: String,
    /// Cores that this process may use.
    cores: usize,
    /// Architecture that the bench was built for.
    arch: String,
}

impl Machine {
    /// The one that this runs on.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub(crate) fn this() -> Result<Self> {
        let info = std::fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Ok(Self {
            cpu: model.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            arch: std::env::consts::ARCH.to_owned(),
        })
    }

    /// A file name for it, without marks of ownership: `intel-xeon-processor-2-x86_64`.
    pub(crate) fn slug(&self) -> String {
        let plain = self.cpu.to_lowercase().replace("(r)", " ").replace("(tm)", " ");
        let words =
            plain.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let cpu = words.collect::<Vec<_>>().join("-");
        format!("{cpu}-{}-{}", self.cores, self.arch)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores, {}", self.cpu, self.cores, self.arch)
    }
}

/// The command that this process was started with, to stand beside its figures.
pub(crate) fn command() -> String {
    let arguments = std::env::args().skip(1);
    std::iter::once("trunkline-bench".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slug_is_a_plain_file_name() {
        let slug = |cpu: &str, cores| {
            Machine { cpu: cpu.to_owned(), cores, arch: "x86_64".to_owned() }.slug()
        };
        assert_eq!(slug("Intel(R) Xeon(R) Processor", 2), "intel-xeon-processor-2-x86_64");
        assert_eq!(
            slug("Intel(R) Core(TM) i7-6700HQ CPU @ 2.60GHz", 8),
            "intel-core-i7-6700hq-cpu-2-60ghz-8-x86_64"
        );
        assert_eq!(
            slug("AMD EPYC 7763 64-Core Processor", 4),
            "amd-epyc-7763-64-core-processor-4-x86_64"
        );
        assert!(!Machine::this().expect("this is a machine").slug().contains(['/', ' ', '.']));
    }
}
