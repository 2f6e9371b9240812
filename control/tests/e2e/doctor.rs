//! The doctor beside a data plane that runs.

use crate::lab::{Lab, binary, text};
use serde_json::Value;
use std::process::Output;

fn doctor(lab: &Lab, config: &str) -> Output {
    let program = binary("trunkline");
    let program = program.to_str().expect("text");
    let socket = "/run/trunkline/lab/dataplane.sock";
    let options = ["--config", config, "--socket", socket, "--json", "-"];
    lab.exec("sut", &[&[program, "nic", "doctor"][..], &options].concat())
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn the_doctor_says_what_the_ports_of_the_lab_were_granted() {
    const CONFIG: &str = "/run/trunkline/lab/trunkline.toml";
    let lab = Lab::up(2);
    let output = doctor(&lab, CONFIG);
    assert!(output.status.success(), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let granted = report["granted"].as_array().expect("a list");
    let drivers: Vec<_> = granted.iter().map(|port| port["driver"].as_str()).collect();
    assert_eq!(drivers, [Some("net_af_xdp"); 2], "{report:#}");
    assert!(granted.iter().all(|port| port["nic_checksums"] == false), "AF_XDP computes none");
    let nics = report["nics"].as_array().expect("a list");
    let is_veth = |nic: &Value| nic["driver"] == "veth" && nic["profile"] == "af_xdp";
    assert!(nics.len() == 2 && nics.iter().all(is_veth), "{report:#}");
    // What nobody may do on veth is found.
    let text = std::fs::read_to_string(CONFIG).expect("the lab's configuration");
    let wrong = text.replace("verify_checksums = false", "verify_checksums = true");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, wrong).expect("written");
    let output = doctor(&lab, file.to_str().expect("text"));
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(report["counts"]["fault"], 2, "{report:#}");
}
