//! Users in a PostgreSQL server, which comes and goes.

use crate::digest::{registers, site_of, until};
use crate::lab::text;
use crate::phone::{DOMAIN, Phone};
use std::fs::File;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server of its own on a socket in a folder, ended when dropped.
struct Postgres {
    folder: PathBuf,
    child: Child,
}

/// A program of Debian's `postgresql`, in the newest version that is there.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin").join(name));
    programs.filter(|path| path.exists()).max().expect("Debian's postgresql: make setup")
}

/// The program, run as the server's user, which may not be root.
fn command(name: &str, folder: &Path) -> Command {
    let id = |option| {
        let output = Command::new("id").args([option, "postgres"]).output().expect("id runs");
        String::from_utf8_lossy(&output.stdout).trim().parse::<u32>().expect("a user postgres")
    };
    let (user, group) = (id("-u"), id("-g"));
    chown(folder, Some(user), Some(group)).expect("a folder of postgres");
    let mut command = Command::new(program(name));
    command.uid(user).gid(group).current_dir(folder).stdin(Stdio::null());
    command
}

impl Postgres {
    /// A new one.
    fn begin(folder: &Path) -> Self {
        let mut initdb = command("initdb", folder);
        initdb.args(["--auth=trust", "--username=trunkline", "--no-sync", "-D"]);
        let output = initdb.arg(folder.join("data")).output().expect("initdb runs");
        assert!(output.status.success(), "{}", text(&output));
        Self::start(folder)
    }

    /// The same again.
    fn start(folder: &Path) -> Self {
        let log = File::create(folder.join("log")).expect("a log");
        let mut server = command("postgres", folder);
        server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-D"]).arg(folder.join("data"));
        server.arg("-k").arg(folder).stderr(log.try_clone().expect("a log")).stdout(log);
        let child = server.spawn().expect("postgres starts");
        let server = Self { folder: folder.to_owned(), child };
        until("a server that answers", || server.try_ask("SELECT 1"));
        server
    }

    fn try_ask(&self, query: &str) -> bool {
        let mut psql = Command::new("psql");
        psql.args(["--quiet", "--username=trunkline", "--dbname=postgres", "--host"]);
        psql.arg(&self.folder).args(["--set=ON_ERROR_STOP=1", "--command", query]);
        psql.output().expect("psql runs").status.success()
    }

    #[track_caller]
    fn ask(&self, query: &str) {
        assert!(self.try_ask(query), "{query}");
    }

    fn url(&self) -> String {
        let host = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://trunkline@{host}/postgres")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT: it ends at once and in order.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs root, postgresql and the lab: make e2e"]
fn users_in_a_database_that_comes_and_goes() {
    let place = tempfile::tempdir().expect("a folder");
    let server = Postgres::begin(place.path());
    server.ask("CREATE TABLE subscriber (username text, domain text, ha1 text)");
    let ha1 = format!("md5('phone' || n || ':{DOMAIN}:secret' || n)");
    server.ask(&format!(
        "INSERT INTO subscriber SELECT 'phone' || n, '{DOMAIN}', {ha1} FROM generate_series(0, 999) n"
    ));
    let source = format!("database = \"{}\"", server.url());
    let site = site_of(tempfile::tempdir().expect("a folder"), "", &source);
    let realm = || site.lab.status()["realms"][0].clone();
    assert_eq!((&realm()["users"], &realm()["trouble"]), (&1_000.into(), &serde_json::Value::Null));
    let phone = Phone::caller("phone998", 5061);
    let is_let_in = |password: &str| registers(&phone, password).status() == Some(200);
    assert!(is_let_in("secret998") && !is_let_in("changed"));

    server.ask(&format!(
        "UPDATE subscriber SET ha1 = md5('phone998:{DOMAIN}:changed') WHERE username = 'phone998'"
    ));
    assert!(is_let_in("secret998"), "until it is read again");
    site.lab.signal_control("-HUP");
    until("let in with the new password", || is_let_in("changed"));
    assert!(!is_let_in("secret998"));

    drop(server);
    site.lab.signal_control("-HUP");
    until("said that the server is away", || realm()["trouble"].is_string());
    let trouble = realm()["trouble"].to_string();
    assert!(trouble.contains("cannot be reached"), "{trouble}");
    assert_eq!(realm()["users"], 1_000);
    assert!(is_let_in("changed"), "the last users are in force");

    let server = Postgres::start(place.path());
    until("well again", || realm()["trouble"].is_null());
    assert!(is_let_in("changed"));
    drop(server);
}
