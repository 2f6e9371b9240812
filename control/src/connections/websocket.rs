//! WebSocket on the bytes of a connection: the upgrade with subprotocol `sip`, and one SIP message in each
//! WebSocket message (RFC 6455, RFC 7118).

use super::counters::End;
use sip_core::limits::STREAM_MESSAGE_MAX;
use std::io::{self, Cursor, ErrorKind, Read, Write};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::{HeaderValue, StatusCode, header};
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// Longest upgrade request: browsers with cookies send 1 to 2 KiB.
const UPGRADE_MAX: usize = 8_192;
/// What one read of the frames takes; each frame is whole before it is read.
const READ_BUFFER: usize = 1_024;
/// The version of the protocol (RFC 6455 section 4.1).
const VERSION: &str = "13";
/// Header lines of a refusal.
const CLOSE: &str = "Connection: close";
/// Those for a client that speaks another version (RFC 6455 section 4.4, RFC 9110 section 15.5.22).
const OTHER_VERSION: &str =
    "Connection: close, upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";

/// What has become of an upgrade.
pub(super) enum Upgrade {
    /// The request is not whole yet.
    Incomplete,
    /// Agreed: the response, and how long the request was.
    Agreed(Vec<u8>, usize),
    /// Refused, with this response.
    Refused(Vec<u8>),
}

/// Answers the HTTP request with which a client begins (RFC 6455 section 4.2, RFC 7118 section 4).
pub(super) fn upgrade(bytes: &[u8]) -> Upgrade {
    let (used, request) = match Request::try_parse(bytes) {
        Ok(Some(parsed)) if parsed.0 <= UPGRADE_MAX => parsed,
        Ok(None) if bytes.len() < UPGRADE_MAX => return Upgrade::Incomplete,
        Ok(_) => return refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, CLOSE),
        Err(_) => return refused(StatusCode::BAD_REQUEST, CLOSE),
    };
    let version = request.headers().get(header::SEC_WEBSOCKET_VERSION);
    if version.is_some_and(|version| version != VERSION) {
        return refused(StatusCode::UPGRADE_REQUIRED, OTHER_VERSION);
    }
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = offered.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    if !offered.any(|name| name.trim().eq_ignore_ascii_case("sip")) {
        return refused(StatusCode::BAD_REQUEST, CLOSE);
    }
    let Ok(mut response) = create_response(&request) else {
        return refused(StatusCode::BAD_REQUEST, CLOSE);
    };
    let name = HeaderValue::from_static("sip");
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    let mut text = Vec::new();
    match write_response(&mut text, &response) {
        Ok(()) => Upgrade::Agreed(text, used),
        Err(_) => refused(StatusCode::BAD_REQUEST, CLOSE),
    }
}

fn refused(status: StatusCode, lines: &str) -> Upgrade {
    let text = format!("HTTP/1.1 {status}\r\n{lines}\r\nContent-Length: 0\r\n\r\n");
    Upgrade::Refused(text.into_bytes())
}

/// A WebSocket, between whole frames.
#[derive(Debug)]
pub(super) struct WebSocket {
    context: WebSocketContext,
    is_within_message: bool,
}

/// It is over: the bytes that say so, and why.
pub(super) struct Over(pub(super) Vec<u8>, pub(super) End);

impl WebSocket {
    pub(super) fn new() -> Box<Self> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(STREAM_MESSAGE_MAX))
            .max_frame_size(Some(STREAM_MESSAGE_MAX));
        let context = WebSocketContext::new(Role::Server, Some(config));
        Box::new(Self { context, is_within_message: false })
    }

    /// Whether fragments of a message have come, and not the last.
    pub(super) fn is_within_message(&self) -> bool {
        self.is_within_message
    }

    /// The length of the frame that `bytes` begin with, once it is whole.
    pub(super) fn frame(&mut self, bytes: &[u8]) -> Result<Option<usize>, Over> {
        let mut cursor = Cursor::new(bytes);
        let header = FrameHeader::parse(&mut cursor).map_err(|error| over(&error))?;
        let Some((header, length)) = header else { return Ok(None) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > STREAM_MESSAGE_MAX {
            return Err(closed(CloseCode::Size));
        }
        let begin = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        if bytes.len() - begin < length {
            return Ok(None);
        }
        if matches!(header.opcode, OpCode::Data(_)) {
            self.is_within_message = !header.is_final;
        }
        Ok(Some(begin + length))
    }

    /// Takes a whole frame; gives the message that it makes whole. What must be answered, a ping, is
    /// appended to `answer`.
    pub(super) fn take(
        &mut self,
        frame: &[u8],
        answer: &mut Vec<u8>,
    ) -> Result<Option<Message>, Over> {
        let mut pipe = Pipe { input: frame, output: answer };
        let mut found = None;
        loop {
            match self.context.read(&mut pipe) {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => found = Some(message),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(found),
                // Our part of the closing is in the pipe.
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return Err(Over(std::mem::take(answer), End::Peer));
                }
                Err(error) => return Err(over(&error)),
            }
        }
    }
}

/// A message as one frame, and where it begins in it.
pub(super) fn framed(message: &[u8]) -> (Vec<u8>, usize) {
    let kind = if std::str::from_utf8(message).is_ok() { Data::Text } else { Data::Binary };
    let frame = Frame::message(message.to_vec(), OpCode::Data(kind), true);
    let bytes = written(frame);
    let begin = bytes.len() - message.len();
    (bytes, begin)
}

/// What says that it is over, from our side.
pub(super) fn going_away() -> Vec<u8> {
    closed(CloseCode::Away).0
}

fn over(error: &Error) -> Over {
    closed(match error {
        Error::Capacity(_) => CloseCode::Size,
        Error::Utf8(_) => CloseCode::Invalid,
        _ => CloseCode::Protocol,
    })
}

fn closed(code: CloseCode) -> Over {
    Over(written(Frame::close(Some(CloseFrame { code, reason: "".into() }))), End::Malformed)
}

fn written(frame: Frame) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frame.len());
    // Nothing can go wrong with a vector.
    let _ = frame.format(&mut bytes);
    bytes
}

/// A stream that holds one frame, and takes what is answered.
struct Pipe<'a> {
    input: &'a [u8],
    output: &'a mut Vec<u8>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer) {
            Ok(0) => Err(ErrorKind::WouldBlock.into()),
            result => result,
        }
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
