//! Checks the settings of the registrar.

use alloc::format;
use alloc::string::String;

use super::build::{SettingsError, check_count, wrong};
use crate::limits::{
    CONTACTS_MAX, EXPIRES_S_MAX, FLOW_TIMER_S_MAX, FLUSH_PATIENCE_MS_MAX, KEEPALIVE_S,
    MIN_EXPIRES_S, SERVICE_ROUTE_LENGTH_MAX, SERVICE_ROUTES_MAX,
};
use crate::message::Span;
use crate::parse::uri::{Scheme, Uri};
use crate::settings::{Durability, RegistrarSettings, Store};

pub(super) fn check_registrar(settings: &RegistrarSettings) -> Result<(), SettingsError> {
    let RegistrarSettings { min_expires_s: min, max_expires_s: max, .. } = *settings;
    let within = |name: &str, number: u32, [least, most]: [u32; 2], unit: &str| {
        let problem = || format!("{number}{unit}; {least} to {most}{unit} are possible");
        let is_fine = (least..=most).contains(&number);
        if is_fine { Ok(()) } else { wrong(format!("registrar.{name}"), problem()) }
    };
    within("min_expires_s", min, MIN_EXPIRES_S, " s")?;
    within("max_expires_s", max, [min, EXPIRES_S_MAX], " s")?;
    within("default_expires_s", settings.default_expires_s, [min, max], " s")?;
    let contacts = u32::try_from(CONTACTS_MAX).unwrap_or(u32::MAX);
    within("contacts_per_aor", settings.contacts_per_aor.into(), [1, contacts], " bindings")?;
    within("keepalive_s", settings.keepalive_s.into(), KEEPALIVE_S, " s")?;
    within("flow_timer_s", settings.flow_timer_s.into(), [0, FLOW_TIMER_S_MAX], " s")?;
    within("flush_patience_ms", settings.flush_patience_ms, [0, FLUSH_PATIENCE_MS_MAX], " ms")?;
    if settings.store == Store::None && settings.durability == Durability::Flushed {
        let problem =
            "without a store nothing is flushed: say durability = \"memory\", or store = \"disk\"";
        return wrong("registrar.store", problem);
    }
    check_count("registrar.service_route", settings.service_route.len(), SERVICE_ROUTES_MAX)?;
    let mut numbered = settings.service_route.iter().enumerate();
    numbered.try_for_each(|(index, uri)| check_service_route(index, uri))
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
