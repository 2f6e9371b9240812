//! Stand-ins for unit tests: a data plane that gives prepared answers.

use control_api::frame::{self, Assembler, PACKET_MAX};
use control_api::{FromDataplane, ToDataplane};
use sip_core::Settings;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio_seqpacket::UnixSeqpacketListener;

/// A peer on a socket of its own that answers each message with the next prepared answer, whatever
/// was asked, and closes the connection after the last one.
pub(crate) struct Peer {
    socket: PathBuf,
    _directory: tempfile::TempDir,
    /// What it was asked.
    pub(crate) asked: Arc<Mutex<Vec<ToDataplane<Settings>>>>,
}

impl Peer {
    pub(crate) fn with_answers(answers: Vec<FromDataplane>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("dataplane.sock");
        let peer = Self { socket, _directory: directory, asked: Arc::default() };
        peer.serve(answers);
        peer
    }

    pub(crate) fn path(&self) -> &Path {
        &self.socket
    }

    /// Listens anew, as a data plane that was started again.
    pub(crate) fn serve(&self, answers: Vec<FromDataplane>) {
        let _ = std::fs::remove_file(&self.socket);
        let mut listener = UnixSeqpacketListener::bind(&self.socket).unwrap();
        let asked = Arc::clone(&self.asked);
        tokio::spawn(async move {
            let socket = listener.accept().await.unwrap();
            let mut packet = vec![0; PACKET_MAX];
            for answer in answers {
                let mut assembler = Assembler::default();
                let message = loop {
                    let length = socket.recv(&mut packet).await.unwrap().bytes_read();
                    if let Some(message) = assembler.push(&packet[..length]).unwrap() {
                        break message;
                    }
                };
                asked.lock().unwrap().push(message);
                for piece in frame::encode(&answer).unwrap() {
                    socket.send(&piece).await.unwrap();
                }
            }
        });
    }
}

/// Settings with nothing in them.
pub(crate) fn settings() -> Settings {
    Settings::default()
}

/// A destination set of these members that is not probed.
pub(crate) fn set(name: &str, members: &[std::net::SocketAddr]) -> crate::config::DestinationSet {
    let member = |address: &std::net::SocketAddr| format!("{{ address = \"{address}\" }}");
    let members: Vec<_> = members.iter().map(member).collect();
    let text = format!("name = \"{name}\"\nprobe = false\nmembers = [{}]", members.join(", "));
    toml::from_str(&text).unwrap()
}
