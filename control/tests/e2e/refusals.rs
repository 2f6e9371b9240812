//! Starts that cannot be: one clear line each, exit status 2, nothing left behind.

use crate::lab::{Lab, binary, text};
use std::fs::{read_to_string, write};
use std::path::Path;
use std::process::{Command, Output};

const CONFIG: &str = "/run/trunkline/lab/trunkline.toml";

/// Starts a data plane in the appliance's namespace with `config`.
fn dataplane(lab: &Lab, config: &Path) -> Output {
    let program = binary("trunkline-dataplane").display().to_string();
    lab.exec("sut", &["timeout", "10", &program, "--config", &config.display().to_string()])
}

fn assert_refused(output: &Output, parts: &[&str]) {
    assert_eq!(output.status.code(), Some(2), "{}", text(output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = said.lines().last().unwrap_or_default();
    for part in parts {
        assert!(line.contains(part), "{part:?} is missing in: {said}");
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn what_cannot_start_says_why_in_one_line_and_leaves_nothing_behind() {
    let lab = Lab::up(1);
    let config = read_to_string(CONFIG).expect("the lab's configuration");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("broken.toml");
    let with = |from: &str, to: &str| {
        assert!(config.contains(from), "{from:?} is not in {config}");
        write(&file, config.replace(from, to)).expect("a file");
        file.as_path()
    };

    let second = dataplane(&lab, Path::new(CONFIG));
    assert_refused(&second, &["uac0", "in use by another data plane"]);
    let missing = dataplane(&lab, with("\"uac0\"", "\"nope0\""));
    assert_refused(&missing, &["nope0", "no such interface", "uac0"]);
    let unknown = dataplane(&lab, with("interface =", "interfase ="));
    assert_refused(&unknown, &["broken.toml", "line", "interfase", "`interface`"]);
    let absent = dataplane(&lab, Path::new("/run/trunkline/lab/absent.toml"));
    assert_refused(&absent, &["cannot read", "absent.toml"]);

    // None of these touched the data plane that runs.
    assert_eq!(lab.call(&["--calls", "200", "--rate", "200"])["caller"]["failed"], 0);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn without_root_the_missing_privilege_is_named() {
    let lab = Lab::up(1);
    let program = binary("trunkline-dataplane");
    // A copy that an ordinary user may read and run.
    let copy = Path::new("/run/trunkline-e2e-dataplane");
    std::fs::copy(&program, copy).expect("a copy");
    let uas = lab.exec("uas", &["ip", "link", "add", "spare0", "type", "veth", "peer", "spare1"]);
    assert!(uas.status.success(), "{}", text(&uas));
    lab.exec("uas", &["ip", "link", "set", "spare0", "up"]);
    let config = "[[ports]]\nname = \"spare\"\ninterface = \"spare0\"\n[lcores]\nworkers = [0]\n";
    let file = Path::new("/run/trunkline-e2e.toml");
    write(file, config).expect("a file");
    let run = "exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
               --bounding-set=-all /run/trunkline-e2e-dataplane --config /run/trunkline-e2e.toml";
    let output = lab.exec("uas", &["sh", "-c", run]);
    let _ = (std::fs::remove_file(copy), std::fs::remove_file(file));
    assert_refused(&output, &["spare0", "needs", "start as root"]);
}

#[test]
#[ignore = "needs root: make e2e"]
fn check_explains_a_broken_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("broken.toml");
    write(&file, "[appliance]\ndomainz = [\"example.com\"]\n").expect("a file");
    let output = Command::new(binary("trunkline")).arg("check").arg(&file).output().expect("runs");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("domainz") && text(&output).contains("domains"));
}
