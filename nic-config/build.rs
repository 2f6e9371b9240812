//! Compiles the BPF programs. DPDK's AF_XDP driver, which loads the first, asks for a file with BTF.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// In `xdp`, ending in `.bpf.c`.
const PROGRAMS: [&str; 2] = ["sip_redirect", "rss_spread"];

fn main() {
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for program in PROGRAMS {
        let source = format!("xdp/{program}.bpf.c");
        println!("cargo::rerun-if-changed={source}");
        let object = folder.join(program).with_extension("o");
        if let Err(message) = compile(&source, &object).and_then(|()| strip(&source, &object)) {
            println!("cargo::error={message}");
        }
    }
}

fn compile(source: &str, object: &Path) -> Result<(), String> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").map_err(|error| error.to_string())?;
    run(
        Command::new("clang")
            .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf"])
            // The kernel's headers include <asm/...>, which Debian keeps by architecture.
            .arg(format!("-I/usr/include/{arch}-linux-gnu"))
            .args(["-c", source, "-o"])
            .arg(object),
        source,
        "clang, libbpf-dev and linux-libc-dev",
    )
}

/// Debug information is needed to make BTF, not afterwards.
fn strip(source: &str, object: &Path) -> Result<(), String> {
    run(Command::new("llvm-strip").arg("-g").arg(object), source, "llvm")
}

fn run(command: &mut Command, source: &str, packages: &str) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            for line in String::from_utf8_lossy(&output.stderr).lines() {
                println!("cargo::error={line}");
            }
            Err(format!(
                "{program} could not make the BPF program {source}; it needs the Debian packages \
                 {packages}"
            ))
        }
        Err(error) => Err(format!(
            "{program} makes the BPF program {source} and did not start ({error}); install the \
             Debian packages {packages}"
        )),
    }
}
