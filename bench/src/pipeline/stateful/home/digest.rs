//! Users who prove who they are: each REGISTER is challenged once and sent again with credentials.

use super::super::frame::{Frames, Side, payload};
use super::super::site::Round;
use super::users::Users;
use super::{Home, KEY};
use crate::corpus::CALLER;
use anyhow::{Context, Result, ensure};
use dataplane::mailbox::Command;
use dataplane::packet::PacketBuf as _;
use dataplane::probe::Probe;
use md5::{Digest as _, Md5};
use rand::seq::SliceRandom as _;
use rand::{SeedableRng as _, rngs::SmallRng};
use sip_core::{Action, CredentialsBuilder, DigestAlgorithm, Rule, Settings};
use std::fmt::Write as _;
use std::sync::Arc;

const REALM: &str = "example.com";
const URI: &str = "sip:example.com";
const CNONCE: &str = "0a4f113b";
/// Room for a message.
const ROOM: usize = 1_024;

/// The users, and what a burst of them is about.
pub(super) struct Provers {
    frames: Frames,
    order: Vec<u32>,
    at: usize,
    cseq: u32,
    burst: Vec<u32>,
    message: String,
    /// HA2, the same for all.
    ha2: String,
    /// The worker's rounds with challenges.
    pub(super) challenges: Round,
}

/// The settings of a registrar that asks for credentials.
pub(super) fn settings(mut settings: Settings) -> Settings {
    settings.auth.realms = vec![REALM.to_owned()];
    settings.auth.algorithms = vec![DigestAlgorithm::Md5];
    settings.rules = vec![Rule { auth: Some(REALM.to_owned()), ..Rule::always(Action::Register) }];
    settings
}

/// Makes the users known to a worker.
///
/// # Errors
/// When its mailbox is full.
pub(super) fn introduce<Pr: Probe>(home: &mut Home<Pr>, users: u32) -> Result<()> {
    let mut builder = CredentialsBuilder::new(&KEY, 0);
    builder.realm(REALM);
    for user in 0..users {
        builder.user(name(user).as_bytes(), Some(ha1(user)), None)?;
    }
    let credentials = Command::Credentials(Arc::new(builder.finish()?));
    ensure!(home.service.send(credentials).is_ok(), "the mailbox is full");
    home.worker.attend();
    Ok(())
}

impl Provers {
    /// So many users in random order.
    pub(super) fn new(users: u32) -> Self {
        let mut order: Vec<u32> = (0..users).collect();
        order.shuffle(&mut SmallRng::seed_from_u64(1));
        Self {
            frames: Frames::new(),
            order,
            at: 0,
            cseq: 0,
            burst: Vec::new(),
            message: String::with_capacity(ROOM),
            ha2: hex(&Md5::digest(format!("REGISTER:{URI}"))),
            challenges: Round::default(),
        }
    }

    /// Whether a pass over all users is not over.
    pub(super) fn is_under_way(&self) -> bool {
        self.cseq < 2 || self.at < self.order.len()
    }

    /// Bytes of a REGISTER with credentials.
    pub(super) fn message_bytes(&mut self) -> usize {
        self.write(0, Some(&"n".repeat(20)));
        self.message.len()
    }

    /// A burst of users: their first REGISTERs, and after `before` the round with the second ones, which it
    /// gives.
    pub(super) fn round<Pr: Probe>(
        &mut self,
        home: &mut Home<Pr>,
        before: impl FnOnce(&mut Home<Pr>),
    ) -> Result<Round> {
        self.burst.clear();
        while let Some(mut frame) = home.spare.pop() {
            let user = self.next_user();
            self.burst.push(user);
            self.write(user, None);
            self.frames.write(&mut frame, Side::Caller, self.message.as_bytes());
            home.worker.io_mut().arrived.push_back(frame);
        }
        let challenged = home.work();
        if challenged.is_whole {
            self.challenges.ticks += challenged.ticks;
            self.challenges.messages += challenged.messages;
        }
        let wire = home.worker.io_mut();
        ensure!(wire.sent.len() == self.burst.len(), "the worker did not answer all");
        for (mut frame, at) in wire.sent.drain(..).zip(0..) {
            let nonce = nonce(payload(frame.frame()))?;
            self.write(self.burst[at], Some(&nonce));
            self.frames.write(&mut frame, Side::Caller, self.message.as_bytes());
            wire.arrived.push_back(frame);
        }
        before(home);
        let round = home.work();
        let wire = home.worker.io_mut();
        for frame in &wire.sent {
            Users::check(frame)?;
        }
        home.spare.append(&mut wire.sent);
        Ok(round)
    }

    fn next_user(&mut self) -> u32 {
        if self.at == self.order.len() || self.cseq == 0 {
            (self.at, self.cseq) = (0, self.cseq + 2);
        }
        self.at += 1;
        self.order[self.at - 1]
    }

    /// The REGISTER of a user, with the right answer to `nonce` if there is one.
    fn write(&mut self, user: u32, nonce: Option<&str>) {
        let (name, cseq) = (name(user), self.cseq + u32::from(nonce.is_some()));
        self.message.clear();
        let _ = write!(
            self.message,
            "REGISTER {URI} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{name}-{cseq:08}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{name}@{REALM}>;tag=t{name}\r\n\
             To: <sip:{name}@{REALM}>\r\n\
             Call-ID: {name}-reg@10.77.1.2\r\n\
             CSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{name}@{CALLER};transport=udp>\r\n"
        );
        if let Some(nonce) = nonce {
            let ha1 = hex(&ha1(user));
            let ha2 = &self.ha2;
            let response = hex(&Md5::digest(format!("{ha1}:{nonce}:00000001:{CNONCE}:auth:{ha2}")));
            let _ = write!(
                self.message,
                "Authorization: Digest username=\"{name}\", realm=\"{REALM}\", nonce=\"{nonce}\", \
                 uri=\"{URI}\", response=\"{response}\", algorithm=MD5, cnonce=\"{CNONCE}\", qop=auth, \
                 nc=00000001\r\n"
            );
        }
        self.message
            .push_str("Expires: 3600\r\nUser-Agent: trunkline-bench\r\nContent-Length: 0\r\n\r\n");
    }
}

fn nonce(challenge: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(challenge)?;
    let nonce = text.split_once("nonce=\"").and_then(|(_, rest)| rest.split_once('"'));
    let (nonce, _) = nonce.with_context(|| format!("no challenge: {text}"))?;
    Ok(nonce.to_owned())
}

fn name(user: u32) -> String {
    format!("u{user:08}")
}

/// No password is behind it, which makes no difference.
fn ha1(user: u32) -> [u8; 16] {
    let mut ha1 = [7; 16];
    ha1[..4].copy_from_slice(&user.to_le_bytes());
    ha1
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
