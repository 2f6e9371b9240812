//! Users on their way from control to the workers: collected, sorted into a table beside the service core,
//! and swapped in by every worker.

use super::state::Service;
use crate::mailbox::Command;
use control_api::{CredentialsPiece, FromDataplane};
use sip_core::{Credentials, CredentialsBuilder, CredentialsError};
use std::sync::Arc;

/// The users that one connection has brought so far.
#[derive(Default)]
pub(super) struct Incoming {
    builder: Option<CredentialsBuilder>,
    users: u64,
}

impl Service {
    /// Takes a piece; with the last one the users are in force.
    pub(super) async fn take_credentials(
        &self,
        piece: CredentialsPiece,
        incoming: &mut Incoming,
    ) -> FromDataplane {
        match self.collect(piece, incoming).await {
            Ok(users) => FromDataplane::CredentialsTaken { users },
            Err(reason) => {
                *incoming = Incoming::default();
                FromDataplane::Refused {
                    epoch: self.epoch(),
                    reason: format!("credentials: {reason}"),
                }
            }
        }
    }

    async fn collect(
        &self,
        piece: CredentialsPiece,
        incoming: &mut Incoming,
    ) -> Result<u64, String> {
        if piece.is_first {
            let (secret, generation) = self.next_credentials();
            let builder = CredentialsBuilder::new(&secret, generation);
            *incoming = Incoming { builder: Some(builder), users: 0 };
        }
        let Some(builder) = &mut incoming.builder else {
            return Err("a piece that belongs to no other".to_owned());
        };
        if !piece.realm.is_empty() {
            builder.realm(&piece.realm);
        }
        for user in &piece.users {
            builder
                .user(user.name.as_bytes(), user.md5, user.sha256)
                .map_err(|error| error.to_string())?;
            incoming.users += 1;
        }
        if piece.is_last
            && let Some(builder) = incoming.builder.take()
        {
            let credentials = build(builder).await?;
            tracing::info!(
                users = credentials.len(),
                mebibytes = credentials.memory() >> 20,
                "credentials in force"
            );
            self.publish_credentials(Arc::new(credentials)).await;
        }
        Ok(incoming.users)
    }

    /// Hands them to every worker.
    async fn publish_credentials(&self, credentials: Arc<Credentials>) {
        self.command_all(|| Command::Credentials(Arc::clone(&credentials))).await;
    }
}

/// Sorts the users on a thread of its own: it takes a second for millions, and meanwhile neighbours are to be
/// resolved.
async fn build(builder: CredentialsBuilder) -> Result<Credentials, String> {
    let built = tokio::task::spawn_blocking(|| builder.finish()).await;
    built.map_err(|error| error.to_string())?.map_err(|error: CredentialsError| error.to_string())
}
