use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::XdpError;

/// An XDP program on an interface.
#[derive(Debug)]
pub(super) struct Attached {
    /// Index of the interface.
    index: u32,
    /// Kernel-wide id of the program.
    pub(super) program: u32,
    /// `XDP_FLAGS_*_MODE` that it was attached with.
    mode: u32,
    /// The interface's MAC address, if it has one.
    pub(super) mac: Option<[u8; 6]>,
}

/// What is attached to an interface of this network namespace (`RTM_GETLINK`, `IFLA_XDP`).
pub(super) fn attached(interface: &str) -> Result<Option<Attached>, XdpError> {
    let mut request = LinkMessage::default();
    request.attributes.push(LinkAttribute::IfName(interface.to_owned()));
    let link = call(RouteNetlinkMessage::GetLink(request), NLM_F_REQUEST)
        .map_err(|source| error(interface, "to show it", source))?;
    let Some(RouteNetlinkMessage::NewLink(link)) = link else { return Ok(None) };
    let index = link.header.index;
    let mac = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    });
    let xdp = link.attributes.into_iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(xdp) => Some(xdp),
        _ => None,
    });
    let mut program = None;
    let mut mode = 0;
    for attribute in xdp.unwrap_or_default() {
        match attribute {
            LinkXdp::Attached(attached) => mode = mode_flag(attached),
            LinkXdp::ProgId(id) => program = Some(id),
            _ => {}
        }
    }
    Ok(program.map(|program| Attached { index, program, mode, mac }))
}

/// Takes the program off (`RTM_SETLINK`, file descriptor -1).
pub(super) fn detach(interface: &str, attached: &Attached) -> Result<(), XdpError> {
    let mut request = LinkMessage::default();
    request.header.index = attached.index;
    request
        .attributes
        .push(LinkAttribute::Xdp(vec![LinkXdp::Fd(-1), LinkXdp::Flags(attached.mode)]));
    call(RouteNetlinkMessage::SetLink(request), NLM_F_REQUEST | NLM_F_ACK)
        .map(drop)
        .map_err(|source| error(interface, "to detach the XDP program", source))
}

/// linux/if_link.h: `XDP_FLAGS_SKB_MODE`, `XDP_FLAGS_DRV_MODE`, `XDP_FLAGS_HW_MODE`.
fn mode_flag(attached: XdpAttached) -> u32 {
    match attached {
        XdpAttached::SocketBuffer => 1 << 1,
        XdpAttached::Driver => 1 << 2,
        XdpAttached::Hardware => 1 << 3,
        _ => 0,
    }
}

/// One request, one answer; `None` is the kernel's acknowledgement.
fn call(request: RouteNetlinkMessage, flags: u16) -> io::Result<Option<RouteNetlinkMessage>> {
    let mut message = NetlinkMessage::from(request);
    message.header.flags = flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);

    let socket = Socket::new(NETLINK_ROUTE)?;
    let kernel = SocketAddr::new(0, 0);
    socket.send_to(&bytes, &kernel, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    match NetlinkMessage::deserialize(&answer).map_err(io::Error::other)?.payload {
        NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        _ => Ok(None),
    }
}

fn error(interface: &str, action: &'static str, source: io::Error) -> XdpError {
    XdpError::Netlink { interface: interface.to_owned(), action, source }
}
