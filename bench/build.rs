//! Exports `ioctl` to the drivers, which are loaded at run time: see `src/channels.c` of
//! capsule-ffi.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol=ioctl");
}
