//! What a kernel interface has in force, as `ethtool` tells it: Linux has no other reader that every
//! driver answers, and no crate of ethtool's netlink messages knows those of RSS.

use anyhow::{Context, Result, bail, ensure};
use nic_config::rss::{Fields, Function, Reta, RssKey};
use std::process::Command;

/// What `ethtool -x` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Receive queues.
    pub queues: u16,
    /// The table.
    pub reta: Reta,
    /// The key; some drivers keep it to themselves.
    pub key: Option<RssKey>,
    /// The hash function.
    pub function: Function,
    /// What it hashes of UDP, where the driver says it.
    pub fields: Option<Fields>,
}

/// Asks the kernel about an interface of this network namespace.
///
/// # Errors
/// When there is no such interface, or its driver shows no table.
pub fn read(name: &str) -> Result<Interface> {
    ensure!(!name.starts_with('-'), "{name:?} is no interface");
    let text = ethtool(&["-x", name])?;
    let mut interface = parse(&text).with_context(|| name.to_owned())?;
    let of_family = |flow: &str, family: &str| -> Option<String> {
        let text = ethtool(&["-n", name, "rx-flow-hash", flow]).ok()?;
        text.contains("IP SA").then(|| {
            let ports = if text.contains("L4 bytes 0 & 1") {
                format!(",{family}-udp")
            } else {
                String::new()
            };
            format!("{family}{ports}")
        })
    };
    let sets = [of_family("udp4", "ipv4"), of_family("udp6", "ipv6")];
    let sets: Vec<_> = sets.into_iter().flatten().collect();
    interface.fields = sets.join(",").parse().ok();
    Ok(interface)
}

/// What `ethtool` prints with these arguments.
///
/// # Errors
/// When it is not installed, or refuses.
pub fn ethtool(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ethtool")
        .args(arguments)
        .output()
        .context("ethtool did not start; install Debian's package ethtool")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or("failed without a word");
        bail!("ethtool {}: {said}", arguments.join(" "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn parse(text: &str) -> Result<Interface> {
    let rings = text.split_once("with ").and_then(|(_, rest)| rest.split_once(" RX ring"));
    let queues =
        rings.and_then(|(count, _)| count.parse().ok()).context("ethtool -x names no queues")?;
    let (table, rest) = text.split_once("RSS hash key:").unwrap_or((text, ""));
    let has_entries = table.lines().any(|line| line.trim_start().starts_with("0:"));
    ensure!(
        has_entries,
        "its driver shows no RSS table (ethtool -x), so give --queues or --reta instead"
    );
    let reta = Reta::parse(table)?;
    let key = rest.trim_start().lines().next().and_then(|line| line.parse().ok());
    let is_on = |name: &str| rest.contains(&format!("{name}: on"));
    let function = match (is_on("toeplitz"), is_on("xor"), is_on("crc32")) {
        (false, true, _) => Function::Xor,
        (false, false, true) => bail!("hashes by CRC32, which no one can compute from outside"),
        _ => Function::Toeplitz,
    };
    Ok(Interface { queues, reta, key, function, fields: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(key: &str, functions: &str) -> String {
        let table = Reta::in_turn(128, 6).expect("a table");
        format!(
            "RX flow hash indirection table for eth1 with 6 RX ring(s):\n{table}RSS hash key:\n{key}\n\
             RSS hash function:\n{functions}"
        )
    }

    #[test]
    fn what_ethtool_prints_is_understood() {
        let key = RssKey::microsoft(40).expect("40 bytes");
        let functions = "    toeplitz: on\n    xor: off\n    crc32: off\n";
        let interface = parse(&text(&key.to_string(), functions)).expect("an interface");
        assert_eq!((interface.queues, interface.reta.queues()), (6, 6));
        assert_eq!((interface.key, interface.function), (Some(key), Function::Toeplitz));
        let xor = "    toeplitz: off\n    xor: on\n    crc32: off\n";
        let interface = parse(&text("Operation not supported", xor)).expect("an interface");
        assert_eq!((interface.key, interface.function), (None, Function::Xor));
    }

    #[test]
    fn an_interface_that_shows_nothing_is_an_error() {
        let text = "RX flow hash indirection table for eth0 with 1 RX ring(s):\nOperation not supported\n\
                    RSS hash key:\nOperation not supported\n";
        let error = format!("{:#}", parse(text).expect_err("no table"));
        assert!(error.contains("its driver shows no RSS table"), "{error}");
        let error = format!("{:#}", read("no-such-if0").expect_err("none"));
        assert!(error.contains("ethtool"), "{error}");
    }
}
