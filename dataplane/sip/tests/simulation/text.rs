//! SIP messages as the endpoints read and write them: by hand, so that nothing of what is tested
//! judges itself.

use std::fmt::Write;

/// A message as an endpoint sees it.
#[derive(Debug, Default)]
pub(crate) struct Seen<'a> {
    /// The start line.
    pub(crate) start: &'a str,
    /// Values of Via, the topmost first.
    pub(crate) vias: Vec<&'a str>,
    /// Values of Record-Route, the topmost first.
    pub(crate) record_routes: Vec<&'a str>,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: &'a str,
    pub(crate) contact: &'a str,
}

impl<'a> Seen<'a> {
    /// Reads a message that came out of the proxy; what is broken there is a fault of the proxy.
    pub(crate) fn read(text: &'a str) -> Self {
        let head = text.strip_suffix("\r\n\r\n").expect("headers and no body");
        let mut lines = head.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut seen = Self { start: lines.next().unwrap_or_default(), ..Self::default() };
        for line in lines {
            let (name, value) = line.split_once(':').expect("a header line");
            let value = value.trim_start();
            match name {
                "Via" => seen.vias.push(value),
                "Record-Route" => seen.record_routes.push(value),
                "From" => seen.from = value,
                "To" => seen.to = value,
                "Call-ID" => seen.call_id = value,
                "CSeq" => seen.cseq = value,
                "Contact" => seen.contact = value,
                _ => {}
            }
        }
        seen
    }

    /// The status code of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method of a request.
    pub(crate) fn method(&self) -> &'a str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// The method that CSeq names.
    pub(crate) fn cseq_method(&self) -> &'a str {
        self.cseq.rsplit(' ').next().unwrap_or_default()
    }

    /// The number of the call, which stands in Call-ID.
    pub(crate) fn call(&self) -> Option<u32> {
        self.call_id.strip_suffix("@sim")?.parse().ok()
    }

    /// The branch of the topmost Via.
    pub(crate) fn branch(&self) -> &'a str {
        let via = self.vias.first().copied().unwrap_or_default();
        let (_, rest) = via.split_once(";branch=").unwrap_or_default();
        rest.split(';').next().unwrap_or_default()
    }

    /// The tag of To.
    pub(crate) fn to_tag(&self) -> &'a str {
        self.to.split_once(";tag=").map_or("", |(_, tag)| tag)
    }

    /// What a response repeats (RFC 3261 section 8.2.6.2), with `tag` for its To.
    pub(crate) fn response_head(&self, tag: &str) -> String {
        let mut text = String::with_capacity(512);
        self.vias.iter().for_each(|via| line(&mut text, "Via", via));
        self.record_routes.iter().for_each(|route| line(&mut text, "Record-Route", route));
        line(&mut text, "From", self.from);
        match self.to_tag() {
            "" if !tag.is_empty() => text.extend(["To: ", self.to, ";tag=", tag, "\r\n"]),
            _ => line(&mut text, "To", self.to),
        }
        line(&mut text, "Call-ID", self.call_id);
        line(&mut text, "CSeq", self.cseq);
        text
    }
}

/// Adds a header line.
pub(crate) fn line(text: &mut String, name: &str, value: &str) {
    text.extend([name, ": ", value, "\r\n"]);
}

/// A response with these header lines.
pub(crate) fn response(status: u16, head: &str, more: &str) -> Vec<u8> {
    let mut text = String::with_capacity(head.len() + more.len() + 64);
    let _ = write!(text, "SIP/2.0 {status} Whatever\r\n");
    text.extend([head, more, "Content-Length: 0\r\n\r\n"]);
    text.into_bytes()
}

/// The URI between angle brackets.
pub(crate) fn uri(value: &str) -> &str {
    let start = value.find('<').map_or(0, |at| at + 1);
    value[start..].split('>').next().unwrap_or_default()
}
