//! The settings of the registrar and of credentials, with every check.

use alloc::format;
use alloc::string::String;

use super::build::{SettingsError, check_count, wrong};
use crate::limits::{
    BLOCK_S, CONTACTS_MAX, EXPIRES_S_MAX, FAILURE_WINDOW_S, FAILURES_MAX, FLOW_TIMER_S_MAX,
    FLUSH_PATIENCE_MS_MAX, KEEPALIVE_S, MIN_EXPIRES_S, NONCE_S, REALM_LENGTH_MAX, REALMS_MAX,
    SERVICE_ROUTE_LENGTH_MAX, SERVICE_ROUTES_MAX,
};
use crate::message::Span;
use crate::parse::uri::{Scheme, Uri};
use crate::settings::{AuthSettings, RegistrarSettings};

pub(super) fn check_registrar(settings: &RegistrarSettings) -> Result<(), SettingsError> {
    let RegistrarSettings { min_expires_s: min, max_expires_s: max, .. } = *settings;
    let within = |name: &str, number: u32, range: [u32; 2], unit: &str| {
        check_within(&format!("registrar.{name}"), number, range, unit)
    };
    within("min_expires_s", min, MIN_EXPIRES_S, " s")?;
    within("max_expires_s", max, [min, EXPIRES_S_MAX], " s")?;
    within("default_expires_s", settings.default_expires_s, [min, max], " s")?;
    let contacts = u32::try_from(CONTACTS_MAX).unwrap_or(u32::MAX);
    within("contacts_per_aor", settings.contacts_per_aor.into(), [1, contacts], " bindings")?;
    within("keepalive_s", settings.keepalive_s.into(), KEEPALIVE_S, " s")?;
    within("flow_timer_s", settings.flow_timer_s.into(), [0, FLOW_TIMER_S_MAX], " s")?;
    within("flush_patience_ms", settings.flush_patience_ms, [0, FLUSH_PATIENCE_MS_MAX], " ms")?;
    check_count("registrar.service_route", settings.service_route.len(), SERVICE_ROUTES_MAX)?;
    let numbered = settings.service_route.iter().enumerate();
    numbered.map(|(index, uri)| check_service_route(index, uri)).collect()
}

pub(super) fn check_auth(settings: &AuthSettings) -> Result<(), SettingsError> {
    check_count("auth.realms", settings.realms.len(), REALMS_MAX)?;
    for (index, realm) in settings.realms.iter().enumerate() {
        let setting = format!("auth.realms[{index}].name");
        check_realm(&setting, realm)?;
        if settings.realms[..index].contains(realm) {
            return wrong(setting, format!("\"{realm}\" stands twice"));
        }
    }
    let algorithms = &settings.algorithms;
    if algorithms.is_empty() {
        return wrong("auth.algorithms", "is empty; name SHA-256, MD5 or both");
    }
    if (1..algorithms.len()).any(|index| algorithms[..index].contains(&algorithms[index])) {
        return wrong("auth.algorithms", "names one twice");
    }
    let within = |name: &str, number: u32, range: [u32; 2], unit: &str| {
        check_within(&format!("auth.{name}"), number, range, unit)
    };
    within("nonce_s", settings.nonce_s, NONCE_S, " s")?;
    within("failures_per_source", settings.failures_per_source, [0, FAILURES_MAX], "")?;
    within("failures_per_user", settings.failures_per_user, [0, FAILURES_MAX], "")?;
    within("failure_window_s", settings.failure_window_s, FAILURE_WINDOW_S, " s")?;
    within("block_s", settings.block_s, BLOCK_S, " s")
}

fn check_within(
    setting: &str,
    number: u32,
    [least, most]: [u32; 2],
    unit: &str,
) -> Result<(), SettingsError> {
    if (least..=most).contains(&number) {
        return Ok(());
    }
    wrong(setting, format!("{number}{unit}; {least} to {most}{unit} are possible"))
}

/// A realm stands between quotes in a header, where `"` and `\` would need escapes (RFC 3261 section 25.1)
/// that not all phones undo.
fn check_realm(setting: &str, realm: &str) -> Result<(), SettingsError> {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    if (1..=REALM_LENGTH_MAX).contains(&realm.len()) && realm.bytes().all(is_plain) {
        return Ok(());
    }
    wrong(
        setting,
        format!("1 to {REALM_LENGTH_MAX} printable characters without \" and \\ are possible"),
    )
}

/// RFC 3608 section 5: a SIP URI with `lr`, as it will stand in a Route.
fn check_service_route(index: usize, text: &String) -> Result<(), SettingsError> {
    let bytes = text.as_bytes();
    let is_fine = || {
        let uri = Uri::parse(bytes, Span::new(0, bytes.len()))?;
        let lr = uri.params(bytes)?.lr;
        Some(uri.scheme == Scheme::Sip && lr && !uri.has_headers(Span::new(0, bytes.len())))
    };
    let is_short = (1..=SERVICE_ROUTE_LENGTH_MAX).contains(&bytes.len());
    if is_short && bytes.iter().all(u8::is_ascii_graphic) && is_fine() == Some(true) {
        return Ok(());
    }
    let setting = format!("registrar.service_route[{index}]");
    wrong(setting, format!("\"{text}\" is no SIP URI with lr, such as sip:192.0.2.1;lr"))
}
