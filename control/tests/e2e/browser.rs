//! A phone in a browser: SIP.js in Chromium over WebSocket, and a phone on UDP at the other end.
//!
//! The library is its published package, as it was published; the page imports its modules as they are.

use crate::digest::site_of;
use crate::interop::{baresip, connect};
use crate::lab::Lab;
use crate::phone::DOMAIN;
use crate::phones::wait_for;
use crate::registrar::{becomes, location};
use crate::running::Running;
use base64ct::{Base64, Encoding};
use rcgen::{KeyPair, PublicKeyData};
use sha2::{Digest, Sha256, Sha512};
use std::fs::{OpenOptions, read_to_string, write};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// MIT; its licence lies in it.
const LIBRARY: &[u8] = include_bytes!("browser/sip.js-0.21.2.tgz");
/// As the registry that published it names it.
const LIBRARY_SHA512: &str =
    "tSqTcIgrOd2IhP/rd70JablvAp+fSfLSxO4hGNY6LkWRY1SKygTO7OtJEV/BQb8oIxtMRx0LE7nUF2MaqGbFzA==";

fn base64(hash: &[u8]) -> String {
    let mut text = [0; 88];
    Base64::encode(hash, &mut text).expect("room for 64 bytes").to_owned()
}

/// Writes the page and the library to `folder`.
fn lay_out(folder: &Path) {
    assert_eq!(base64(&Sha512::digest(LIBRARY)), LIBRARY_SHA512);
    let file = |name: &str, content: &[u8]| write(folder.join(name), content).expect("a file");
    file("library.tgz", LIBRARY);
    file("phone.html", include_bytes!("browser/phone.html"));
    file("phone.js", include_bytes!("browser/phone.js"));
    let unpacked = Command::new("tar").arg("xzf").arg("library.tgz").current_dir(folder).status();
    assert!(unpacked.expect("tar runs").success());
}

/// Opens the page in a browser that takes the lab's certificate, and no other one; what the page says goes
/// to the log.
fn browse(folder: &Path, name: &str, query: &str) -> (Running, PathBuf) {
    let key = read_to_string("/run/trunkline/lab/key.pem").expect("the lab's key");
    let key = KeyPair::from_pem(&key).expect("a key").subject_public_key_info();
    let trusted = format!("--ignore-certificate-errors-spki-list={}", base64(&Sha256::digest(key)));
    let home = format!("HOME={}", folder.display());
    let profile = format!("--user-data-dir={}/{name}", folder.display());
    let page = format!("file://{}/phone.html?{query}", folder.display());
    let command = ["timeout", "90", "env", &home, "chromium", "--headless=new", "--no-sandbox"];
    let files = ["--disable-gpu", &profile, "--allow-file-access-from-files", &trusted];
    let media = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
    let rest = ["--autoplay-policy=no-user-gesture-required", "--enable-logging=stderr", &page];
    let log = folder.join(format!("{name}.log"));
    let running =
        Running::start("uac", &log, &[&command[..], &files[..], &media[..], &rest[..]].concat());
    (running, log)
}

/// The folder of a baresip that speaks to browsers: ICE, DTLS-SRTP, RTP and RTCP on one port.
fn telephone(folder: &Path) -> String {
    let account = format!(
        "<sip:bob@{DOMAIN}>;auth_user=bob;auth_pass=secret2;regint=60;answermode=auto;medianat=ice;\
         mediaenc=dtls_srtp;outbound=\"sip:10.77.2.1;lr\"\n"
    );
    let path = baresip(folder, "bob", "10.77.2.2", &account);
    let config = OpenOptions::new().append(true).open(folder.join("bob/config"));
    let more = b"rtcp_mux yes\nmodule ice.so\nmodule srtp.so\nmodule dtls_srtp.so\n";
    config.and_then(|mut config| config.write_all(more)).expect("a configuration");
    path
}

/// The telephone calls alice, for so many seconds if she answers, and says what came to the log.
fn telephone_calls(log: &Path, telephone: &str, seconds: &str) {
    let dial = format!("/dial sip:alice@{DOMAIN}");
    let command = ["timeout", "20", "baresip", "-s", "-f", telephone, "-t", seconds, "-e", &dial];
    let status = Running::start("uas", log, &command).0.wait().expect("baresip ends");
    assert!(status.success(), "{}", read_to_string(log).expect("a log"));
}

/// A browser at `server` and a telephone call each other; then the browser is gone.
fn call_each_other(lab: &Lab, folder: &Path, telephone: &str, name: &str, query: &str) {
    let log = |end: &str| folder.join(format!("{name}-{end}.log"));
    let waiting = log("waiting");
    let command = ["timeout", "90", "baresip", "-s", "-f", telephone];
    let bob = Running::start("uas", &waiting, &command);
    // It may not have waited for the end of its last registration.
    wait_for(&waiting, "200 OK () [");
    let (browser, page) = browse(folder, name, query);
    for words in ["registered", "answered", "hears the callee", "over", "waits"] {
        wait_for(&page, &format!("phone: {words}\""));
    }
    for words in [
        ".invalid;branch=",
        ";received=10.77.1.2;rport=",
        "dtls_srtp: verified sha-256 fingerprint OK",
        "incoming rtp for 'audio' established",
        ": session closed: Connection reset by peer",
    ] {
        wait_for(&waiting, words);
    }
    drop(bob);
    let calling = log("calling");
    telephone_calls(&calling, telephone, "4");
    for words in ["rings", "hears the caller", "is done"] {
        wait_for(&page, &format!("phone: {words}\""));
    }
    wait_for(&calling, "Call established");
    // The browser is gone and says nothing: whoever calls learns it at once.
    let failed = location(lab, "flows_failed");
    drop(browser);
    telephone_calls(&log("in-vain"), telephone, "2");
    wait_for(&log("in-vain"), "480 Temporarily Unavailable");
    becomes(lab, "flows_failed", failed + 1);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_browser_and_a_phone_on_udp_call_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("users.csv");
    write(&users, "alice,secret1\nbob,secret2\nphone99,secret99\n").expect("users");
    let source = format!("file = \"{}\"", users.display());
    // The telephone looks at the first challenge alone.
    let site = site_of(folder, "algorithms = [\"MD5\"]", &source);
    let (lab, folder) = (&site.lab, site.folder.path());
    connect(lab);
    lay_out(folder);
    let telephone = telephone(folder);
    let query = |server: &str| format!("user=alice&password=secret1&callee=bob&server={server}");
    call_each_other(lab, folder, &telephone, "ws", &query("ws://10.77.1.1:8080"));
    let instance = "&instance=6f9cd4e2-5c8f-4a10-8c0a-0d7c1d0fbf11";
    let outbound = query("wss://10.77.1.1:8443") + instance;
    call_each_other(lab, folder, &telephone, "wss", &outbound);
    lab.assert_conserved();
}
