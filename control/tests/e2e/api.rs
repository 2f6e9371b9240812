//! The API of the running appliance, by the commands of its page.

use crate::lab::{Lab, binary, text};
use crate::reload::ask;
use std::path::Path;
use std::process::Command;

/// The blocks of shell commands of a page.
fn blocks(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let page = std::fs::read_to_string(path).expect("a page");
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(str::to_owned).collect()
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn the_commands_of_the_api_page_work() {
    let lab = Lab::up(1);
    lab.reconfigure(|config| {
        // printf %s secret | sha256sum
        let digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        config.to_owned()
            + &format!("\n[api]\naddress = \"127.0.0.1:9180\"\n[[api.tokens]]\nname = \"prometheus\"\nsha256 = \"{digest}\"\n")
            + "[log]\nlevel = \"warn\"\n"
            + "[[prefix_tables]]\nname = \"none\"\nfile = \"/dev/null\"\n[[routes]]\nforward_by_prefix = \"none\"\n"
    });
    let folder = binary("trunkline").parent().expect("a folder").display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let blocks = blocks("api.md");
    assert!(blocks.len() >= 4, "{blocks:?}");
    for block in blocks {
        let script = block
            .replace("/run/trunkline/", "/run/trunkline/lab/")
            .replace("/etc/trunkline/", "/run/trunkline/lab/");
        let mut command = Command::new(binary("trunkline"));
        command.args(["lab", "exec", "sut", "--", "sh", "-ec", &script]);
        command.env("PATH", &path).env("TRUNKLINE_API", "/run/trunkline/lab/api.sock");
        command.env("TOKEN", "secret");
        let output = command.output().expect("trunkline starts");
        assert!(output.status.success(), "{script}\n{}", text(&output));
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn top_shows_what_calls_do() {
    let lab = Lab::up(1);
    let mut calls = lab.call_command(&["--calls", "6000", "--rate", "1000"]);
    let mut calls = calls.stdout(std::process::Stdio::null()).spawn().expect("calls start");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let top = ask(&["top", "--once", "--socket", "/run/trunkline/lab/dataplane.sock"]);
    let said = text(&top);
    assert!(top.status.success(), "{said}");
    for expected in ["every packet accounted for", "ns by stage", "transmit", "uac0", "lcore 1"] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
    assert!(calls.wait().expect("calls end").success());
}
