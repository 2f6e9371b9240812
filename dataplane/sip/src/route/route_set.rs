//! The Route values of a request, read and taken away one by one (RFC 3261 sections 16.4, 16.6.6).

use smallvec::SmallVec;

use crate::limits::CREDENTIAL_LINES_MAX;
use crate::message::{Place, Span};
use crate::parse::header::{HeaderId, HeaderLines};
use crate::parse::name_addr::NameAddr;
use crate::parse::scan;

/// The Route values from the topmost one that is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteSet<'a> {
    bytes: &'a [u8],
    /// Where the lines behind the current one begin.
    rest: usize,
    /// The line of the topmost value left, `None` when none is.
    current: Option<Place>,
    /// Where the topmost value left begins.
    at: usize,
    /// Position of the comma or line start of a last value that was taken away.
    tail: Option<Span>,
}

/// Parts of the message to delete: four pops, the pop for a strict router, the last value, and up to
/// three parts of the Request-URI; credentials.
pub(crate) type Cuts = SmallVec<[Span; 10 + CREDENTIAL_LINES_MAX]>;

/// A Route value breaks the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadRoute;

impl<'a> RouteSet<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8], first: Place) -> Self {
        let current = (!first.value.is_empty()).then_some(first);
        Self { bytes, rest: first.line.end(), current, at: first.value.start(), tail: None }
    }

    /// The topmost value left.
    #[inline]
    pub(super) fn top(&self) -> Result<Option<NameAddr>, BadRoute> {
        let Some(current) = self.current else { return Ok(None) };
        let end = self.line_end(current);
        NameAddr::parse(self.bytes, self.at, end).map(Some).ok_or(BadRoute)
    }

    /// Takes away the topmost value, which [`Self::top`] gave; a line that has no other is cut.
    #[inline]
    pub(super) fn pop(&mut self, top: &NameAddr, cuts: &mut Cuts) -> Result<(), BadRoute> {
        let Some(current) = self.current else { return Ok(()) };
        let end = self.line_end(current);
        if top.end < end {
            self.at = scan::skip_lws(self.bytes, top.end + 1, end);
            // A comma with nothing behind it would leave an empty Route.
            return if self.at < end { Ok(()) } else { Err(BadRoute) };
        }
        // The line has no value left, so it goes as a whole; so does a tail cut out of it.
        if self.tail.is_some_and(|tail| tail.end() <= current.line.end()) {
            self.tail = None;
            cuts.push(current.line);
            self.current = None;
            return Ok(());
        }
        cuts.push(current.line);
        self.current = self.next_line();
        self.at = self.current.map_or(0, |line| line.value.start());
        Ok(())
    }

    /// Takes away the last value and returns it. May be called once, before any `pop`.
    pub(super) fn pop_last(&mut self, cuts: &mut Cuts) -> Result<Option<NameAddr>, BadRoute> {
        let Some((line, comma, last)) = self.last()? else { return Ok(None) };
        let is_only_line = self.current.is_some_and(|current| current.line == line.line);
        match comma {
            Some(comma) => self.tail = Some(Span::new(comma, line.value.end())),
            None if is_only_line => {
                cuts.push(line.line);
                self.current = None;
            }
            None => self.tail = Some(line.line),
        }
        Ok(Some(last))
    }

    /// Where a value can be added behind the last one that is left: `None` when none is left.
    pub(super) fn append_at(&self) -> Result<Option<usize>, BadRoute> {
        Ok(self.last()?.map(|(_, _, last)| last.params_end))
    }

    /// Cuts what was taken away of lines that stay.
    #[inline]
    pub(super) fn finish(&self, cuts: &mut Cuts) {
        if let Some(current) = self.current
            && self.at > current.value.start()
        {
            cuts.push(Span::new(current.value.start(), self.at));
        }
        if let Some(tail) = self.tail {
            cuts.push(tail);
        }
    }

    /// The last value left, its line, and the comma before it unless it is the first of its line.
    fn last(&self) -> Result<Option<(Place, Option<usize>, NameAddr)>, BadRoute> {
        let Some(mut line) = self.current else { return Ok(None) };
        let mut ahead = *self;
        while let Some(next) = ahead.next_line() {
            line = next;
        }
        let is_current = self.current.is_some_and(|current| current.line == line.line);
        let (mut at, mut comma) = (if is_current { self.at } else { line.value.start() }, None);
        let end = self.line_end(line);
        loop {
            let value = NameAddr::parse(self.bytes, at, end).ok_or(BadRoute)?;
            if value.end >= end {
                return Ok(Some((line, comma, value)));
            }
            comma = Some(value.end);
            at = value.end + 1;
        }
    }

    /// Where the values of a line end: before a last value that was taken away.
    #[inline]
    fn line_end(&self, line: Place) -> usize {
        match self.tail {
            Some(tail) if tail.start() > line.value.start() && tail.end() <= line.line.end() => {
                tail.start()
            }
            _ => line.value.end(),
        }
    }

    /// The next Route line; a line that was taken away as a whole does not count.
    fn next_line(&mut self) -> Option<Place> {
        // The message has been parsed, so that a line cannot be broken any more.
        let mut lines = HeaderLines::new(self.bytes, self.rest);
        while let Some(found) = lines.next_line() {
            self.rest = lines.at();
            if found.id == HeaderId::Route && self.tail != Some(found.line) {
                return Some(Place { line: found.line, value: found.value });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    fn set(text: &str) -> RouteSet<'_> {
        let mut lines = HeaderLines::new(text.as_bytes(), 0);
        let mut first = Place::default();
        while let Some(found) = lines.next_line() {
            if found.id == HeaderId::Route && first.value.is_empty() {
                first = Place { line: found.line, value: found.value };
            }
        }
        RouteSet::new(text.as_bytes(), first)
    }

    fn without(text: &str, mut cuts: Cuts) -> String {
        cuts.sort_by_key(|cut| cut.start());
        let (mut out, mut at) = (String::new(), 0);
        for cut in cuts {
            out.push_str(&text[at..cut.start()]);
            at = cut.end();
        }
        out + &text[at..]
    }

    fn popped(text: &str, pops: usize, last: bool) -> String {
        let (mut set, mut cuts) = (set(text), Cuts::new());
        if last {
            set.pop_last(&mut cuts).unwrap().unwrap();
        }
        for _ in 0..pops {
            let top = set.top().unwrap().unwrap();
            set.pop(&top, &mut cuts).unwrap();
        }
        set.finish(&mut cuts);
        without(text, cuts)
    }

    #[test]
    fn pops_within_and_across_lines() {
        let text = "Route: <sip:a>, <sip:b>\r\nX: y\r\nroute:<sip:c>\r\n\r\n";
        assert_eq!(popped(text, 0, false), text);
        assert_eq!(popped(text, 1, false), "Route: <sip:b>\r\nX: y\r\nroute:<sip:c>\r\n\r\n");
        assert_eq!(popped(text, 2, false), "X: y\r\nroute:<sip:c>\r\n\r\n");
        assert_eq!(popped(text, 3, false), "X: y\r\n\r\n");
    }

    #[test]
    fn a_comma_at_the_end_of_a_line_is_refused() {
        let mut set = set("Route: <sip:a>, \r\nRoute: <sip:b>\r\n\r\n");
        let top = set.top().unwrap().unwrap();
        assert_eq!(set.pop(&top, &mut Cuts::new()), Err(BadRoute));
    }

    #[test]
    fn last_value_goes_alone_or_with_its_line() {
        let two = "Route: <sip:a>, <sip:b>\r\n\r\n";
        assert_eq!(popped(two, 0, true), "Route: <sip:a>\r\n\r\n");
        assert_eq!(popped(two, 1, true), "\r\n");
        let lines = "Route: <sip:a>\r\nRoute: <sip:b>\r\n\r\n";
        assert_eq!(popped(lines, 0, true), "Route: <sip:a>\r\n\r\n");
        assert_eq!(popped(lines, 1, true), "\r\n");
        assert_eq!(popped("Route: <sip:a>\r\n\r\n", 0, true), "\r\n");
        let three = "Route: <sip:a>, <sip:b>,\r\n <sip:c>\r\nX: y\r\n\r\n";
        assert_eq!(popped(three, 1, true), "Route: <sip:b>\r\nX: y\r\n\r\n");
    }

    #[test]
    fn nothing_is_left_after_the_last_one() {
        let (mut set, mut cuts) = (set("Route: <sip:a>,<sip:b>\r\n\r\n"), Cuts::new());
        assert_eq!(set.pop_last(&mut cuts).unwrap().unwrap().uri, Span::new(16, 21));
        let top = set.top().unwrap().unwrap();
        assert_eq!(top.uri, Span::new(8, 13));
        assert!(set.append_at().unwrap().is_some());
        set.pop(&top, &mut cuts).unwrap();
        assert!(set.top().unwrap().is_none());
        assert!(set.append_at().unwrap().is_none());
    }
}
