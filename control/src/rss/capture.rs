//! Flows from a capture: pcap or pcapng, as tcpdump, tshark and dumpcap write them.

use anyhow::{Context, Result, bail, ensure};
use etherparse::{EtherType, IpNumber, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use nic_config::rss::Tuple;
use nic_config::rss::planner::Flow;
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Bytes of the read buffer; no packet is larger.
const BUFFER_BYTES: usize = 1 << 20;
/// Raw IP under its other number (LINKTYPE_RAW is 101, DLT_RAW of BSD 12).
const RAW_OF_BSD: Linktype = Linktype(12);
/// LINKTYPE_LINUX_SLL2, what `tcpdump -i any` writes.
const LINUX_SLL2: Linktype = Linktype(276);

/// What counts as the weight of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Its packets: what costs a SIP server time.
    Packets,
    /// Its bytes on the wire.
    Bytes,
}

/// What a capture holds.
#[derive(Debug, Default)]
pub struct Capture {
    /// UDP flows, in the order of their addresses.
    pub flows: Vec<Flow>,
    /// Packets of other protocols, to other addresses, or too short to tell.
    pub other_packets: u64,
    /// Whether the file ends within a packet.
    pub is_cut: bool,
}

/// Reads the UDP flows of a capture; with `to` only those to these addresses.
///
/// # Errors
/// When the file cannot be read, is no capture, or has no such flow.
pub fn read(path: &Path, unit: Unit, to: &[IpAddr]) -> Result<Capture> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("{name} cannot be read"))?;
    let mut packets = Packets { unit, to, flows: BTreeMap::new(), other: 0, links: Vec::new() };
    let mut is_cut = false;
    let mut reader = create_reader(BUFFER_BYTES, file)
        .map_err(|_| anyhow::anyhow!("{name} is no capture: pcap and pcapng can be read"))?;
    loop {
        match reader.next() {
            Ok((length, block)) => {
                packets.take(&block).with_context(|| format!("{name}"))?;
                reader.consume(length);
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::UnexpectedEof) => {
                is_cut = true;
                break;
            }
            Err(PcapError::Incomplete(_)) => {
                reader.refill().map_err(|_| anyhow::anyhow!("{name} cannot be read on"))?;
            }
            Err(_) => bail!("{name} is damaged after {} bytes", reader.consumed()),
        }
    }
    let flow = |(tuple, weight)| Flow { tuple, weight };
    let flows: Vec<_> = packets.flows.into_iter().map(flow).collect();
    let other_packets = packets.other;
    ensure!(!flows.is_empty(), "{name}: none of its {other_packets} packets is UDP{}", whom(to));
    Ok(Capture { flows, other_packets, is_cut })
}

fn whom(to: &[IpAddr]) -> String {
    if to.is_empty() {
        return " over IP".to_owned();
    }
    let to: Vec<_> = to.iter().map(ToString::to_string).collect();
    format!(" to {}", to.join(" or "))
}

struct Packets<'a> {
    unit: Unit,
    to: &'a [IpAddr],
    flows: BTreeMap<Tuple, f64>,
    other: u64,
    /// Link type of each interface of the section.
    links: Vec<Linktype>,
}

impl Packets<'_> {
    fn take(&mut self, block: &PcapBlockOwned) -> Result<()> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => self.links = vec![header.network],
            PcapBlockOwned::Legacy(packet) => self.packet(0, packet.data, packet.origlen)?,
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.links.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                self.links.push(interface.linktype);
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                self.packet(packet.if_id, packet.packet_data(), packet.orig_len())?;
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                self.packet(0, packet.packet_data(), packet.orig_len())?;
            }
            PcapBlockOwned::NG(_) => {}
        }
        Ok(())
    }

    fn packet(&mut self, interface: u32, frame: &[u8], bytes: u32) -> Result<()> {
        let link = usize::try_from(interface).ok().and_then(|index| self.links.get(index));
        let link = *link.with_context(|| format!("has no interface {interface}"))?;
        let tuple = sliced(link, frame)?.as_ref().and_then(tuple);
        let is_ours =
            |tuple: &Tuple| self.to.is_empty() || self.to.contains(&tuple.destination().ip());
        let Some(tuple) = tuple.filter(is_ours) else {
            self.other += 1;
            return Ok(());
        };
        *self.flows.entry(tuple).or_default() += match self.unit {
            Unit::Packets => 1.0,
            Unit::Bytes => f64::from(bytes),
        };
        Ok(())
    }
}

/// The headers of a frame; `None` when it is too short for any.
fn sliced(link: Linktype, frame: &[u8]) -> Result<Option<LaxSlicedPacket<'_>>> {
    let cooked = |protocol: usize, header: usize| {
        let protocol = frame.get(protocol..protocol + 2)?;
        let protocol = EtherType(u16::from_be_bytes([protocol[0], protocol[1]]));
        Some(LaxSlicedPacket::from_ether_type(protocol, frame.get(header..)?))
    };
    Ok(match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(frame).ok(),
        Linktype::RAW | RAW_OF_BSD | Linktype::IPV4 | Linktype::IPV6 => {
            LaxSlicedPacket::from_ip(frame).ok()
        }
        Linktype::LINUX_SLL => cooked(14, 16),
        LINUX_SLL2 => cooked(0, 20),
        Linktype(other) => bail!(
            "link type {other} cannot be read; capture on an Ethernet interface, or with -i any"
        ),
    })
}

/// The flow of a UDP packet. A fragment belongs to the flow of its two addresses: its ports are not hashed.
fn tuple(packet: &LaxSlicedPacket) -> Option<Tuple> {
    let (source, destination): (IpAddr, IpAddr) = match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        LaxNetSlice::Ipv6(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let end = |ip, port| SocketAddr::new(ip, port);
    let payload = packet.ip_payload()?;
    if payload.fragmented && payload.ip_number == IpNumber::UDP {
        return Tuple::new(end(source, 0), end(destination, 0)).ok().map(Tuple::fragment);
    }
    let Some(TransportSlice::Udp(udp)) = &packet.transport else { return None };
    let ends = (end(source, udp.source_port()), end(destination, udp.destination_port()));
    Tuple::new(ends.0, ends.1).ok()
}

#[cfg(test)]
mod tests;
