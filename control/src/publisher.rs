//! Keeps the data plane on the newest epoch: connects, publishes, and does it again whenever the
//! data plane comes back.

use crate::dataplane_link::{Link, LinkError};
use crate::health::states::{changed_states, set_states};
use crate::health::{MonitorHandle, States};
use crate::limits::{RECONNECT_FIRST, RECONNECT_MAX, SIGNS_EVERY};
use crate::state::State;
use anyhow::Result;
use sip_core::Settings;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{error, info, warn};

/// What the data plane must know.
#[derive(Debug)]
pub struct News {
    /// The settings of the router, all members up.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The members that are not.
    pub states: watch::Receiver<States>,
    /// Whether the appliance is about to go.
    pub leaving: watch::Receiver<bool>,
}

/// What the data plane has.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// Whether a data plane with an epoch is there: then it listens on all listen points itself.
    pub is_there: bool,
    /// The settings that it was given last, and the epoch by which every worker has them, or why it refused.
    pub answer: Option<(Arc<Settings>, Result<u64, String>)>,
}

/// Publishes `news` to the data plane behind `socket`, for ever, and tells `monitor` which hosts did
/// not get messages. Says in `served` what became of it.
///
/// # Errors
/// Only when the epoch number cannot be stored.
pub async fn publish(
    socket: PathBuf,
    mut state: State,
    mut news: News,
    monitor: MonitorHandle,
    served: watch::Sender<Served>,
) -> Result<()> {
    let mut current = Epoch::of(&mut news);
    let mut pause = RECONNECT_FIRST;
    let mut complained = false;
    loop {
        if news.settings.has_changed().unwrap_or(false)
            || news.states.has_changed().unwrap_or(false)
            || news.leaving.has_changed().unwrap_or(false)
        {
            current = Epoch::of(&mut news);
        }
        match Link::connect(&socket).await {
            Ok(mut link) => {
                info!(socket = %socket.display(), "connected to the data plane");
                (pause, complained) = (RECONNECT_FIRST, false);
                let ear = Ear { monitor: &monitor, served: &served };
                let why = serve(&mut link, &mut current, &mut state, &mut news, &ear).await?;
                served.send_modify(|served| served.is_there = false);
                warn!("{why}: connecting again");
            }
            Err(error) => {
                served.send_modify(|served| served.is_there = false);
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

/// Settings, with the states of the members, and the number under which the data plane knows them;
/// 0 while they have none.
struct Epoch {
    number: u64,
    settings: Settings,
    /// The settings as they were published, all members up.
    source: Arc<Settings>,
}

impl Epoch {
    /// The newest.
    fn of(news: &mut News) -> Self {
        let source = Arc::clone(&news.settings.borrow_and_update());
        let mut settings = Settings::clone(&source);
        set_states(&mut settings, &news.states.borrow_and_update());
        settings.is_leaving = *news.leaving.borrow_and_update();
        Self { number: 0, settings, source }
    }
}

/// Who hears of what the connection says.
struct Ear<'a> {
    monitor: &'a MonitorHandle,
    served: &'a watch::Sender<Served>,
}

impl Ear<'_> {
    /// What the data plane said about these settings.
    fn tell(&self, is_there: bool, source: &Arc<Settings>, answer: Result<u64, String>) {
        self.served.send_replace(Served { is_there, answer: Some((Arc::clone(source), answer)) });
    }
}

/// What ends a wait.
enum Event {
    Settings,
    States,
    Ended(LinkError),
}

/// One connection, from the first epoch on it to its end; gives the reason of the end.
async fn serve(
    link: &mut Link,
    current: &mut Epoch,
    state: &mut State,
    news: &mut News,
    ear: &Ear<'_>,
) -> Result<LinkError> {
    loop {
        // The number alone proves nothing when it is 0: a control process that just started
        // publishes what it read, even when the data plane still runs on an older epoch.
        if current.number == 0 {
            current.number = state.next_epoch(link.epoch())?;
        }
        let mut answer = Ok(current.number);
        if link.epoch() != current.number {
            match link.apply(current.number, &current.settings).await {
                Ok(()) => info!(epoch = current.number, "every worker runs on the new epoch"),
                Err(refused @ LinkError::Refused { .. }) => {
                    error!("{refused}");
                    answer = Err(refused.to_string());
                }
                Err(other) => return Ok(other),
            }
        }
        ear.tell(link.epoch() != 0, &current.source, answer);
        match next_event(link, news, ear.monitor).await {
            Event::Ended(why) => return Ok(why),
            Event::Settings => *current = Epoch::of(news),
            Event::States => {
                let is_known = link.epoch() == current.number;
                let before = std::mem::replace(current, Epoch::of(news));
                let changes = changed_states(&before.settings, &current.settings);
                // Otherwise the data plane has other settings, and gets these whole.
                if is_known && let Some(changes) = changes {
                    current.number = state.next_epoch(link.epoch())?;
                    match link.member_states(current.number, changes).await {
                        Ok(()) => {}
                        Err(refused @ LinkError::Refused { .. }) => error!("{refused}"),
                        Err(other) => return Ok(other),
                    }
                }
            }
        }
    }
}

/// Waits for news, or for the end of the connection. Meanwhile the data plane is asked for signs.
async fn next_event(link: &mut Link, news: &mut News, monitor: &MonitorHandle) -> Event {
    loop {
        tokio::select! {
            why = link.ended() => return Event::Ended(why),
            Ok(()) = news.settings.changed() => return Event::Settings,
            Ok(()) = news.states.changed() => return Event::States,
            Ok(()) = news.leaving.changed() => return Event::Settings,
            () = sleep(SIGNS_EVERY) => match link.unreachable().await {
                Ok(signs) if signs.is_empty() => {}
                Ok(signs) => monitor.signs(signs).await,
                Err(why) => return Event::Ended(why),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{News, Served, publish};
    use crate::health::Monitor;
    use crate::state::State;
    use crate::testing::{Peer, settings};
    use control_api::operator::MemberState;
    use control_api::{API_VERSION, FromDataplane, MemberStatus, ToDataplane};
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
        let state = State::open(directory.path(), None).unwrap();
        let peer = Peer::with_answers(vec![hello(4), FromDataplane::Applied { epoch: 5 }]);
        let (sender, receiver) = watch::channel(Arc::new(settings()));
        let file = directory.path().join("members.json");
        let (_monitor, handle, states) = Monitor::new(&[], file).unwrap();
        let (leave, leaving) = watch::channel(false);
        let news = News { settings: receiver, states, leaving };
        let (sender_served, mut served) = watch::channel(Served::default());
        let task =
            tokio::spawn(publish(peer.path().to_owned(), state, news, handle, sender_served));
        until(&peer, &[5]).await;
        // Its end follows so closely that nobody may have seen it there.
        served.changed().await.unwrap();
        served.wait_for(|served| !served.is_there).await.unwrap();
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
        let seen = served.borrow_and_update().clone();
        assert!(seen.is_there);
        assert_eq!(seen.answer.unwrap().1, Ok(6));
        leave.send(true).unwrap();
        until(&peer, &[5, 5, 6, 7]).await;
        let asked = peer.asked.lock().unwrap().last().cloned();
        assert!(matches!(asked, Some(ToDataplane::Apply { settings, .. }) if settings.is_leaving));
        task.abort();
    }

    #[tokio::test]
    async fn states_travel_alone_while_the_data_plane_has_the_settings() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path(), None).unwrap();
        let peer = Peer::with_answers(vec![
            hello(0),
            FromDataplane::Applied { epoch: 1 },
            FromDataplane::Applied { epoch: 2 },
        ]);
        let address = "192.0.2.1:5060".parse().unwrap();
        let core = crate::testing::set("core", &[address]);
        let file = directory.path().join("members.json");
        let (monitor, handle, states) = Monitor::new(&[core], file).unwrap();
        let set = sip_core::DestinationSet {
            name: "core".into(),
            members: vec![sip_core::Member::new(address)],
            ..sip_core::DestinationSet::default()
        };
        let settings = Settings { sets: vec![set], ..settings() };
        let (_sender, receiver) = watch::channel(Arc::new(settings));
        let (_stays, leaving) = watch::channel(false);
        let news = News { settings: receiver, states, leaving };
        tokio::spawn(monitor.run());
        let served = watch::channel(Served::default()).0;
        let task =
            tokio::spawn(publish(peer.path().to_owned(), state, news, handle.clone(), served));
        until(&peer, &[1]).await;
        handle.drain("core".into(), address, true).await.unwrap();
        let draining = MemberStatus { set: 0, member: 0, state: MemberState::Draining };
        let told = ToDataplane::MemberStates { epoch: 2, members: vec![draining] };
        for _ in 0..200 {
            if peer.asked.lock().unwrap().last() == Some(&told) {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(peer.asked.lock().unwrap().last(), Some(&told));
        // The data plane comes back without an epoch: the states are in the settings.
        peer.serve(vec![hello(0), FromDataplane::Applied { epoch: 2 }]);
        until(&peer, &[1, 2]).await;
        let asked = peer.asked.lock().unwrap();
        let Some(ToDataplane::Apply { settings, .. }) = asked.last() else { panic!("{asked:?}") };
        assert_eq!(settings.sets[0].members[0].state, sip_core::MemberState::Draining);
        task.abort();
    }
}
