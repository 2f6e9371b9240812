//! Keeps the data plane on the newest users: reads them, gives them to every data plane that comes, and again
//! whenever a file changes or the operator asks for it.

use super::read;
use crate::config::{CredentialSource, Realm};
use crate::dataplane_link::{Link, LinkError};
use crate::limits::{CREDENTIALS_RETRY, CREDENTIALS_WATCH, RECONNECT_FIRST, RECONNECT_MAX};
use control_api::CredentialsPiece;
use control_api::UserSecrets;
use control_api::credentials::PIECE_USERS;
use control_api::operator::RealmReport;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

/// Times that the data plane is given the same users: it refuses them when two names have the same hash, which
/// another try does not have.
const TRIES: u32 = 3;

/// Gives the users of `realms` to the data plane behind `socket`, for ever. Every change of `realms`, also to the
/// same, makes it read all of them again. How that went goes to `reports`.
pub async fn publish(
    socket: PathBuf,
    mut realms: watch::Receiver<Arc<Vec<Realm>>>,
    reports: watch::Sender<Vec<RealmReport>>,
) {
    let mut known = Vec::new();
    let mut pause = RECONNECT_FIRST;
    read_all(&mut known, &mut realms).await;
    report(&known, &reports);
    loop {
        // Until there is a realm, nobody asks for credentials.
        while known.is_empty() {
            if realms.changed().await.is_err() {
                return;
            }
            read_all(&mut known, &mut realms).await;
            report(&known, &reports);
        }
        if let Ok(mut link) = Link::connect(&socket).await {
            pause = RECONNECT_FIRST;
            let why = serve(&mut link, &mut known, &mut realms, &reports).await;
            warn!("{why}: the users are given to it when it is back");
        }
        sleep(pause).await;
        pause = (pause * 2).min(RECONNECT_MAX);
    }
}

/// A realm and its users, as far as they could be read.
struct KnownRealm {
    realm: Realm,
    users: Option<Vec<UserSecrets>>,
    /// Of the file when it was read.
    stamp: Option<Stamp>,
    /// When to try again what could not be read.
    retry: Option<Instant>,
    /// Why it could not.
    trouble: Option<String>,
}

/// What changes with a file.
type Stamp = (u64, u64, i64, i64);

/// One connection to its end; gives the reason.
async fn serve(
    link: &mut Link,
    known: &mut Vec<KnownRealm>,
    realms: &mut watch::Receiver<Arc<Vec<Realm>>>,
    reports: &watch::Sender<Vec<RealmReport>>,
) -> LinkError {
    loop {
        if let Err(why) = give(link, known).await {
            return why;
        }
        loop {
            tokio::select! {
                why = link.ended() => return why,
                Ok(()) = realms.changed() => {
                    read_all(known, realms).await;
                    report(known, reports);
                    break;
                }
                () = sleep(CREDENTIALS_WATCH) => {
                    let is_new = read_changed(known).await;
                    report(known, reports);
                    if is_new {
                        break;
                    }
                }
            }
        }
    }
}

fn report(known: &[KnownRealm], reports: &watch::Sender<Vec<RealmReport>>) {
    let of = |known: &KnownRealm| RealmReport {
        realm: known.realm.name.clone(),
        users: known.users.as_ref().map(|users| users.len() as u64),
        trouble: known.trouble.clone(),
    };
    reports.send_replace(known.iter().map(of).collect());
}

/// Gives all users to the data plane. A refusal is logged; the connection stays usable.
async fn give(link: &mut Link, known: &[KnownRealm]) -> Result<(), LinkError> {
    for _ in 0..TRIES {
        match give_once(link, known).await {
            Err(refused @ LinkError::Refused { .. }) => error!("{refused}"),
            Err(other) => return Err(other),
            Ok(users) => {
                info!(users, "the data plane has the users");
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn give_once(link: &mut Link, known: &[KnownRealm]) -> Result<u64, LinkError> {
    let mut piece = CredentialsPiece { is_first: true, ..CredentialsPiece::default() };
    for KnownRealm { realm, users, .. } in known {
        let Some(users) = users else { continue };
        piece.realm.clone_from(&realm.name);
        link.credentials(std::mem::take(&mut piece)).await?;
        for users in users.chunks(PIECE_USERS) {
            let realm = realm.name.clone();
            let users = users.to_vec();
            link.credentials(CredentialsPiece { realm, users, ..CredentialsPiece::default() })
                .await?;
        }
    }
    piece.is_last = true;
    link.credentials(piece).await
}

/// Reads all realms there are now. What cannot be read keeps the users it had.
async fn read_all(known: &mut Vec<KnownRealm>, realms: &mut watch::Receiver<Arc<Vec<Realm>>>) {
    let realms = Arc::clone(&realms.borrow_and_update());
    let mut before = std::mem::take(known);
    for realm in realms.iter() {
        let same = before.iter().position(|known| known.realm.name == realm.name);
        let users = same.and_then(|at| before.swap_remove(at).users);
        let mut fresh =
            KnownRealm { realm: realm.clone(), users, stamp: None, retry: None, trouble: None };
        fresh.read().await;
        known.push(fresh);
    }
}

/// Reads the realms whose files have changed, and those that could not be read. Gives whether there is
/// something new.
async fn read_changed(known: &mut [KnownRealm]) -> bool {
    let mut is_new = false;
    for realm in known {
        let is_due = match realm.retry {
            Some(retry) => retry <= Instant::now(),
            None => realm.stamp != stamp(&realm.realm),
        };
        is_new |= is_due && realm.read().await;
    }
    is_new
}

impl KnownRealm {
    /// Gives whether it could be read.
    async fn read(&mut self) -> bool {
        // Before it is read: what is written meanwhile is seen next time.
        let stamp = stamp(&self.realm);
        let has_changed = stamp != self.stamp;
        let name = &self.realm.name;
        match read(&self.realm).await {
            Ok(users) => {
                info!(realm = name, users = users.len(), "users read");
                (self.users, self.stamp, self.retry) = (Some(users), stamp, None);
                self.trouble = None;
                true
            }
            Err(error) => {
                let is_first = self.retry.is_none() || has_changed;
                if is_first && self.users.is_some() {
                    error!("{error:#}: the users of \"{name}\" stay as they were");
                } else if is_first {
                    error!("{error:#}: nobody of \"{name}\" is let in");
                }
                self.trouble = Some(format!("{error:#}"));
                (self.stamp, self.retry) = (stamp, Some(Instant::now() + CREDENTIALS_RETRY));
                false
            }
        }
    }
}

/// The file of a realm as it is now.
fn stamp(realm: &Realm) -> Option<Stamp> {
    let CredentialSource::File { path, .. } = &realm.source else { return None };
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CredentialFormat;
    use crate::testing::Peer;
    use control_api::{API_VERSION, FromDataplane, ToDataplane};
    use std::time::Duration;

    /// Name of the realm and users of each piece that came.
    fn pieces(peer: &Peer) -> Vec<(String, usize, bool)> {
        let asked = peer.asked.lock().unwrap();
        let piece = |message: &ToDataplane<sip_core::Settings>| match message {
            ToDataplane::Credentials(piece) => {
                Some((piece.realm.clone(), piece.users.len(), piece.is_last))
            }
            _ => None,
        };
        asked.iter().filter_map(piece).collect()
    }

    async fn until(peer: &Peer, count: usize) -> Vec<(String, usize, bool)> {
        for _ in 0..400 {
            if pieces(peer).len() >= count {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        pieces(peer)
    }

    #[tokio::test]
    async fn users_are_given_when_they_change_and_when_the_data_plane_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.csv");
        std::fs::write(&path, "alice,a\nbob,b\n").unwrap();
        let source = CredentialSource::File { path: path.clone(), format: CredentialFormat::Csv };
        let broken = CredentialSource::File {
            path: directory.path().join("none"),
            format: CredentialFormat::Csv,
        };
        let realms =
            vec![Realm { name: "a".into(), source }, Realm { name: "b".into(), source: broken }];
        let hello = FromDataplane::Hello { api_version: API_VERSION, epoch: 1 };
        let taken = || FromDataplane::CredentialsTaken { users: 2 };
        let answers = |times: usize| {
            std::iter::once(hello.clone()).chain((0..times).map(|_| taken())).collect::<Vec<_>>()
        };
        let peer = Peer::with_answers(answers(6));
        let (sender, receiver) = watch::channel(Arc::new(realms));
        let (reports, reported) = watch::channel(Vec::new());
        let task = tokio::spawn(publish(peer.path().to_owned(), receiver, reports));
        let one =
            [("a".to_owned(), 0, false), ("a".to_owned(), 2, false), (String::new(), 0, true)];
        assert_eq!(until(&peer, 3).await, one);
        std::fs::write(&path, "alice,a\nbob,b\ncarol,c\n").unwrap();
        let after_change = until(&peer, 6).await;
        assert_eq!(after_change[4], ("a".to_owned(), 3, false));
        // A mistake changes nothing; the data plane that comes back gets what was good.
        std::fs::write(&path, "alice\n").unwrap();
        peer.serve(answers(3));
        assert_eq!(until(&peer, 9).await[7], ("a".to_owned(), 3, false));
        let reported = reported.borrow().clone();
        let [a, b] = reported.as_slice() else { panic!("{reported:?}") };
        assert_eq!((a.users, b.users), (Some(3), None));
        assert!(b.trouble.is_some(), "{b:?}");
        drop(sender);
        task.abort();
    }
}
