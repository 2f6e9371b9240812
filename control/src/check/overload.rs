//! `[overload]` in words.

use crate::config::{Overload, Sources};
use std::fmt::Write;

/// What happens when more comes than can be done.
pub(super) fn overload(overload: &Overload) -> String {
    let Overload { target_ms, interval_ms, retry_after_seconds: [least, most], sources, .. } =
        overload;
    let mut text = "\noverload\n".to_owned();
    let _ = match target_ms {
        0 => writeln!(text, "  new work is taken however much there is"),
        target_ms => writeln!(
            text,
            "  a worker that is behind for {interval_ms} ms refuses new work with 503, until messages wait for less \
             than {target_ms} ms; Retry-After {least} to {most} s"
        ),
    };
    let Sources { rate, burst, ban_after_seconds, ban_seconds, trusted } = sources;
    if *rate == 0 {
        text.push_str("  sources may send as much as they like\n");
        return text;
    }
    let bans = match ban_after_seconds {
        0 => "nobody is banned".to_owned(),
        after => format!("banned for {ban_seconds} s after {after} s of more"),
    };
    let _ = writeln!(
        text,
        "  a source may send {rate} messages per second to each worker, {burst} at once; {bans}"
    );
    if !trusted.is_empty() {
        let networks: Vec<_> = trusted.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "  not limited: {}", networks.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::overload;
    use crate::config::Overload;

    #[test]
    fn limits_are_said_in_words() {
        let mut settings = Overload { target_ms: 5, ..Overload::default() };
        let words = overload(&settings);
        assert!(words.contains("behind for 100 ms") && words.contains("as they like"), "{words}");
        (settings.target_ms, settings.sources.rate) = (0, 50);
        settings.sources.trusted = vec!["10.0.0.0/8".parse().unwrap()];
        let words = overload(&settings);
        assert!(
            words.contains("50 messages per second") && words.contains("not limited: 10.0.0.0/8")
        );
        assert!(words.contains("banned for 60 s after 5 s") && words.contains("however much"));
    }
}
