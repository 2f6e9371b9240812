//! `trunkline rss watch`

use crate::Failure;
use crate::top::{Frames, is_enough};
use control::dataplane_link::LinkError;
use control::rss::watch::{Look, View, draw, look_blocking, once};
use std::path::PathBuf;
use std::time::Duration;

/// Show live what the queues of a port carry, its heaviest flows, and what a plan would make of them
///
/// Queues: rates between two looks, and each as a multiple of the mean; the fullest decides how much the port carries. Flows:
/// moving averages over half a minute of what the workers count, and the queue that brought each last. The plan keeps the key
/// and moves few entries; `trunkline rss plan --live` looks for a better key, too. Where the port has rss_rebalance, its state
/// and its last moves are shown.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline rss watch --port core
  trunkline rss watch --port core --once                 one frame as text
  trunkline rss watch --port core --json | jq .max_over_mean

Keys: q or Esc quits.
Exit status: 0; 1 when no data plane answers at the start; 2 when there is no such port.")]
pub(super) struct Arguments {
    /// Name of the port [default: the only one]
    #[arg(long, value_name = "NAME")]
    port: Option<String>,
    #[command(flatten)]
    frames: Frames,
    /// Print one JSON object and end
    #[arg(long, conflicts_with = "once")]
    json: bool,
    /// Management socket of the data plane
    #[arg(long, value_name = "PATH", default_value = "/run/trunkline/dataplane.sock")]
    socket: PathBuf,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let interval = arguments.frames.interval();
    let first = arguments.look().map_err(|error| match error {
        LinkError::Refused { reason, .. } => Failure::wrong(format!("trunkline: {reason}")),
        error => error.into(),
    })?;
    if !arguments.frames.once && !arguments.json {
        let mut terminal = ratatui::try_init()?;
        let ended = arguments.live(&mut terminal, interval, first);
        ratatui::restore();
        return Ok(ended?);
    }
    std::thread::sleep(interval);
    let view = View::between(&first, &arguments.look()?);
    if arguments.json {
        crate::say(serde_json::to_string_pretty(&view)?);
    } else {
        crate::say(once(&view, arguments.frames.size())?);
    }
    Ok(())
}

impl Arguments {
    fn look(&self) -> Result<Look, LinkError> {
        look_blocking(&self.socket, self.port.as_deref())
    }

    /// Frame after frame until somebody has seen enough. While the data plane is away the last frame stays.
    fn live(
        &self,
        terminal: &mut ratatui::DefaultTerminal,
        interval: Duration,
        mut before: Look,
    ) -> std::io::Result<()> {
        let mut view = View::between(&before, &before);
        loop {
            terminal.draw(|frame| draw(frame, &view))?;
            if is_enough(interval)? {
                return Ok(());
            }
            if let Ok(after) = self.look() {
                view = View::between(&before, &after);
                before = after;
            }
        }
    }
}
