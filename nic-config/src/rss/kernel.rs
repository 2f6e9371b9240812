//! The RSS of an interface that a kernel driver runs, as of an AF_XDP port: by `ETHTOOL_GRSSH` and `ETHTOOL_SRSSH`
//! (linux/ethtool.h), which every kernel answers whose driver has RSS. Netlink can write it since Linux 6.17 only.
#![expect(unsafe_code, reason = "ethtool's ioctl takes a pointer")]

use super::apply::{InPort, Part, RssPort, WriteError};
use super::veth::VethPort;
use super::{Reta, RssError, RssKey};
use rustix::net::{AddressFamily, SocketType, socket};
use std::io;
use std::os::fd::AsRawFd;

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GRXRINGS: u32 = 0x2d;
const ETHTOOL_GRSSH: u32 = 0x46;
const ETHTOOL_SRSSH: u32 = 0x47;
/// `ETH_RXFH_INDIR_NO_CHANGE`.
const RETA_STAYS: u32 = u32::MAX;

/// Words of `struct ethtool_rxfh` before the table: cmd, rss_context, indir_size, key_size, hfunc with input_xfrm,
/// rsvd32.
const HEAD: usize = 6;
const RETA_SIZE: usize = 2;
const KEY_SIZE: usize = 3;
const FUNCTION: usize = 4;
/// Most entries and bytes that are believed; no NIC has a tenth of them.
const SIZE_MAX: u32 = 1 << 16;
/// Room for `struct ethtool_rxnfc`, 192 bytes, of which `GRXRINGS` uses `cmd` and `data` at byte 8.
const RXNFC_WORDS: usize = 48;

/// The RSS of an interface of this network namespace, of whose queues so many are polled: that of its driver, or what
/// plays RSS for a veth.
///
/// # Errors
/// No such interface, or one without RSS.
pub fn open(interface: &str, queues: u16) -> io::Result<Box<dyn RssPort>> {
    match KernelPort::open(interface).and_then(|port| port.get().map(|_| port)) {
        Ok(port) => Ok(Box::new(port.with_queues(queues))),
        Err(error) => match VethPort::find(interface)? {
            Some(port) => Ok(Box::new(port.with_queues(queues))),
            None => Err(error),
        },
    }
}

/// An interface with RSS of its driver.
#[derive(Clone, Debug)]
pub struct KernelPort {
    interface: String,
    queues: u16,
}

impl KernelPort {
    /// The interface of this name.
    ///
    /// # Errors
    /// None of this name, or a driver that does not tell its receive queues.
    pub fn open(interface: &str) -> io::Result<Self> {
        let mut command = vec![0; RXNFC_WORDS];
        command[0] = ETHTOOL_GRXRINGS;
        ethtool(interface, &mut command)?;
        let queues = u16::try_from(command[2]).unwrap_or(u16::MAX);
        Ok(Self { interface: interface.to_owned(), queues })
    }

    /// Allows a table these queues only, which are polled, though the interface may have more.
    #[must_use]
    pub fn with_queues(self, queues: u16) -> Self {
        Self { queues: self.queues.min(queues), ..self }
    }

    /// `struct ethtool_rxfh`, table and key as the driver gives them.
    fn get(&self) -> io::Result<Vec<u32>> {
        let mut sizes = vec![0; HEAD];
        sizes[0] = ETHTOOL_GRSSH;
        ethtool(&self.interface, &mut sizes)?;
        let (entries, key) = (sizes[RETA_SIZE], sizes[KEY_SIZE]);
        if entries == 0 {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        if entries > SIZE_MAX || key > SIZE_MAX {
            return Err(io::Error::other(format!("{entries} entries, {key} bytes of key")));
        }
        let mut command = vec![0; HEAD + entries as usize + (key as usize).div_ceil(4)];
        (command[0], command[RETA_SIZE], command[KEY_SIZE]) = (ETHTOOL_GRSSH, entries, key);
        ethtool(&self.interface, &mut command)?;
        Ok(command)
    }
}

impl RssPort for KernelPort {
    fn queues(&self) -> u16 {
        self.queues
    }

    fn read(&self) -> io::Result<InPort> {
        in_port(&self.get()?).map_err(io::Error::other)
    }

    fn write(&mut self, before: &InPort, wanted: &InPort) -> Result<(), WriteError> {
        // One call for each, so that a refusal says of what.
        if before.reta != wanted.reta {
            self.set(None, Some(&wanted.reta))
                .map_err(|error| WriteError { part: Part::Reta, error })?;
        }
        if let (true, Some(key)) = (before.key != wanted.key, &wanted.key) {
            self.set(Some(key), None).map_err(|error| WriteError { part: Part::Key, error })?;
        }
        if before.fields != wanted.fields {
            let error = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
            return Err(WriteError { part: Part::Fields, error });
        }
        Ok(())
    }
}

impl KernelPort {
    fn set(&self, key: Option<&RssKey>, reta: Option<&Reta>) -> io::Result<()> {
        let now = self.get()?;
        let mut command = vec![0; HEAD];
        command[0] = ETHTOOL_SRSSH;
        // Hash function and transformation stay: older kernels have zeros here and want them.
        command[FUNCTION] = now[FUNCTION];
        command[RETA_SIZE] = RETA_STAYS;
        if let Some(reta) = reta {
            command[RETA_SIZE] = now[RETA_SIZE];
            command.extend(reta.entries().iter().map(|queue| u32::from(*queue)));
        }
        if let Some(key) = key {
            command[KEY_SIZE] = now[KEY_SIZE];
            command.extend(words(key.bytes()));
        }
        ethtool(&self.interface, &mut command)
    }
}

/// What the kernel's answer says.
fn in_port(answer: &[u32]) -> Result<InPort, RssError> {
    let (head, rest) = answer.split_at(HEAD);
    let (entries, key) = rest.split_at(head[RETA_SIZE] as usize);
    let queue = |(index, queue): (usize, &u32)| {
        u16::try_from(*queue).map_err(|_| RssError::RetaQueue {
            index,
            queue: *queue,
            last: u16::MAX,
        })
    };
    let reta = entries.iter().enumerate().map(queue).collect::<Result<Vec<_>, _>>()?;
    let bytes = key.iter().flat_map(|word| word.to_ne_bytes()).take(head[KEY_SIZE] as usize);
    let bytes: Vec<_> = bytes.collect();
    let key = if bytes.is_empty() { None } else { Some(RssKey::new(bytes)?) };
    Ok(InPort { key, reta: Reta::new(reta)?, fields: None })
}

/// Bytes in memory order; keys are whole words.
fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word))
}

/// Hands a command of ethtool to the driver, which answers in its place.
fn ethtool(interface: &str, command: &mut [u32]) -> io::Result<()> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut name = [0; libc::IFNAMSIZ];
    if interface.len() >= name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: command.as_mut_ptr().cast() },
    };
    // SAFETY: the name ends with a zero byte; the command has the words that its own sizes promise, which is all that
    // the kernel reads and writes, and both live until the call is over.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rss::apply::{Change, apply};

    #[test]
    fn the_kernels_answer_is_understood() {
        let key = RssKey::microsoft(40).unwrap();
        let mut answer = vec![ETHTOOL_GRSSH, 0, 128, 40, 1, 0];
        answer.extend((0..4).cycle().take(128));
        answer.extend(words(key.bytes()));
        let found = in_port(&answer).unwrap();
        assert_eq!((found.key, found.reta), (Some(key), Reta::in_turn(128, 4).unwrap()));
        answer[HEAD] = 70_000;
        assert!(in_port(&answer).unwrap_err().to_string().contains("queue 70000"));
    }

    #[test]
    fn an_interface_without_rss_is_refused_and_left_alone() {
        let why = |name: &str| match KernelPort::open(name) {
            Ok(mut port) => {
                let reta = Some(Reta::in_turn(128, 1).unwrap());
                let change = Change { reta, ..Change::default() };
                apply(&mut port, &change).unwrap_err().to_string()
            }
            Err(error) => error.to_string(),
        };
        assert!(open("lo", 1).is_err_and(|error| error.to_string().contains("not supported")));
        assert!(why("lo").contains("not supported"), "{}", why("lo"));
        assert!(why("no-such-if0").contains("No such device"), "{}", why("no-such-if0"));
        assert!(why("a-name-that-is-too-long").contains("No such device"));
    }
}
