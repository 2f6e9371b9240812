//! Names in the engine. What belongs together has one hash tag, and so one slot and one node.

use crate::config::Cluster;
use sha2::{Digest, Sha256};
use sip_core::record::BindingView;

/// Shards: enough that they spread evenly over any engine, few enough to ask all of them ten times a second.
pub(super) const SHARDS: u8 = 64;

/// The name of a binding within its AoR.
pub(super) type Identity = [u8; 8];

/// The keys of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    cluster: String,
}

impl Keys {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self { cluster: cluster.name.clone() }
    }

    /// The hash of an AoR: its bindings.
    pub(super) fn aor(&self, shard: u8, aor: &str) -> String {
        format!("{{{}:{shard}}}:a:{aor}", self.cluster)
    }

    /// The stream of AoRs of a shard that have changed.
    pub(super) fn log(&self, shard: u8) -> String {
        format!("{{{}:{shard}}}:log", self.cluster)
    }

    /// All AoRs of a shard, by when they end.
    pub(super) fn index(&self, shard: u8) -> String {
        format!("{{{}:{shard}}}:index", self.cluster)
    }

    /// The nodes.
    pub(super) fn nodes(&self) -> String {
        format!("{{{}}}:nodes", self.cluster)
    }

    /// The fingerprint of their secret.
    pub(super) fn secret(&self) -> String {
        format!("{{{}}}:secret", self.cluster)
    }
}

/// The shard of an AoR; the same on every node and in every version.
pub(super) fn shard_of(aor: &str) -> u8 {
    Sha256::digest(aor.as_bytes())[0] % SHARDS
}

/// What tells the secret from others and gives nothing of it away.
pub(super) fn fingerprint(secret: &[u8; 16]) -> String {
    let digest = Sha256::new().chain_update(b"trunkline cluster").chain_update(secret).finalize();
    let first = digest.first_chunk().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(first))
}

/// The name of a binding: its flow (RFC 5626 section 6), or its Contact URI.
pub(super) fn identity(binding: &BindingView<'_>) -> Identity {
    let mut hash = Sha256::new();
    if binding.instance.is_empty() || binding.reg_id == 0 {
        hash.update(b"u");
        hash.update(binding.uri);
    } else {
        let inside =
            binding.instance.strip_prefix(b"\"<").and_then(|rest| rest.strip_suffix(b">\""));
        hash.update(binding.reg_id.to_le_bytes());
        hash.update(inside.unwrap_or(binding.instance));
    }
    let digest = hash.finalize();
    digest.first_chunk().copied().unwrap_or_default()
}
