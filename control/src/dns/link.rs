//! The connection to the data plane for names.

use super::Plan;
use super::answers::Answers;
use crate::dataplane_link::Link;
use crate::limits::{RECONNECT_FIRST, RECONNECT_MAX};
use anyhow::{Result, bail};
use control_api::names::NAMES_AT_ONCE;
use control_api::{FromDataplane, FromNames, NameReply, ToDataplane, ToNames};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{debug, warn};

/// Answers the data plane behind `socket` by the plan in force, until there will be no other one.
pub(super) async fn serve(socket: &Path, answers: &Arc<Answers>, mut plans: watch::Receiver<Plan>) {
    follow(answers, &mut plans);
    let mut pause = RECONNECT_FIRST;
    loop {
        match attach(socket).await {
            Ok(mut link) => {
                pause = RECONNECT_FIRST;
                answers.set_linked(true);
                let ended = converse(&mut link, answers, &mut plans).await;
                answers.set_linked(false);
                match ended {
                    Ok(()) => return,
                    Err(error) => warn!("names: {error:#}: connecting again"),
                }
            }
            // The other connection has said so.
            Err(error) => debug!("names: {error:#}"),
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(RECONNECT_MAX),
            changed = plans.changed() => match changed {
                Ok(()) => follow(answers, &mut plans),
                Err(_) => return,
            },
        }
    }
}

fn follow(answers: &Answers, plans: &mut watch::Receiver<Plan>) {
    let plan = plans.borrow_and_update().clone();
    answers.follow(plan);
}

/// A connection on which the data plane has answered `Attached`.
async fn attach(path: &Path) -> Result<Link> {
    let mut link = Link::connect(path).await?;
    match link.ask(&ToDataplane::<()>::Names(ToNames::Attach)).await? {
        FromDataplane::Names(FromNames::Attached) => Ok(link),
        _ => bail!("the data plane answered out of turn"),
    }
}

/// Answers until the connection breaks, or there will be no other plan.
async fn converse(
    link: &mut Link,
    answers: &Arc<Answers>,
    plans: &mut watch::Receiver<Plan>,
) -> Result<()> {
    let (found, mut replies) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            message = link.receive() => match message? {
                FromDataplane::Names(FromNames::Questions(questions)) => {
                    for asked in questions {
                        if let Some(reply) = answers.known(&asked) {
                            let _ = found.send(reply);
                            continue;
                        }
                        let (answers, found) = (Arc::clone(answers), found.clone());
                        tokio::spawn(async move {
                            // Nobody waits for it when the connection has ended.
                            let _ = found.send(answers.find(asked).await);
                        });
                    }
                }
                _ => bail!("the data plane spoke out of turn"),
            },
            Some(reply) = replies.recv() => {
                let mut all: Vec<NameReply> = vec![reply];
                while all.len() < NAMES_AT_ONCE
                    && let Ok(another) = replies.try_recv()
                {
                    all.push(another);
                }
                link.send(&ToDataplane::<()>::Names(ToNames::Answers(all))).await?;
            }
            changed = plans.changed() => match changed {
                Ok(()) => follow(answers, plans),
                Err(_) => return Ok(()),
            },
        }
    }
}
