//! `trunkline top`

use crate::Failure;
use control::dataplane_link::status_blocking;
use control::operator::members_blocking;
use control::top::{Moment, Rates, draw, once};
use control_api::operator::MemberReport;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a snapshot is taken again that does not add up, 1 ms later each time.
const LOOKS_MAX: usize = 10;

/// Show live what queues and cores do, what they drop and why
///
/// Rates between two snapshots. The first table has each poll-mode core: `busy` is the part of the time spent on
/// bursts that held a frame; `messages/burst` is what VPP calls vectors per call: near 1 the core waits for traffic,
/// near 32 it has no time to spare; `ns/message` is the whole way of a message through the core. Then come the
/// queue pairs, the transactions and bindings of the workers, the members of destination sets that are not simply
/// in use, and the drops by reason, the most frequent first.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline top
  trunkline top --interval 5
  trunkline top --once --width 160 > frame.txt     one frame as text

Keys: q or Esc quits.
Exit status: 0, or 1 when no data plane answers at the start.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    frames: Frames,
    /// Management socket of the data plane; control's is beside it
    #[arg(long, value_name = "PATH", default_value = "/run/trunkline/dataplane.sock")]
    socket: PathBuf,
}

/// Options of live views.
#[derive(clap::Args)]
pub(crate) struct Frames {
    /// Print one frame and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Seconds between two frames, 0.1 to 60
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = interval)]
    interval: f64,
    /// Columns of the frame of --once
    #[arg(long, default_value_t = 132)]
    width: u16,
    /// Lines of the frame of --once
    #[arg(long, default_value_t = 60)]
    height: u16,
}

impl Frames {
    /// The time between two frames.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs_f64(self.interval)
    }

    /// Columns and lines of the one frame.
    pub(crate) fn size(&self) -> (u16, u16) {
        (self.width.clamp(40, 500), self.height.clamp(10, 500))
    }
}

fn interval(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "seconds, such as 1 or 0.5".to_owned())?;
    if !(0.1..=60.0).contains(&seconds) {
        return Err("0.1 to 60 seconds are possible".into());
    }
    Ok(seconds)
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let socket = &arguments.socket;
    let interval = arguments.frames.interval();
    let first = look(socket)?;
    if arguments.frames.once {
        std::thread::sleep(interval);
        let rates = Rates::between(&first, &look(socket)?);
        crate::say(once(&rates, members(socket).as_deref(), arguments.frames.size())?);
        return Ok(());
    }
    let mut terminal = ratatui::try_init()?;
    let ended = live(&mut terminal, socket, interval, first);
    ratatui::restore();
    Ok(ended?)
}

/// Frame after frame until somebody has seen enough. While the data plane is away the last frame stays.
fn live(
    terminal: &mut ratatui::DefaultTerminal,
    socket: &Path,
    interval: Duration,
    mut before: Moment,
) -> std::io::Result<()> {
    let mut rates = Rates::between(&before, &before);
    let mut members = members(socket);
    loop {
        terminal.draw(|frame| draw(frame, &rates, members.as_deref()))?;
        if is_enough(interval)? {
            return Ok(());
        }
        if let Ok(after) = look(socket) {
            rates = Rates::between(&before, &after);
            before = after;
        }
        members = self::members(socket);
    }
}

/// Waits for the time of the next frame; tells whether q, Esc or Ctrl-C was pressed meanwhile.
pub(crate) fn is_enough(interval: Duration) -> std::io::Result<bool> {
    let end = Instant::now() + interval;
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        if !event::poll(rest)? {
            return Ok(false);
        }
        match event::read()? {
            Event::Key(key) if matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) => {
                return Ok(true);
            }
            Event::Key(key)
                if key.code == KeyCode::Char('c')
                    && key.modifiers.contains(KeyModifiers::CONTROL) =>
            {
                return Ok(true);
            }
            // The frame is drawn anew in the new size.
            Event::Resize(..) => return Ok(false),
            _ => {}
        }
    }
}

/// A snapshot. One that falls into the middle of a burst does not add up: then another one is taken.
fn look(socket: &Path) -> Result<Moment, control::dataplane_link::LinkError> {
    let mut status = status_blocking(socket)?;
    for _ in 0..LOOKS_MAX {
        if status.queues.iter().all(|queue| queue.unaccounted() == 0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
        status = status_blocking(socket)?;
    }
    Ok(Moment { status, at: Instant::now() })
}

/// None while control does not answer.
fn members(socket: &Path) -> Option<Vec<MemberReport>> {
    members_blocking(&socket.with_file_name("control.sock")).ok()
}
