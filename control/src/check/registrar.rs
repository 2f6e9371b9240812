//! `[registrar]` and `[auth]` in words.

use crate::config::{Action, Auth, Config, CredentialFormat, CredentialSource, Realm};
use sip_core::{Blocked, DigestAlgorithm, Durability, KeepAlive, Nat, RegistrarSettings, Store};
use std::fmt::Write;

/// How users are registered and found; empty when no route does either.
pub(super) fn location(config: &Config) -> String {
    let does = |action: &Action| config.routes.iter().any(|route| route.action == *action);
    let (registers, locates) = (does(&Action::Register), does(&Action::Locate));
    let mut text = String::new();
    if registers || locates {
        text.push_str("\nlocation\n");
    }
    if registers {
        text.push_str(&registrations(&config.registrar));
    }
    if registers && !locates {
        text.push_str(
            "  note: no route has locate = true: nobody is called by these registrations\n",
        );
    }
    for (index, route) in config.routes.iter().enumerate() {
        if route.action == Action::Register && route.auth.is_none() {
            let number = index + 1;
            let _ = writeln!(
                text,
                "  warning: route {number} asks for no credentials: whoever reaches it can register as anybody"
            );
        }
    }
    text
}

fn registrations(settings: &RegistrarSettings) -> String {
    let RegistrarSettings { min_expires_s, default_expires_s, max_expires_s, .. } = settings;
    let mut text = format!(
        "  registered for {min_expires_s} s to {max_expires_s} s, {default_expires_s} s where a phone does not say\n  \
         at most {} bindings of one address-of-record{}\n",
        settings.contacts_per_aor,
        match settings.aors_per_source {
            0 => String::new(),
            most => format!(", {most} addresses-of-record from one source address in each worker"),
        }
    );
    let _ = writeln!(text, "  {}{}", reached(settings.nat), kept_alive(settings));
    let _ = writeln!(
        text,
        "  {}; {}",
        match (settings.outbound, settings.flow_timer_s) {
            (false, _) => "no flows (RFC 5626)".to_owned(),
            (true, 0) => "flows (RFC 5626)".to_owned(),
            (true, seconds) => format!("flows (RFC 5626), kept by the phone every {seconds} s"),
        },
        if settings.gruu { "GRUUs (RFC 5627)" } else { "no GRUUs (RFC 5627)" },
    );
    if !settings.service_route.is_empty() {
        let _ = writeln!(text, "  Service-Route {}", settings.service_route.join(", "));
    }
    let _ = match settings.durability {
        Durability::Memory if settings.store == Store::None => {
            writeln!(
                text,
                "  200 once a change is in memory; no store: a restart of the data plane forgets all"
            )
        }
        Durability::Memory => writeln!(text, "  200 once a change is in memory; the store follows"),
        Durability::Flushed => writeln!(
            text,
            "  200 once a change is on disk; from memory when the store is silent for {} ms",
            settings.flush_patience_ms
        ),
    };
    text
}

fn reached(nat: Nat) -> &'static str {
    match nat {
        Nat::Auto => "a phone whose Contact is not where it registers from is reached there",
        Nat::Always => "every phone is reached where it registers from",
        Nat::Never => "phones are reached where their Contact says",
    }
}

fn kept_alive(settings: &RegistrarSettings) -> String {
    match settings.keepalive {
        KeepAlive::Off => ", and keeps its NAT open itself".into(),
        KeepAlive::Crlf => format!(", with a CRLF every {} s", settings.keepalive_s),
        KeepAlive::Options => format!(", with OPTIONS every {} s", settings.keepalive_s),
    }
}

/// How users prove who they are; empty without realms.
pub(super) fn credentials(config: &Config) -> String {
    let auth = &config.auth;
    if auth.realms.is_empty() {
        return String::new();
    }
    let mut text = "\ncredentials\n".to_owned();
    for realm in &auth.realms {
        let _ = writeln!(text, "  {}: {}", realm.name, source(realm));
        if !config.routes.iter().any(|route| route.auth.as_ref() == Some(&realm.name)) {
            let _ = writeln!(text, "  note: no route has auth = \"{}\"", realm.name);
        }
    }
    let algorithms: Vec<_> = auth.algorithms.iter().map(|algorithm| name(*algorithm)).collect();
    let _ =
        writeln!(text, "  {}; nonces are good for {} s", algorithms.join(", then "), auth.nonce_s);
    text.push_str(&blocks(auth));
    text
}

fn source(realm: &Realm) -> String {
    match &realm.source {
        CredentialSource::File { path, format: CredentialFormat::Csv } => {
            format!("{} (csv)", path.display())
        }
        CredentialSource::File { path, format: CredentialFormat::Htdigest } => {
            format!("{} (htdigest)", path.display())
        }
        CredentialSource::Database { address, query } => {
            // What stands before the host may be a password.
            let host = address.rsplit_once('@').map_or(address.as_str(), |(_, host)| host);
            format!("{host}: {query}")
        }
    }
}

fn name(algorithm: DigestAlgorithm) -> &'static str {
    match algorithm {
        DigestAlgorithm::Sha256 => "SHA-256",
        DigestAlgorithm::Md5 => "MD5",
    }
}

fn blocks(auth: &Auth) -> String {
    let limit = |most: u32, of: &str| (most > 0).then(|| format!("{most} of {of}"));
    let limits =
        [limit(auth.failures_per_source, "one source"), limit(auth.failures_per_user, "one user")];
    let limits: Vec<_> = limits.into_iter().flatten().collect();
    if limits.is_empty() {
        return "  warning: failures are not limited: passwords can be guessed at line rate\n"
            .into();
    }
    let fate = match auth.blocked {
        Blocked::Drop => "is dropped",
        Blocked::Forbid => "is answered with 403",
    };
    format!(
        "  after {} failures within {} s, what they send {fate} for {} s\n",
        limits.join(" or "),
        auth.failure_window_s,
        auth.block_s
    )
}
