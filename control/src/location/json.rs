//! Records as JSON, one AoR a line: what `trunkline location dump` writes and `restore` reads.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sip_core::Transport;
use sip_core::record::{BindingView, Record, records, write};
use std::net::SocketAddr;

/// An AoR with its bindings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AorLine {
    /// `user@host`
    pub aor: String,
    /// Its bindings.
    pub bindings: Vec<BindingLine>,
}

/// A binding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindingLine {
    /// Contact URI.
    pub uri: String,
    /// When it ends, in milliseconds since 1970.
    pub expires_unix_ms: u64,
    /// Preference in thousandths, 0 to 1000.
    pub q: u16,
    /// Where its last REGISTER came from.
    pub source: SocketAddr,
    /// The listen point that it came in by.
    pub listen: SocketAddr,
    /// What was spoken there.
    #[serde(default)]
    pub transport: Transport,
    /// Whether it is reached where it registered from.
    pub is_flow: bool,
    /// Value of `+sip.instance`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// Its flow (RFC 5626); 0 when it has none.
    #[serde(default)]
    pub reg_id: u32,
    /// Values of Path (RFC 3327).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// CSeq that it was last changed with.
    pub cseq: u32,
    /// Hash of the Call-ID that it was last changed with.
    pub call_id_hash: u64,
}

/// The lines of records.
///
/// # Errors
/// When these are no records.
pub fn lines(bytes: &[u8]) -> Result<Vec<AorLine>> {
    records(bytes).map(|record| Ok(AorLine::of(&record?))).collect()
}

impl AorLine {
    fn of(record: &Record<'_>) -> Self {
        let bindings = record.bindings().map(|binding| BindingLine::of(&binding)).collect();
        Self { aor: record.aor().to_owned(), bindings }
    }

    /// Adds its record to `out`.
    ///
    /// # Errors
    /// What no worker would take.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let bindings: Vec<_> = self.bindings.iter().map(BindingLine::view).collect();
        write(&self.aor, &bindings, out)
            .with_context(|| format!("{}: too long, or too many bindings", self.aor))
    }
}

impl BindingLine {
    fn of(binding: &BindingView<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            uri: text(binding.uri),
            expires_unix_ms: binding.expires_unix_ms,
            q: binding.q,
            source: binding.source,
            listen: binding.listen,
            transport: binding.transport,
            is_flow: binding.is_flow,
            instance: text(binding.instance),
            reg_id: binding.reg_id,
            path: text(binding.path),
            cseq: binding.cseq,
            call_id_hash: binding.call_id_hash,
        }
    }

    fn view(&self) -> BindingView<'_> {
        BindingView {
            uri: self.uri.as_bytes(),
            instance: self.instance.as_bytes(),
            path: self.path.as_bytes(),
            expires_unix_ms: self.expires_unix_ms,
            call_id_hash: self.call_id_hash,
            cseq: self.cseq,
            reg_id: self.reg_id,
            q: self.q,
            is_flow: self.is_flow,
            source: self.source,
            listen: self.listen,
            transport: self.transport,
        }
    }
}

/// An AoR as the store knows it, from what people write: `sip:Alice@Example.COM` is `Alice@example.com`.
pub fn aor_of(text: &str) -> Result<String> {
    let plain = text.strip_prefix("sips:").or_else(|| text.strip_prefix("sip:")).unwrap_or(text);
    let (user, host) = plain
        .rsplit_once('@')
        .with_context(|| format!("{text} is no address of record: user@domain"))?;
    Ok(format!("{user}@{}", host.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::{AorLine, BindingLine, Transport, aor_of, lines};

    impl BindingLine {
        /// The binding of a phone over UDP that has no flow, for tests.
        pub(crate) fn plain(uri: &str, expires_unix_ms: u64) -> Self {
            Self {
                uri: uri.into(),
                expires_unix_ms,
                q: 1_000,
                source: "192.0.2.7:5060".parse().unwrap(),
                listen: "192.0.2.1:5060".parse().unwrap(),
                transport: Transport::Udp,
                is_flow: false,
                instance: String::new(),
                reg_id: 0,
                path: String::new(),
                cseq: 1,
                call_id_hash: 1,
            }
        }
    }

    #[test]
    fn what_is_dumped_is_restored() {
        let binding = BindingLine {
            uri: "sip:alice@192.0.2.7:5070".into(),
            expires_unix_ms: 1_800_000_000_123,
            q: 500,
            source: "192.0.2.7:1024".parse().unwrap(),
            listen: "[2001:db8::1]:5060".parse().unwrap(),
            transport: Transport::Tls,
            is_flow: true,
            instance: "\"<urn:uuid:1>\"".into(),
            reg_id: 1,
            path: "<sip:p.example.com;lr>".into(),
            cseq: 7,
            call_id_hash: u64::MAX,
        };
        let line = AorLine { aor: "alice@example.com".into(), bindings: vec![binding] };
        let text = serde_json::to_string(&line).unwrap();
        let read: AorLine = serde_json::from_str(&text).unwrap();
        let mut bytes = Vec::new();
        read.write(&mut bytes).unwrap();
        assert_eq!(lines(&bytes).unwrap(), [line]);
        assert!(lines(&bytes[1..]).is_err());
    }

    #[test]
    fn people_write_addresses_in_many_ways() {
        assert_eq!(aor_of("sip:Alice@Example.COM").unwrap(), "Alice@example.com");
        assert_eq!(aor_of("bob@[2001:DB8::1]").unwrap(), "bob@[2001:db8::1]");
        assert!(aor_of("alice").is_err());
    }
}
