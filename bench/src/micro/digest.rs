//! REGISTERs of many users with fresh nonces, in random order, to the digest of one worker.
//!
//! Each iteration parses and routes its message, as the worker does: a row without the check beside them
//! says what the check costs.

use super::cases::Work;
use super::messages::Arrived;
use crate::corpus::{CALLER, CALLER_SIDE};
use dataplane::testing::appliance::lab_settings;
use md5::{Digest as _, Md5};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use sha2::Sha256;
use sip_core::{
    Action, Arrival, Authenticated, Choices, Credentials, CredentialsBuilder, Demand, Digest,
    DigestAlgorithm, DigestSizes, Headers, Message, Output, RealmId, RequestRoute, Rule, Tables,
    parse, route_request,
};
use std::hint::black_box;

const USERS: u32 = 1_000_000;
/// Messages that are made beforehand, each of another user: their places fill twice the second cache.
const MESSAGES: usize = 65_536;
/// Messages that are looked at before the first of them is taken, as the worker does.
const BURST: usize = 32;
const REALM: &str = "example.com";
const URI: &str = "sip:example.com";
const CNONCE: &str = "0a4f113b";
const SECRET: [u8; 16] = *b"fedcba9876543210";
/// Bytes of the message.
const LENGTH: usize = 600;
const NONCE: usize = 20;

/// What an iteration does once the message is routed.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    Nothing,
    Check(DigestAlgorithm),
    Challenge,
}

/// Parse and route alone.
pub(super) fn routed(_: &Arrived) -> Work {
    work(Task::Nothing)
}

/// With MD5.
pub(super) fn md5(_: &Arrived) -> Work {
    work(Task::Check(DigestAlgorithm::Md5))
}

/// With SHA-256.
pub(super) fn sha256(_: &Arrived) -> Work {
    work(Task::Check(DigestAlgorithm::Sha256))
}

/// A REGISTER without credentials, and the 401.
pub(super) fn challenge(_: &Arrived) -> Work {
    work(Task::Challenge)
}

fn work(task: Task) -> Work {
    let mut worker = Worker::new();
    let algorithm = match task {
        Task::Check(algorithm) => algorithm,
        Task::Nothing | Task::Challenge => DigestAlgorithm::Md5,
    };
    let mut template = Template::new(algorithm);
    let mut proofs = Vec::new();
    if task == Task::Challenge {
        template.remove_credentials();
    } else {
        worker.learn(&template);
        proofs = worker.proofs(algorithm);
        worker.forget();
    }
    let mut next = 0;
    Box::new(move |iterations| {
        for _ in 0..iterations {
            if next == proofs.len() && task != Task::Challenge {
                worker.forget();
                next = 0;
            }
            if next.is_multiple_of(BURST) && matches!(task, Task::Check(_)) {
                for proof in &proofs[next..next + BURST] {
                    template.fill(proof);
                    worker.digest.foresee(&template.text, &worker.credentials, &worker.tables);
                }
                worker.digest.look_ahead(&worker.credentials);
            }
            if let Some(proof) = proofs.get(next) {
                template.fill(proof);
                next += 1;
            }
            worker.take(black_box(&template.text), task);
        }
    })
}

/// What a phone puts into its message.
struct Proof {
    user: [u8; 7],
    nonce: [u8; NONCE],
    response: [u8; 64],
}

/// The message, and where the parts of a proof stand.
struct Template {
    text: Vec<u8>,
    user_at: usize,
    nonce_at: usize,
    response: std::ops::Range<usize>,
}

impl Template {
    fn new(algorithm: DigestAlgorithm) -> Self {
        let (name, digits) = match algorithm {
            DigestAlgorithm::Md5 => ("MD5", 32),
            DigestAlgorithm::Sha256 => ("SHA-256", 64),
        };
        let (nonce, response) = ("n".repeat(NONCE), "r".repeat(digits));
        let with = |padding: &str| {
            format!(
                "REGISTER {URI} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK776asdhds{padding};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:user@example.com>;tag=456248\r\nTo: <sip:user@example.com>\r\n\
                 Call-ID: 843817637684230@998sdasdh09\r\nCSeq: 1826 REGISTER\r\nContact: <sip:user@{CALLER}>\r\n\
                 Authorization: Digest username=\"uuuuuuu\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{URI}\", \
                 response=\"{response}\", algorithm={name}, cnonce=\"{CNONCE}\", qop=auth, nc=00000001\r\n\
                 Expires: 3600\r\nContent-Length: 0\r\n\r\n"
            )
        };
        let text = with(&"p".repeat(LENGTH.saturating_sub(with("").len())));
        let find = |part: &str| text.find(part).expect("it is in the template");
        let response = find(&response)..find(&response) + digits;
        let (user_at, nonce_at) = (find("uuuuuuu"), find(&nonce));
        Self { text: text.into_bytes(), user_at, nonce_at, response }
    }

    fn remove_credentials(&mut self) {
        let text = String::from_utf8_lossy(&self.text).into_owned();
        let (before, rest) = text.split_once("Authorization").expect("it has credentials");
        let (_, behind) = rest.split_once("\r\n").expect("the line ends");
        self.text = [before, behind].concat().into_bytes();
    }

    #[inline]
    fn fill(&mut self, proof: &Proof) {
        self.text[self.user_at..][..7].copy_from_slice(&proof.user);
        self.text[self.nonce_at..][..NONCE].copy_from_slice(&proof.nonce);
        let digits = self.response.len();
        self.text[self.response.clone()].copy_from_slice(&proof.response[..digits]);
    }
}

/// What a worker keeps between messages.
struct Worker {
    tables: Tables,
    credentials: Credentials,
    digest: Digest,
    choices: Choices,
    out: Output,
    arrival: Arrival,
    /// A nonce is what the digest makes of time and order: after a new start it makes the same again.
    nonces: Vec<[u8; NONCE]>,
}

impl Worker {
    fn new() -> Self {
        let mut settings = lab_settings();
        settings.domains.push(REALM.to_owned());
        settings.auth.realms = vec![REALM.to_owned()];
        let rule = Rule { auth: Some(REALM.to_owned()), ..Rule::always(Action::Register) };
        settings.rules.insert(0, rule);
        let tables = Tables::build(&settings).expect("the settings are right");
        let address = |text: &str| text.parse().expect("an address");
        let listen = tables.listen_id(address(CALLER_SIDE)).expect("a listen point");
        let mut builder = CredentialsBuilder::new(&SECRET, 0);
        builder.realm(REALM);
        for user in 0..USERS {
            let (md5, sha256) = (md5_of(user), sha256_of(user));
            builder.user(&name(user), Some(md5), Some(sha256)).expect("there is room");
        }
        Self {
            tables,
            credentials: builder.finish().expect("no user stands twice"),
            digest: digest(),
            choices: Choices::default(),
            out: Output::new(),
            arrival: Arrival { source: address(CALLER), listen },
            nonces: Vec::new(),
        }
    }

    /// Asks for a nonce for each message.
    fn learn(&mut self, template: &Template) {
        for _ in 0..MESSAGES {
            self.take(&template.text, Task::Challenge);
            let text = self.out.bytes();
            let at = memchr::memmem::find(text, b"nonce=\"").expect("a challenge") + 7;
            self.nonces.push(text[at..at + NONCE].try_into().expect("it is so long"));
        }
    }

    /// Right answers of random users to the nonces.
    fn proofs(&self, algorithm: DigestAlgorithm) -> Vec<Proof> {
        let mut random = SmallRng::seed_from_u64(7);
        let mut users: Vec<u32> = (0..USERS).collect();
        users.shuffle(&mut random);
        black_box(random.random::<u8>());
        let proof = |(nonce, user): (&[u8; NONCE], u32)| {
            let mut response = [0; 64];
            let text = std::str::from_utf8(nonce).expect("ASCII");
            let digits = answer(algorithm, user, text);
            response[..digits.len()].copy_from_slice(digits.as_bytes());
            Proof { user: name(user), nonce: *nonce, response }
        };
        self.nonces.iter().zip(users).map(proof).collect()
    }

    /// Starts again, without any nonce used: one made later says that those before it were made.
    fn forget(&mut self) {
        self.digest = digest();
        self.digest.set_time(2_000);
        let mut template = Template::new(DigestAlgorithm::Md5);
        template.remove_credentials();
        self.take(&template.text, Task::Challenge);
    }

    #[inline]
    fn take(&mut self, message: &[u8], task: Task) {
        let (mut headers, mut route) = (Headers::default(), RequestRoute::default());
        let Ok(Message::Request(request)) = &parse(message, &mut headers) else {
            unreachable!("a REGISTER")
        };
        let (tables, arrival) = (&self.tables, &self.arrival);
        route_request(request, tables, arrival, &mut self.choices, &mut route)
            .expect("it is registered");
        let realm = RealmId(0);
        let credentials = &self.credentials;
        let demand = Demand { request, route: &route, realm, credentials, tables, arrival };
        match task {
            Task::Nothing => {
                black_box(&demand);
            }
            Task::Check(_) => {
                let found = self.digest.check(&demand);
                assert!(matches!(found, Authenticated::User(_)), "{found:?}");
            }
            Task::Challenge => {
                black_box(self.digest.check(&demand));
                let written = self.digest.write_challenge(&demand, false, &mut self.out);
                black_box(written).expect("it fits");
            }
        }
    }
}

fn digest() -> Digest {
    let mut digest = Digest::new(DigestSizes::default(), 0, &SECRET);
    digest.set_time(1_000);
    digest
}

fn name(user: u32) -> [u8; 7] {
    format!("{user:07}").into_bytes().try_into().expect("seven digits")
}

/// No password is behind it, which makes no difference.
fn md5_of(user: u32) -> [u8; 16] {
    let mut ha1 = [7; 16];
    ha1[..4].copy_from_slice(&user.to_le_bytes());
    ha1
}

fn sha256_of(user: u32) -> [u8; 32] {
    let mut ha1 = [7; 32];
    ha1[..4].copy_from_slice(&user.to_le_bytes());
    ha1
}

/// The response to `nonce` (RFC 7616 section 3.4.1).
fn answer(algorithm: DigestAlgorithm, user: u32, nonce: &str) -> String {
    let hash = |text: &str| match algorithm {
        DigestAlgorithm::Md5 => hex(&Md5::digest(text)),
        DigestAlgorithm::Sha256 => hex(&Sha256::digest(text)),
    };
    let ha1 = match algorithm {
        DigestAlgorithm::Md5 => hex(&md5_of(user)),
        DigestAlgorithm::Sha256 => hex(&sha256_of(user)),
    };
    let ha2 = hash(&format!("REGISTER:{URI}"));
    hash(&format!("{ha1}:{nonce}:00000001:{CNONCE}:auth:{ha2}"))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|&byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
