//! Credential files: CSV, and what `htdigest` writes.

use super::{Users, secrets_from, secrets_of};
use crate::config::CredentialFormat;
use anyhow::{Context, Result, bail};
use control_api::UserSecrets;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tracing::warn;

/// Reads the users of a realm; those of other realms in the file are left out.
pub(super) fn read(path: &Path, format: CredentialFormat, realm: &str) -> Result<Vec<UserSecrets>> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if file.metadata()?.permissions().mode() & 0o004 != 0 {
        let path = path.display();
        warn!("{path} can be read by everybody on this machine: chmod o-r {path}");
    }
    let file = BufReader::new(file);
    let mut users = Users::default();
    let lines = match format {
        CredentialFormat::Csv => each_line(file, |line| take_csv(line, realm, &mut users)),
        CredentialFormat::Htdigest => {
            each_line(file, |line| take_htdigest(line, realm, &mut users))
        }
    };
    let lines =
        lines.map_err(|(line, error)| anyhow::anyhow!("{}:{line}: {error:#}", path.display()))?;
    if lines > 0 && users.users.is_empty() {
        warn!("{} has no user of the realm \"{realm}\"", path.display());
    }
    Ok(users.users)
}

/// How many lines there were, or which one is wrong.
type Lines = Result<u64, (u64, anyhow::Error)>;

/// Takes each line that is neither empty nor a comment.
fn each_line(file: impl BufRead, mut take: impl FnMut(&str) -> Result<()>) -> Lines {
    let mut count = 0;
    for (number, line) in (1..).zip(file.lines()) {
        let wrong = |error| (number, error);
        let line = line.map_err(|_| wrong(anyhow::anyhow!("is no UTF-8")))?;
        let line = line.trim_end_matches('\r');
        if !line.is_empty() && !line.starts_with('#') {
            count += 1;
            take(line).map_err(wrong)?;
        }
    }
    Ok(count)
}

/// `user,password` or `user,realm,HA1[,HA1 of SHA-256]`
fn take_csv(line: &str, realm: &str, users: &mut Users) -> Result<()> {
    if !line.contains('"') {
        return take_fields(&line.split(',').collect::<Vec<_>>(), realm, users);
    }
    // What holds a comma or a quote is quoted (RFC 4180).
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
    let record = reader.records().next().and_then(Result::ok);
    // The library's own words show what stands there.
    let record = record.context("is no CSV")?;
    take_fields(&record.iter().collect::<Vec<_>>(), realm, users)
}

fn take_fields(fields: &[&str], realm: &str, users: &mut Users) -> Result<()> {
    let user = match fields {
        [name, password] => secrets_of(name, realm, password),
        [_, of, _] | [_, of, _, _] if *of != realm => return Ok(()),
        [name, _, md5] => secrets_from(name, md5, "")?,
        [name, _, md5, sha256] => secrets_from(name, md5, sha256)?,
        fields => bail!(
            "has {} fields; user,password or user,realm,HA1 or user,realm,HA1,HA1 of SHA-256 are possible, \
             and a password with a comma stands in quotes",
            fields.len()
        ),
    };
    users.push(user)
}

/// `user:realm:HA1`
fn take_htdigest(line: &str, realm: &str, users: &mut Users) -> Result<()> {
    // A realm may hold colons, a user name none (RFC 7616 section 3.4.2).
    let (name, rest) = line.split_once(':').context("has no colon: user:realm:HA1")?;
    let (of, md5) = rest.rsplit_once(':').context("has one colon: user:realm:HA1")?;
    if of != realm {
        return Ok(());
    }
    users.push(secrets_from(name, md5, "")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::{Digest as _, Md5};

    fn file(text: &str, format: CredentialFormat) -> Result<Vec<UserSecrets>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        std::fs::write(&path, text).unwrap();
        read(&path, format, "example.com")
            .map_err(|error| error.to_string().replace(directory.path().to_str().unwrap(), ""))
    }

    fn csv(text: &str) -> Result<Vec<UserSecrets>, String> {
        file(text, CredentialFormat::Csv)
    }

    const HA1: &str = "f3c2a92d8c54b7f7b2dbf9d7cf1d9a10";

    #[test]
    fn csv_with_passwords_and_with_hashes() {
        let long = HA1.repeat(2);
        let text = format!(
            "# users\nalice,secret\n\nbob,\"a,b\"\"c\"\ncarol,example.com,{HA1}\n\
             dave,other.org,{HA1}\nerin,example.com,{HA1},{long}\nfrank,example.com,,{long}\n"
        );
        let users = csv(&text).unwrap();
        let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, ["alice", "bob", "carol", "erin", "frank"]);
        let md5: [u8; 16] = Md5::digest("bob:example.com:a,b\"c").into();
        assert_eq!(users[1].md5, Some(md5));
        assert!(users[1].sha256.is_some() && users[2].sha256.is_none());
        assert!(users[3].sha256.is_some() && users[4].md5.is_none());
    }

    #[test]
    fn mistakes_name_their_line_and_no_password() {
        let refused = |text: &str, expected: &str| assert_eq!(csv(text).unwrap_err(), expected);
        refused("alice,secret\nalice,other\n", "/users:2: alice stands twice");
        refused(
            "# x\nalice,example.com,hunter2\n",
            "/users:2: the HA1: needs 32 hex digits and has 7 bytes",
        );
        refused("alice,example.com,\n", "/users:1: alice has neither HA1");
        refused(",secret\n", "/users:1: a user name of 0 bytes; 1 to 256 are possible");
        let error = csv("alice,secret\nhunter2\n").unwrap_err();
        assert!(
            error.starts_with("/users:2: has 1 fields") && !error.contains("hunter2"),
            "{error}"
        );
        let error = read(Path::new("/nowhere/users"), CredentialFormat::Csv, "r").unwrap_err();
        assert!(format!("{error:#}").starts_with("/nowhere/users cannot be read: No such file"));
    }

    #[test]
    fn htdigest() {
        let text = format!("alice:example.com:{HA1}\n\nbob:other:{HA1}\n");
        let users = file(&text, CredentialFormat::Htdigest).unwrap();
        assert_eq!(users.len(), 1);
        assert!(users[0].md5.is_some() && users[0].sha256.is_none());
        let error = file("alice\n", CredentialFormat::Htdigest).unwrap_err();
        assert_eq!(error, "/users:1: has no colon: user:realm:HA1");
    }
}
