//! Keeps the data plane on the newest epoch: connects, publishes, and does it again whenever the
//! data plane comes back.

use crate::dataplane_link::{Link, LinkError};
use crate::limits::{RECONNECT_FIRST, RECONNECT_MAX};
use crate::state::State;
use anyhow::Result;
use sip_core::Settings;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{error, info, warn};

/// Publishes what stands in `settings` to the data plane behind `socket`, for ever, and says in
/// `is_served` whether a data plane with an epoch is there: then it listens on all listen points itself.
///
/// # Errors
/// Only when the epoch number cannot be stored.
pub async fn publish(
    socket: PathBuf,
    mut state: State,
    mut settings: watch::Receiver<Arc<Settings>>,
    is_served: watch::Sender<bool>,
) -> Result<()> {
    let mut current = Epoch { number: 0, settings: settings.borrow_and_update().clone() };
    let mut pause = RECONNECT_FIRST;
    let mut complained = false;
    loop {
        if settings.has_changed().unwrap_or(false) {
            current = Epoch { number: 0, settings: settings.borrow_and_update().clone() };
        }
        match Link::connect(&socket).await {
            Ok(mut link) => {
                info!(socket = %socket.display(), "connected to the data plane");
                (pause, complained) = (RECONNECT_FIRST, false);
                let why =
                    serve(&mut link, &mut current, &mut state, &mut settings, &is_served).await?;
                is_served.send_replace(false);
                warn!("{why}: connecting again");
            }
            Err(error) => {
                is_served.send_replace(false);
                if !complained {
                    complained = true;
                    warn!("{error}: trying until it is there");
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(RECONNECT_MAX);
    }
}

/// Settings and the number under which the data plane knows them; 0 while they have none.
struct Epoch {
    number: u64,
    settings: Arc<Settings>,
}

/// One connection, from the first epoch on it to its end; gives the reason of the end.
async fn serve(
    link: &mut Link,
    current: &mut Epoch,
    state: &mut State,
    settings: &mut watch::Receiver<Arc<Settings>>,
    is_served: &watch::Sender<bool>,
) -> Result<LinkError> {
    loop {
        // The number alone proves nothing when it is 0: a control process that just started
        // publishes what it read, even when the data plane still runs on an older epoch.
        if current.number == 0 {
            current.number = state.next_epoch(link.epoch())?;
        }
        if link.epoch() != current.number {
            match link.apply(current.number, &current.settings).await {
                Ok(()) => info!(epoch = current.number, "every worker runs on the new epoch"),
                Err(refused @ LinkError::Refused { .. }) => error!("{refused}"),
                Err(other) => return Ok(other),
            }
        }
        is_served.send_replace(link.epoch() != 0);
        tokio::select! {
            why = link.ended() => return Ok(why),
            changed = settings.changed() => {
                if changed.is_err() {
                    // Nobody will send settings any more: this process is about to end.
                    return Ok(link.ended().await);
                }
                *current = Epoch { number: 0, settings: settings.borrow_and_update().clone() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::publish;
    use crate::state::State;
    use crate::testing::{Peer, settings};
    use control_api::{API_VERSION, FromDataplane, ToDataplane};
    use sip_core::Settings;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::watch;
    use tokio::time::sleep;

    fn hello(epoch: u64) -> FromDataplane {
        FromDataplane::Hello { api_version: API_VERSION, epoch }
    }

    fn epochs(peer: &Peer) -> Vec<u64> {
        let asked = peer.asked.lock().unwrap();
        let epoch = |m: &ToDataplane<Settings>| match m {
            ToDataplane::Apply { epoch, .. } => Some(*epoch),
            _ => None,
        };
        asked.iter().filter_map(epoch).collect()
    }

    async fn until(peer: &Peer, wanted: &[u64]) {
        for _ in 0..200 {
            if epochs(peer) == wanted {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("epochs {:?} instead of {wanted:?}", epochs(peer));
    }

    #[tokio::test]
    async fn resends_when_the_data_plane_comes_back_and_rises_on_reload() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        let peer = Peer::with_answers(vec![hello(4), FromDataplane::Applied { epoch: 5 }]);
        let (sender, receiver) = watch::channel(Arc::new(settings()));
        let (is_served, mut served) = watch::channel(false);
        let task = tokio::spawn(publish(peer.path().to_owned(), state, receiver, is_served));
        until(&peer, &[5]).await;
        // Its end follows so closely that nobody may have seen it there.
        served.changed().await.unwrap();
        served.wait_for(|is_served| !is_served).await.unwrap();
        // The first connection has ended by now: the data plane comes back without an epoch.
        peer.serve(vec![
            hello(0),
            FromDataplane::Applied { epoch: 5 },
            FromDataplane::Applied { epoch: 6 },
            FromDataplane::Applied { epoch: 7 },
        ]);
        until(&peer, &[5, 5]).await;
        sender.send(Arc::new(Settings { record_route: true, ..settings() })).unwrap();
        until(&peer, &[5, 5, 6]).await;
        assert!(*served.borrow_and_update());
        task.abort();
    }
}
