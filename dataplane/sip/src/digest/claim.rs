//! Credentials as they stand in a request: Authorization and Proxy-Authorization (RFC 3261 sections 20.7
//! and 20.28, RFC 7616 section 3.4).

use super::Role;
use crate::limits::{CREDENTIAL_TEXT_MAX, PARAMETERS_MAX, URI_MAX};
use crate::message::{Request, Span};
use crate::parse::lines::{Line, Lines};
use crate::parse::registers::Compiled;
use crate::parse::scan;
use crate::settings::DigestAlgorithm;

/// What a client says to prove who it is. Texts are without their quotes, with their escapes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) username: Span,
    pub(super) nonce: &'a [u8],
    pub(super) uri: Span,
    pub(super) response: &'a [u8],
    pub(super) cnonce: &'a [u8],
    /// The nonce count as it was written: eight hex digits.
    pub(super) nc: [u8; 8],
    pub(super) count: u32,
    pub(super) algorithm: DigestAlgorithm,
}

/// What a request says about the realm.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// Nothing: it has to be asked.
    Nothing,
    /// Credentials for it of a kind that we do not offer.
    Unoffered,
    /// Credentials for it.
    Claim(Claim<'a>),
    /// Credentials for it that break the grammar.
    Bad,
}

/// Looks for the credentials for `realm`. Those for the realms of others may stand beside them (RFC 3261
/// section 22.3).
#[inline]
pub(super) fn find<'a>(request: &Request<'a>, role: Role, realm: &[u8]) -> Found<'a> {
    let bytes = request.bytes;
    let mut lines = Lines::new(Compiled, bytes, request.line.end() + 2);
    loop {
        let line = lines.next_line();
        if line.is_empty() {
            return Found::Nothing;
        }
        let Some(at) = value_start(bytes, line, role) else { continue };
        match Fields::read(bytes, at, line.end as usize) {
            Ok(fields) if fields.is_for(bytes, realm) => return fields.claim(bytes),
            // Of another realm, or of a scheme other than Digest: not our matter.
            Ok(_) | Err(Broken::Elsewhere) => {}
            Err(Broken::Grammar) => return Found::Bad,
        }
    }
}

/// Where the value begins if the line is the one that credentials for this role stand in.
#[inline(always)]
pub(super) fn value_start(bytes: &[u8], line: Line, role: Role) -> Option<usize> {
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let start = line.start as usize;
    let (head, name): (&[u8; 8], &[u8]) = match role {
        Role::Registrar => (b"authoriz", b"authorization"),
        Role::Proxy => (b"proxy-au", b"proxy-authorization"),
    };
    if scan::word(bytes, start) | SMALL != u64::from_le_bytes(*head) {
        return None;
    }
    let end = start + name.len();
    if !bytes.get(start..end)?.eq_ignore_ascii_case(name) {
        return None;
    }
    let colon = scan::skip_lws(bytes, end, line.end as usize);
    (bytes.get(colon) == Some(&b':')).then_some(colon + 1)
}

/// Why a line has no fields.
pub(super) enum Broken {
    /// Another scheme.
    Elsewhere,
    /// It breaks the grammar.
    Grammar,
}

/// The parameters of one line; empty when they are not there.
#[derive(Clone, Copy, Default)]
pub(super) struct Fields {
    username: Span,
    realm: Span,
    nonce: Span,
    uri: Span,
    response: Span,
    algorithm: Span,
    cnonce: Span,
    qop: Span,
    nc: Span,
    /// `userhash=true` or `username*`, which we do not offer.
    hides_user: bool,
}

impl Fields {
    #[inline(always)]
    pub(super) fn read(bytes: &[u8], at: usize, end: usize) -> Result<Self, Broken> {
        let scheme = scan::skip_lws(bytes, at, end);
        let scheme_end = scan::find_stop(bytes, scheme, end, [b',']);
        let is_digest =
            bytes.get(scheme..scheme_end).is_some_and(|name| name.eq_ignore_ascii_case(b"digest"));
        if !is_digest {
            return Err(Broken::Elsewhere);
        }
        let (mut fields, mut at) = (Self::default(), scheme_end);
        for _ in 0..PARAMETERS_MAX {
            let name_start = scan::skip_lws(bytes, at, end);
            let name_end = scan::find_stop(bytes, name_start, end, [b'=', b',', b'"']);
            let equals = scan::skip_lws(bytes, name_end, end);
            if bytes.get(equals) != Some(&b'=') || equals >= end || name_end == name_start {
                return Err(Broken::Grammar);
            }
            let (value, behind) = value(bytes, equals + 1, end).ok_or(Broken::Grammar)?;
            fields.note(bytes, Span::new(name_start, name_end), value)?;
            let comma = scan::skip_lws(bytes, behind, end);
            if comma >= end {
                return Ok(fields);
            }
            if bytes.get(comma) != Some(&b',') {
                return Err(Broken::Grammar);
            }
            at = comma + 1;
        }
        Err(Broken::Grammar)
    }

    /// Takes note of a parameter; none may stand twice.
    #[inline(always)]
    fn note(&mut self, bytes: &[u8], name: Span, value: Span) -> Result<(), Broken> {
        let is_hash = |wanted: &[u8]| value.of(bytes).eq_ignore_ascii_case(wanted);
        let place = match name.len() {
            2 if scan::is_name(bytes, name, b"nc") => &mut self.nc,
            3 if scan::is_name(bytes, name, b"uri") => &mut self.uri,
            3 if scan::is_name(bytes, name, b"qop") => &mut self.qop,
            5 if scan::is_name(bytes, name, b"realm") => &mut self.realm,
            5 if scan::is_name(bytes, name, b"nonce") => &mut self.nonce,
            6 if scan::is_name(bytes, name, b"cnonce") => &mut self.cnonce,
            8 if scan::is_name(bytes, name, b"username") => &mut self.username,
            8 if scan::is_name(bytes, name, b"response") => &mut self.response,
            8 if scan::is_name(bytes, name, b"userhash") => {
                self.hides_user |= is_hash(b"true");
                return Ok(());
            }
            9 if scan::is_name(bytes, name, b"algorithm") => &mut self.algorithm,
            9 if name.of(bytes).eq_ignore_ascii_case(b"username*") => {
                self.hides_user = true;
                return Ok(());
            }
            _ => return Ok(()),
        };
        if *place != Span::default() {
            return Err(Broken::Grammar);
        }
        *place = value;
        Ok(())
    }

    pub(super) fn is_for(&self, bytes: &[u8], realm: &[u8]) -> bool {
        let found = self.realm.of(bytes);
        // The names of our realms need no escapes, but some may use them.
        found == realm || found.contains(&b'\\') && unescape(found, |plain| plain == realm)
    }

    /// Whether something is lacking is found out before anything is computed.
    fn claim<'a>(&self, bytes: &'a [u8]) -> Found<'a> {
        let Some(algorithm) = self.algorithm(bytes) else { return Found::Unoffered };
        let qop = self.qop.of(bytes);
        if self.hides_user || !qop.eq_ignore_ascii_case(b"auth") {
            // Without qop, the digest of RFC 2069, a nonce could be used over and over.
            return Found::Unoffered;
        }
        let is_whole = !self.username.is_empty()
            && self.username.len() <= CREDENTIAL_TEXT_MAX
            && !self.uri.is_empty()
            && self.uri.len() <= URI_MAX
            && !self.cnonce.is_empty()
            && self.cnonce.len() <= CREDENTIAL_TEXT_MAX;
        let nc = self.nc.of(bytes).first_chunk::<8>().filter(|_| self.nc.len() == 8);
        let (true, Some(nc)) = (is_whole, nc) else { return Found::Bad };
        let Some(count) = hex_u32(*nc) else { return Found::Bad };
        Found::Claim(Claim {
            username: self.username,
            nonce: self.nonce.of(bytes),
            uri: self.uri,
            response: self.response.of(bytes),
            cnonce: self.cnonce.of(bytes),
            nc: *nc,
            count,
            algorithm,
        })
    }

    /// MD5 when none is named; `None` for one that we never offer.
    fn algorithm(&self, bytes: &[u8]) -> Option<DigestAlgorithm> {
        match self.algorithm.of(bytes) {
            b"" => Some(DigestAlgorithm::Md5),
            name if name.eq_ignore_ascii_case(b"md5") => Some(DigestAlgorithm::Md5),
            name if name.eq_ignore_ascii_case(b"sha-256") => Some(DigestAlgorithm::Sha256),
            _ => None,
        }
    }
}

/// A token or the inside of a quoted string, and the position behind it. Phones quote what should be
/// bare and the other way round, so that either will do for every parameter.
#[inline(always)]
fn value(bytes: &[u8], at: usize, end: usize) -> Option<(Span, usize)> {
    let start = scan::skip_lws(bytes, at, end);
    if bytes.get(start) != Some(&b'"') || start >= end {
        let stop = scan::find_stop(bytes, start, end, [b',', b'"']);
        return (stop > start).then(|| (Span::new(start, stop), stop));
    }
    let mut at = start + 1;
    loop {
        // Stops at blanks, too.
        at = scan::find_stop(bytes, at, end, [b'"', b'\\']);
        if at >= end {
            return None;
        }
        match bytes.get(at)? {
            b'"' => return Some((Span::new(start + 1, at), at + 1)),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Gives `then` the text without the backslashes of its quoted pairs, as far as it fits.
pub(super) fn unescape<T>(text: &[u8], then: impl FnOnce(&[u8]) -> T) -> T {
    let (mut plain, mut length) = ([0; CREDENTIAL_TEXT_MAX], 0);
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        let byte = if byte == b'\\' { bytes.next().copied().unwrap_or(byte) } else { byte };
        if let Some(place) = plain.get_mut(length) {
            *place = byte;
            length += 1;
        }
    }
    then(plain.get(..length).unwrap_or_default())
}

/// The number of eight hex digits.
fn hex_u32(digits: [u8; 8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;
    use crate::message::{Headers, Message};

    fn request(lines: &str) -> String {
        format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n{lines}\r\n"
        )
    }

    /// What is found: the user and the count, `None` for nothing, an error for what is bad.
    fn look(lines: &str, role: Role) -> Result<Option<(String, u32)>, ()> {
        let text = request(lines);
        let mut headers = Headers::default();
        let Ok(Message::Request(request)) = crate::parse(text.as_bytes(), &mut headers) else {
            unreachable!("{text}");
        };
        match find(&request, role, b"example.com") {
            Found::Nothing | Found::Unoffered => Ok(None),
            Found::Bad => Err(()),
            Found::Claim(claim) => {
                let user = String::from_utf8_lossy(claim.username.of(text.as_bytes()));
                Ok(Some((user.into_owned(), claim.count)))
            }
        }
    }

    const REST: &str = "uri=\"sip:x\", response=\"0\", cnonce=\"c\", qop=auth, nc=0000000a";

    #[test]
    fn the_line_of_our_realm_is_found_among_others() {
        let other = "Authorization: Digest username=\"x\", realm=\"other\"\r\n\
                     Authorization: Basic abc=\r\n";
        let ours = format!(
            "AUTHORIZATION :  digest username=\"al\\\"ice\" , realm=\"example.com\",{REST}"
        );
        let found = look(&format!("{other}{ours}\r\n"), Role::Registrar);
        assert_eq!(found, Ok(Some(("al\\\"ice".into(), 10))));
        assert_eq!(look(&format!("{ours}\r\n"), Role::Proxy), Ok(None));
        let proxy = format!(
            "Proxy-Authorization: Digest\r\n username=a,realm=\"example.c\\om\",{REST}\r\n"
        );
        assert_eq!(look(&proxy, Role::Proxy), Ok(Some(("a".into(), 10))));
        assert_eq!(look(&proxy, Role::Registrar), Ok(None));
        assert_eq!(look("", Role::Proxy), Ok(None));
    }

    #[test]
    fn what_we_do_not_offer_is_as_nothing() {
        let with = |more: &str| {
            let line = "Authorization: Digest username=\"a\", realm=\"example.com\",uri=x,cnonce=c,nc=00000001";
            look(&format!("{line}{more}\r\n"), Role::Registrar)
        };
        assert_eq!(with(",qop=auth"), Ok(Some(("a".into(), 1))));
        assert_eq!(with(",qop=\"auth\",algorithm=\"md5\""), Ok(Some(("a".into(), 1))));
        for more in [
            "",
            ",qop=auth-int",
            ",qop=auth,algorithm=MD5-sess",
            ",qop=auth,algorithm=SHA-512-256",
            ",qop=auth,userhash=true",
            ",qop=auth,username*=UTF-8''a",
        ] {
            assert_eq!(with(more), Ok(None), "{more}");
        }
    }

    #[test]
    fn broken_grammar_is_refused() {
        for line in [
            "username=\"a\", realm=\"example.com",
            "username=\"a\" realm=\"example.com\"",
            "username=\"a\", realm=\"example.com\", realm=\"example.com\"",
            "realm=\"example.com\", qop=auth, nc=00000001, cnonce=c, uri=x",
            "username=a, realm=\"example.com\", qop=auth, nc=1, cnonce=c, uri=x",
            "username=a, realm=\"example.com\", qop=auth, nc=0000000g, cnonce=c, uri=x",
            "username=a, realm=\"example.com\", qop=auth, nc=00000001, uri=x",
            "username=a, realm=\"example.com\", qop=auth, nc=00000001, cnonce=c",
            "username=a,, realm=\"example.com\"",
            "=a",
            "",
        ] {
            let line = format!("Authorization: Digest {line}\r\n");
            assert_eq!(look(&line, Role::Registrar), Err(()), "{line}");
        }
        let many = format!("Authorization: Digest {}\r\n", "a=b,".repeat(PARAMETERS_MAX + 1));
        assert_eq!(look(&many, Role::Registrar), Err(()));
        let long = format!(
            "Authorization: Digest username={},{REST},realm=\"example.com\"\r\n",
            "a".repeat(257)
        );
        assert_eq!(look(&long, Role::Registrar), Err(()));
    }
}
