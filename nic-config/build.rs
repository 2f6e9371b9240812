//! Compiles the XDP program. It is loaded by DPDK's AF_XDP driver, which asks for a file with BTF.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "xdp/sip_redirect.bpf.c";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    let object =
        PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("sip_redirect.o");
    if let Err(message) = compile(&object).and_then(|()| strip(&object)) {
        println!("cargo::error={message}");
    }
}

fn compile(object: &Path) -> Result<(), String> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").map_err(|error| error.to_string())?;
    run(
        Command::new("clang")
            .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf"])
            // The kernel's headers include <asm/...>, which Debian keeps by architecture.
            .arg(format!("-I/usr/include/{arch}-linux-gnu"))
            .args(["-c", SOURCE, "-o"])
            .arg(object),
        "clang, libbpf-dev and linux-libc-dev",
    )
}

/// Debug information is needed to make BTF, not afterwards.
fn strip(object: &Path) -> Result<(), String> {
    run(Command::new("llvm-strip").arg("-g").arg(object), "llvm")
}

fn run(command: &mut Command, packages: &str) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            for line in String::from_utf8_lossy(&output.stderr).lines() {
                println!("cargo::error={line}");
            }
            Err(format!(
                "{program} could not make the XDP program {SOURCE}; it needs the Debian packages \
                 {packages}"
            ))
        }
        Err(error) => Err(format!(
            "{program} makes the XDP program {SOURCE} and did not start ({error}); install the \
             Debian packages {packages}"
        )),
    }
}
