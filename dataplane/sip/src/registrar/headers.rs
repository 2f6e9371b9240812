//! The header lines that only a registrar looks into, found in a walk of its own.

use crate::limits::CONTACTS_MAX;
use crate::message::{Request, Span};
use crate::parse::lines::{Line, Lines};
use crate::parse::registers::{Registers, Work, with_widest};
use crate::parse::scan;

/// Option tags that we know, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options(u8);

impl Options {
    pub(super) const PATH: Self = Self(1);
    pub(super) const OUTBOUND: Self = Self(2);
    pub(super) const GRUU: Self = Self(4);

    pub(super) fn has(self, option: Self) -> bool {
        self.0 & option.0 != 0
    }

    /// The option of this tag, if we know it.
    pub(super) fn of(tag: &[u8]) -> Option<Self> {
        [(&b"path"[..], Self::PATH), (b"outbound", Self::OUTBOUND), (b"gruu", Self::GRUU)]
            .into_iter()
            .find_map(|(name, option)| tag.eq_ignore_ascii_case(name).then_some(option))
    }
}

/// The values of the lines of one header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    spans: [Span; CONTACTS_MAX],
    count: usize,
}

impl Values {
    const NONE: Self = Self { spans: [Span::of_u32(0, 0); CONTACTS_MAX], count: 0 };

    #[inline]
    fn push(&mut self, value: Span) -> bool {
        let place = self.spans.get_mut(self.count);
        let fits = place.is_some();
        place.into_iter().for_each(|place| *place = value);
        self.count += usize::from(fits);
        fits
    }

    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = Span> {
        self.spans.iter().take(self.count).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// What the walk finds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    pub(super) contacts: Values,
    pub(super) paths: Values,
    /// Values of Require.
    pub(super) requires: Values,
    /// Value of Expires; empty when there is none.
    pub(super) expires: Span,
    pub(super) supported: Options,
    /// There are more lines of a header than anybody needs.
    pub(super) is_too_much: bool,
}

impl Fields {
    /// Reads the header lines of a request, which parsed.
    #[inline]
    pub(super) fn read(request: &Request<'_>) -> Self {
        with_widest(Walk { bytes: request.bytes, at: request.line.end() + 2 })
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

#[derive(Clone, Copy)]
enum Name {
    Contact,
    Expires,
    Path,
    Supported,
    Require,
}

impl Work for Walk<'_> {
    type Output = Fields;

    #[inline(always)]
    fn run<R: Registers>(self, registers: R) -> Fields {
        let Self { bytes, at } = self;
        let mut found = Fields {
            contacts: Values::NONE,
            paths: Values::NONE,
            requires: Values::NONE,
            expires: Span::default(),
            supported: Options::default(),
            is_too_much: false,
        };
        let mut lines = Lines::new(registers, bytes, at);
        loop {
            let line = lines.next_line();
            if line.is_empty() {
                return found;
            }
            let Some((name, length)) = name(bytes, line) else { continue };
            let Some(value) = value(bytes, line, length) else { continue };
            let fits = match name {
                Name::Contact => found.contacts.push(value),
                Name::Path => found.paths.push(value),
                Name::Require => found.requires.push(value),
                Name::Expires => {
                    found.expires = value;
                    true
                }
                Name::Supported => {
                    found.supported = supported(found.supported, value.of(bytes));
                    true
                }
            };
            found.is_too_much |= !fits;
        }
    }
}

/// The name that a line may begin with, full or compact, and its length.
#[inline(always)]
fn name(bytes: &[u8], line: Line) -> Option<(Name, u32)> {
    const fn word(text: [u8; 8]) -> u64 {
        u64::from_le_bytes(text)
    }
    const SEVEN: u64 = (1 << 56) - 1;
    const FOUR: u64 = (1 << 32) - 1;
    let raw = scan::word(bytes, line.start as usize);
    let small = raw | 0x2020_2020_2020_2020;
    match small.to_le_bytes()[0] {
        b'c' if small & SEVEN == word(*b"contact\0") => Some((Name::Contact, 7)),
        b'e' if small & SEVEN == word(*b"expires\0") => Some((Name::Expires, 7)),
        b'r' if small & SEVEN == word(*b"require\0") => Some((Name::Require, 7)),
        b'p' if small & FOUR == word(*b"path\0\0\0\0") => Some((Name::Path, 4)),
        b's' if small == word(*b"supporte") => {
            let last = bytes.get(line.start as usize + 8)?;
            last.eq_ignore_ascii_case(&b'd').then_some((Name::Supported, 9))
        }
        b'm' => Some((Name::Contact, 1)),
        b'k' => Some((Name::Supported, 1)),
        _ => None,
    }
}

/// The value behind a name of this length and its colon, without white space around it.
#[inline(always)]
fn value(bytes: &[u8], line: Line, length: u32) -> Option<Span> {
    let (mut at, end) = ((line.start + length) as usize, line.end as usize);
    while at < end && matches!(bytes.get(at)?, b' ' | b'\t') {
        at += 1;
    }
    if at >= end || *bytes.get(at)? != b':' {
        return None;
    }
    let start = scan::skip_lws(bytes, at + 1, end);
    Some(Span::new(start, scan::trim_end(bytes, start, end)))
}

/// The tags in a value of Require or Supported.
pub(super) fn tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty())
}

#[inline]
fn supported(before: Options, value: &[u8]) -> Options {
    tags(value).filter_map(Options::of).fold(before, |all, one| Options(all.0 | one.0))
}
