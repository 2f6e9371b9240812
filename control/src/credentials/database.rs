//! Credentials in a database: a file of SQLite, or a PostgreSQL server.

use super::{Users, secrets_from};
use anyhow::{Context, Result, bail};
use control_api::UserSecrets;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::NoTls;

/// How long a server may take to be reached.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// Asks for the users of a realm, whose name is `$1` in `query`. Rows are user name, HA1 of MD5 and, if there is
/// a third column, HA1 of SHA-256; one of them may be NULL.
pub(super) async fn read(address: &str, query: &str, realm: &str) -> Result<Vec<UserSecrets>> {
    let [query, realm] = [query, realm].map(str::to_owned);
    if is_server(address) {
        let answer = tokio::time::timeout(ANSWER_MAX, ask_postgres(address, &query, &realm));
        return answer.await.context("did not answer within 60 s")?;
    }
    let path = PathBuf::from(address);
    tokio::task::spawn_blocking(move || ask_sqlite(&path, &query, &realm)).await?
}

/// Whether it is the URL of a PostgreSQL server and not the path of a file.
pub(crate) fn is_server(address: &str) -> bool {
    address.starts_with("postgres://") || address.starts_with("postgresql://")
}

fn ask_sqlite(path: &PathBuf, query: &str, realm: &str) -> Result<Vec<UserSecrets>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .with_context(|| format!("{} cannot be opened", path.display()))?;
    let mut statement = connection.prepare(query).context("refuses the query")?;
    let mut rows = match statement.parameter_count() {
        0 => statement.query([]),
        _ => statement.query([realm]),
    }?;
    let mut users = Users::default();
    while let Some(row) = rows.next().context("ended early")? {
        let text = |index: usize| match row.get_ref(index) {
            Ok(ValueRef::Null) | Err(_) => Ok(""),
            Ok(ValueRef::Text(text)) => std::str::from_utf8(text).context("gives no UTF-8"),
            Ok(_) => bail!("column {} of the query is no text", index + 1),
        };
        users.push(secrets_from(text(0)?, text(1)?, text(2)?)?)?;
    }
    Ok(users.users)
}

async fn ask_postgres(address: &str, query: &str, realm: &str) -> Result<Vec<UserSecrets>> {
    let mut config: tokio_postgres::Config =
        address.parse().map_err(|_| anyhow::anyhow!("its address is no PostgreSQL URL"))?;
    config.connect_timeout(CONNECT_MAX).application_name("trunkline");
    let (client, connection) = config.connect(NoTls).await.context("cannot be reached")?;
    let connection = tokio::spawn(connection);
    let statement = client.prepare(query).await.context("refuses the query")?;
    let rows = match statement.params() {
        [] => client.query(&statement, &[]).await,
        _ => client.query(&statement, &[&realm]).await,
    };
    let mut users = Users::default();
    for row in rows.context("did not answer the query")? {
        let text = |index: usize| -> Result<&str> {
            if index >= row.len() {
                return Ok("");
            }
            let text: Option<&str> = row
                .try_get(index)
                .map_err(|_| anyhow::anyhow!("column {} of the query is no text", index + 1))?;
            Ok(text.unwrap_or_default())
        };
        users.push(secrets_from(text(0)?, text(1)?, text(2)?)?)?;
    }
    connection.abort();
    Ok(users.users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SUBSCRIBERS;

    const HA1: &str = "f3c2a92d8c54b7f7b2dbf9d7cf1d9a10";

    #[tokio::test]
    async fn the_usual_table_of_subscribers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.sqlite");
        let database = Connection::open(&path).unwrap();
        let rows = format!(
            "CREATE TABLE subscriber (username TEXT, domain TEXT, password TEXT, ha1 TEXT);
             INSERT INTO subscriber VALUES ('alice', 'example.com', '', '{HA1}');
             INSERT INTO subscriber VALUES ('bob', 'example.com', '', '{HA1}');
             INSERT INTO subscriber VALUES ('carol', 'other.org', '', '{HA1}');"
        );
        database.execute_batch(&rows).unwrap();
        let address = path.to_str().unwrap();
        let users = read(address, SUBSCRIBERS, "example.com").await.unwrap();
        assert_eq!(users.len(), 2);
        assert_eq!(users[0].name, "alice");
        assert!(users[0].md5.is_some() && users[0].sha256.is_none());
        let query = format!("SELECT 'x', NULL, '{HA1}{HA1}'");
        let users = read(address, &query, "example.com").await.unwrap();
        assert!(users[0].md5.is_none() && users[0].sha256.is_some());
        let said = |error: anyhow::Error| format!("{error:#}");
        let error = said(read(address, "SELECT absent", "example.com").await.unwrap_err());
        assert!(error.starts_with("refuses the query: no such column: absent"), "{error}");
        let error = said(read("/nowhere/x.sqlite", SUBSCRIBERS, "r").await.unwrap_err());
        assert!(error.starts_with("/nowhere/x.sqlite cannot be opened"), "{error}");
    }

    #[tokio::test]
    async fn no_server_there() {
        let address = "postgres://user:hunter2@127.0.0.1:1/sip";
        let error = format!("{:#}", read(address, SUBSCRIBERS, "r").await.unwrap_err());
        assert!(error.starts_with("cannot be reached") && !error.contains("hunter2"), "{error}");
    }
}
