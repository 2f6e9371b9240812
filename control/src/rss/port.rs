//! What stands in a port, and plans on their way into it, as programs read and write them.

use super::InEthtoolForm;
use control_api::PortRss;
use nic_config::rss::planner::InForce;
use nic_config::rss::{Fields, Function, Reta, RssError, RssKey};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};

/// What a port spreads packets with, as its driver shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Name of the port.
    pub port: String,
    /// The driver, or the kernel interface.
    pub driver: String,
    /// Receive queues that workers poll.
    pub queues: u16,
    /// What is hashed, where the driver says it.
    pub fields: Option<String>,
    /// The key as `ethtool` writes it; some drivers keep it to themselves.
    pub key: Option<String>,
    /// Queue of each entry.
    pub reta: Vec<u16>,
    /// Changes that `undo` can take back.
    pub undo_steps: u16,
    /// Whether this request changed the key.
    pub key_changed: bool,
    /// Entries that this request changed.
    pub entries_changed: u16,
}

impl From<PortRss> for Shown {
    fn from(port: PortRss) -> Self {
        let key = port.key.and_then(|bytes| RssKey::new(bytes).ok());
        Self {
            port: port.port,
            driver: port.driver,
            queues: port.queues,
            fields: port.fields,
            key: key.map(|key| key.to_string()),
            reta: port.reta,
            undo_steps: port.undo_steps,
            key_changed: port.key_changed,
            entries_changed: port.entries_changed,
        }
    }
}

impl Shown {
    /// One line about what a request changed.
    pub fn change(&self) -> String {
        let Self { port, reta, entries_changed, undo_steps, .. } = self;
        let key = if self.key_changed { "the key and " } else { "" };
        format!(
            "port {port}: {key}{entries_changed} of {} entries changed, read back and compared; {undo_steps} to undo",
            reta.len()
        )
    }
}

impl Shown {
    /// What the software needs to compute as the port does.
    ///
    /// # Errors
    /// A driver that keeps its key to itself, or shows what no NIC has.
    pub fn in_force(&self) -> Result<InForce, String> {
        let named = |error: RssError| format!("port {}: {error}", self.port);
        let hidden = || format!("port {}: its driver keeps the key to itself", self.port);
        let key = self.key.as_deref().ok_or_else(hidden)?.parse().map_err(named)?;
        let fields = self.fields.as_deref().map(str::parse::<Fields>);
        let fields = fields.transpose().map_err(named)?.unwrap_or_default();
        let reta = Reta::new(self.reta.clone()).map_err(named)?;
        Ok(InForce { function: Function::Toeplitz, fields, key, reta })
    }
}

impl Display for Shown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { port, driver, queues, undo_steps, .. } = self;
        writeln!(f, "port {port}, {driver}: {queues} queues; {undo_steps} changes to undo")?;
        if let Some(fields) = &self.fields {
            writeln!(f, "hashed: {fields}")?;
        }
        let (Ok(reta), key) = (Reta::new(self.reta.clone()), self.key.as_deref()) else {
            return write!(f, "a table of {} entries", self.reta.len());
        };
        match key.and_then(|key| key.parse().ok()) {
            Some(key) => write!(f, "{}", InEthtoolForm { key: &key, reta: &reta }),
            None => write!(f, "{reta}the driver keeps its key to itself"),
        }
    }
}

/// A plan as `trunkline rss plan --json` writes it; of all that stands in it, what concerns a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PlanFile {
    /// The key as `ethtool` writes it; without it the one in force stays.
    pub key: Option<String>,
    /// Queue of each entry; without it the table in force stays.
    pub reta: Option<Vec<u16>>,
    /// The hash function that was planned with.
    pub function: Option<String>,
    /// What was hashed.
    pub fields: Option<String>,
}

/// Bytes of a key and queue of each entry, where there are any.
pub type KeyAndReta = (Option<Vec<u8>>, Option<Vec<u16>>);

impl PlanFile {
    /// Bytes of the key, when there is one, and the table.
    ///
    /// # Errors
    /// A key or table that no NIC could have, and a plan that was made for a port that hashes otherwise than `port`.
    pub fn checked(self, port: &PortRss) -> Result<KeyAndReta, String> {
        let function = self.function.as_deref().unwrap_or(Function::Toeplitz.name());
        if function != Function::Toeplitz.name() {
            return Err(format!(
                "the plan is for the hash function {function}; ports hash by toeplitz"
            ));
        }
        if let (Some(planned), Some(hashed)) = (&self.fields, &port.fields)
            && planned != hashed
        {
            return Err(format!(
                "the plan is for {planned}, and port {} hashes {hashed}: plan again with --fields {hashed}",
                port.port
            ));
        }
        let key: Option<RssKey> = self
            .key
            .map(|key| key.parse())
            .transpose()
            .map_err(|error: RssError| error.to_string())?;
        let reta = self.reta.map(Reta::new).transpose().map_err(|error| error.to_string())?;
        let key = key.map(|key| key.bytes().to_vec());
        Ok((key, reta.map(|reta| reta.entries().to_vec())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> PortRss {
        let fields = Some("ipv4,ipv6,ipv4-udp,ipv6-udp".into());
        let key = Some(RssKey::microsoft(40).unwrap().bytes().to_vec());
        let reta = (0..4).cycle().take(128).collect();
        PortRss {
            port: "core".into(),
            driver: "net_virtio".into(),
            queues: 4,
            key,
            reta,
            fields,
            ..PortRss::default()
        }
    }

    #[test]
    fn a_plan_fits_the_port_that_it_was_made_for() {
        let plan = |text: &str| serde_json::from_str::<PlanFile>(text).unwrap().checked(&port());
        let text = format!(
            r#"{{"queues": 4, "function": "toeplitz", "fields": "ipv4,ipv6,ipv4-udp,ipv6-udp", "key": "{}", "seed": 1}}"#,
            "6d:".repeat(39) + "5a"
        );
        let (key, reta) = plan(&text).unwrap();
        assert_eq!((key.unwrap().len(), reta), (40, None));
        for (text, wanted) in [
            (r#"{"function": "xor"}"#, "hash function xor"),
            (r#"{"fields": "ipv4"}"#, "hashes ipv4,ipv6,ipv4-udp,ipv6-udp: plan again"),
            (r#"{"key": "6d:5a"}"#, "has 2 bytes"),
            (r#"{"reta": [0, 1, 2]}"#, "has 3 entries"),
        ] {
            let error = plan(text).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn what_is_in_a_port_reads_like_ethtool() {
        let shown = Shown::from(port());
        let text = shown.to_string();
        assert!(
            text.starts_with("port core, net_virtio: 4 queues; 0 changes to undo\nhashed: ipv4,"),
            "{text}"
        );
        assert!(text.contains("RX flow hash indirection table with 4 RX ring(s)"), "{text}");
        let hidden = Shown { key: None, ..shown };
        assert!(hidden.to_string().ends_with("the driver keeps its key to itself"));
        let changed = Shown { key_changed: true, entries_changed: 5, undo_steps: 1, ..hidden };
        assert!(
            changed.change().contains("the key and 5 of 128 entries changed"),
            "{}",
            changed.change()
        );
    }
}
