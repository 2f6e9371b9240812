//! `*( SEMI name [ EQUAL value ] )`, the parameters of Via, name-addr and URIs.

use super::scan;
use crate::limits::PARAMETERS_MAX;
use crate::message::Span;

/// One parameter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Param {
    pub(crate) name: Span,
    /// Empty without an equals sign; the quotes of a quoted string belong to the value.
    pub(crate) value: Span,
    /// From the semicolon to the end of name or value.
    pub(crate) whole: Span,
}

impl Param {
    /// Whether there is such a parameter: where one can be missing, the default stands for that.
    #[inline]
    pub(crate) fn exists(&self) -> bool {
        !self.name.is_empty()
    }
}

/// Walks over parameters up to a comma or the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Params<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
    left: usize,
}

/// The grammar is broken, or there are too many parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadParams;

impl<'a> Params<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], at: usize, end: usize) -> Self {
        Self { bytes, at, end: end.min(bytes.len()), left: PARAMETERS_MAX }
    }

    /// Where the walk stands: at the comma or the end once `next_param` has returned `None`.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The value of the next parameter if that is written `;branch=`, as in nearly all Vias.
    #[inline(always)]
    pub(crate) fn usual_branch(&mut self) -> Option<Span> {
        let start = self.at + b";branch=".len();
        if start >= self.end || scan::chunk(self.bytes, self.at) != Some(b";branch=") {
            return None;
        }
        let end = scan::find_stop(self.bytes, start, self.end, [b';', b',', b'"']);
        if end == start {
            return None;
        }
        self.at = end;
        Some(Span::new(start, end))
    }

    /// The next parameter, `None` at a comma or at the end.
    #[inline(always)]
    pub(crate) fn next_param(&mut self) -> Result<Option<Param>, BadParams> {
        let semicolon = self.skip(self.at);
        self.at = semicolon;
        match self.byte(semicolon) {
            None | Some(b',') => return Ok(None),
            Some(b';') if self.left > 0 => self.left -= 1,
            Some(_) => return Err(BadParams),
        }
        let start = self.skip(semicolon + 1);
        let name_end = scan::find_stop(self.bytes, start, self.end, [b'=', b';', b',', b'"']);
        if name_end == start {
            return Err(BadParams);
        }
        let name = Span::new(start, name_end);
        let equals = self.skip(name_end);
        if self.byte(equals) != Some(b'=') {
            self.at = name_end;
            let value = Span::default();
            return Ok(Some(Param { name, value, whole: Span::new(semicolon, name_end) }));
        }
        let start = self.skip(equals + 1);
        let end = if self.byte(start) == Some(b'"') {
            scan::quoted_string(self.bytes, start, self.end).ok_or(BadParams)?
        } else {
            scan::find_stop(self.bytes, start, self.end, [b';', b',', b'"'])
        };
        if end == start {
            return Err(BadParams);
        }
        self.at = end;
        let value = Span::new(start, end);
        Ok(Some(Param { name, value, whole: Span::new(semicolon, end) }))
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> Option<u8> {
        if at < self.end { self.bytes.get(at).copied() } else { None }
    }

    /// The position behind white space, of which there is hardly ever any.
    #[inline(always)]
    fn skip(&self, at: usize) -> usize {
        match self.byte(at) {
            Some(byte) if byte > b' ' => at,
            _ => scan::skip_lws(self.bytes, at, self.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    type Walked = (Vec<(String, Option<String>)>, usize);

    fn walk(text: &str) -> Result<Walked, BadParams> {
        let bytes = text.as_bytes();
        let own = |span: Span| String::from_utf8_lossy(span.of(bytes)).into_owned();
        let mut params = Params::new(bytes, 0, bytes.len());
        let mut found = Vec::new();
        while let Some(param) = params.next_param()? {
            found.push((own(param.name), (!param.value.is_empty()).then(|| own(param.value))));
        }
        Ok((found, params.at()))
    }

    #[test]
    fn names_values_and_quotes() {
        let (found, at) = walk(";a = b ; lr;c=\"x;,\\\" y\" ;d=[::1], next").unwrap();
        let found: Vec<_> = found.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
        assert_eq!(
            found,
            [("a", Some("b")), ("lr", None), ("c", Some("\"x;,\\\" y\"")), ("d", Some("[::1]"))]
        );
        assert_eq!(at, 32);
    }

    #[test]
    fn broken_grammar_is_refused() {
        for text in [";;", ";", "x", ";a=", ";a=;b", ";a=\"x", ";=b", ";a b", ";a=b\"c"] {
            assert!(walk(text).is_err(), "{text}");
        }
        assert!(walk(&";a".repeat(PARAMETERS_MAX + 1)).is_err());
    }
}
