//! The header lines that only a registrar looks into, found in a walk of its own.

use crate::message::{Request, Span};
use crate::parse::lines::{Line, Lines};
use crate::parse::registers::{Compiled, Registers, Work, with_widest};
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

/// The lines of one header: the value of the first, and how many there are. Others are found by another
/// walk: hardly anybody sends any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Values {
    first: Span,
    /// Where the line behind the first begins.
    next: u32,
    count: u32,
}

impl Values {
    #[inline(always)]
    fn push(&mut self, value: Span, line: Line) {
        if self.count == 0 {
            (self.first, self.next) = (value, line.next);
        }
        self.count += 1;
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there is one line alone.
    pub(super) fn is_single(&self) -> bool {
        self.count == 1
    }
}

/// What the walk finds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields {
    pub(super) contacts: Values,
    pub(super) paths: Values,
    /// Values of Require.
    pub(super) requires: Values,
    /// Value of Expires; empty when there is none.
    pub(super) expires: Span,
    pub(super) supported: Options,
}

impl Fields {
    /// Reads the header lines of a request, which parsed.
    #[inline]
    pub(super) fn read(request: &Request<'_>) -> Self {
        with_widest(Walk { bytes: request.bytes, at: headers_at(request) })
    }

    /// Whether it came by other proxies, to which its bindings belong.
    pub(super) fn has_path(&self) -> bool {
        !self.paths.is_empty()
    }

    /// The values of all lines of Contact.
    #[inline]
    pub(super) fn contacts(&self, request: &Request<'_>) -> impl Iterator<Item = Span> {
        each(self.contacts, Name::Contact, request)
    }

    /// The values of all lines of Path.
    #[inline]
    pub(super) fn paths(&self, request: &Request<'_>) -> impl Iterator<Item = Span> {
        each(self.paths, Name::Path, request)
    }

    /// The values of all lines of Require.
    pub(super) fn requires(&self, request: &Request<'_>) -> impl Iterator<Item = Span> {
        each(self.requires, Name::Require, request)
    }
}

#[inline]
fn headers_at(request: &Request<'_>) -> usize {
    request.line.end() + 2
}

/// The first value, and those of the lines behind it.
#[inline]
fn each(values: Values, wanted: Name, request: &Request<'_>) -> impl Iterator<Item = Span> {
    let bytes = request.bytes;
    let mut lines = (values.count > 1).then(|| Lines::new(Compiled, bytes, values.next as usize));
    let first = (values.count > 0).then_some(values.first);
    let others = core::iter::from_fn(move || {
        let lines = lines.as_mut()?;
        loop {
            let line = lines.next_line();
            if line.is_empty() {
                return None;
            }
            if let Some((name, length)) = name(bytes, line)
                && name == wanted
                && let Some(value) = value(bytes, line, length)
            {
                return Some(value);
            }
        }
    });
    first.into_iter().chain(others)
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
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
        let mut found = Fields::default();
        let mut lines = Lines::new(registers, bytes, at);
        loop {
            let line = lines.next_line();
            if line.is_empty() {
                return found;
            }
            let Some((name, length)) = name(bytes, line) else { continue };
            let Some(value) = value(bytes, line, length) else { continue };
            match name {
                Name::Contact => found.contacts.push(value, line),
                Name::Path => found.paths.push(value, line),
                Name::Require => found.requires.push(value, line),
                Name::Expires => found.expires = value,
                Name::Supported => found.supported = supported(found.supported, value.of(bytes)),
            }
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
