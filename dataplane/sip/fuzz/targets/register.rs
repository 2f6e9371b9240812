//! Looks for a datagram that breaks the property of `tests/properties/register.rs`.
#![no_main]

#[path = "../../tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|datagram: &[u8]| properties::register(datagram));
