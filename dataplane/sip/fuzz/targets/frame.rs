//! Looks for a stream that breaks the property of `tests/properties/frame.rs`.
#![no_main]

#[path = "../../tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|datagram: &[u8]| properties::frame(datagram));
