//! Framing of streams against the parser, however the bytes are cut.

use sip_core::{Frame, Framer, Headers, class, parse};

/// Checks the property for one stream: what is found does not depend on how it comes in pieces, stays within
/// it, and is all of a message to the parser.
pub fn check(stream: &[u8]) {
    let whole = frames(stream, stream.len().max(1));
    let piece = 1 + usize::from(stream.first().copied().unwrap_or_default() & 63);
    assert_eq!(messages(&whole), messages(&frames(stream, piece)), "{:?}", super::text(stream));
    for &(start, frame) in &whole {
        let Frame::Message(length) = frame else { continue };
        let message = &stream[start..start + length];
        let _ = class(message);
        let mut headers = Headers::default();
        match parse(message, &mut headers) {
            Ok(sip_core::Message::Request(request)) => assert_eq!(request.body_end(), length),
            Ok(sip_core::Message::Response(response)) => assert_eq!(response.body_end(), length),
            Err(_) => {}
        }
    }
}

/// Where what is found begins, when the bytes come in pieces of this size.
fn frames(stream: &[u8], piece: usize) -> Vec<(usize, Frame)> {
    let (mut framer, mut found) = (Framer::default(), Vec::new());
    let (mut start, mut end) = (0, 0);
    loop {
        let frame = framer.next(&stream[start..end]);
        match frame {
            Frame::Incomplete if end == stream.len() => return found,
            Frame::Incomplete => end = stream.len().min(end + piece),
            Frame::Bad(_) => {
                found.push((start, frame));
                return found;
            }
            Frame::LineBreaks(length) | Frame::Ping(length) | Frame::Message(length) => {
                assert!(0 < length && length <= end - start);
                found.push((start, frame));
                start += length;
            }
        }
    }
}

/// The messages, and whether it ends with an error, whichever is seen first.
fn messages(frames: &[(usize, Frame)]) -> Vec<(usize, Option<usize>)> {
    let entry = |&(start, frame): &(usize, Frame)| match frame {
        Frame::Message(length) => Some((start, Some(length))),
        Frame::Bad(_) => Some((start, None)),
        _ => None,
    };
    frames.iter().filter_map(entry).collect()
}
