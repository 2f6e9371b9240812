//! `trunkline location`

use crate::Failure;
use anyhow::{Context, Result};
use clap::Subcommand;
use control::location::ask::Place;
use control::location::json::{AorLine, aor_of, lines};
use control_api::location::RECORDS_MAX;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Show, save and bring back the bindings of registered users
///
/// One line of JSON for each address of record: `aor` and its `bindings`, each with its Contact `uri`, the
/// end of its time in milliseconds since 1970, `q` in thousandths, where its REGISTER came from (`source`), the
/// listen point that it came in by, and `is_flow` when it is reached there rather than where its URI says.
///
/// What is shown is what the store has; changes of the last milliseconds may not be in it. Control is asked; while
/// no control process runs, the store in the state directory is opened.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline location show alice@example.com
  trunkline location dump bindings.jsonl          a backup while all goes on
  trunkline location dump | jq -r .aor | wc -l    how many users are registered
  trunkline location restore bindings.jsonl       back into the store and the running workers

Exit status: 0; 1 when there is no store, it cannot be read, or `show` finds no binding.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Socket of control
    #[arg(long, global = true, value_name = "PATH", default_value = "/run/trunkline/control.sock")]
    socket: PathBuf,
    /// State directory, for when no control process runs
    #[arg(long, global = true, value_name = "PATH", default_value = "/var/lib/trunkline")]
    state: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Write all bindings, one address of record a line
    Dump {
        /// File to write; standard output without one
        file: Option<PathBuf>,
    },
    /// Take bindings in from a dump. Each address of record gets the bindings of its line in place of those
    /// it has; others keep theirs
    Restore {
        /// File to read
        file: PathBuf,
    },
    /// Show the bindings of one address of record
    Show {
        /// user@domain, with or without sip:
        aor: String,
    },
}

pub(crate) fn main(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { command, socket, state } = arguments;
    let place = Place { socket, state };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Dump { file } => Ok(runtime.block_on(dump(&place, file.as_deref()))?),
        Command::Restore { file } => {
            let count = runtime.block_on(restore(&place, &file))?;
            crate::say(format_args!("{count} addresses of record restored"));
            Ok(())
        }
        Command::Show { aor } => {
            let record = runtime.block_on(place.get(aor_of(&aor)?))?;
            let found = lines(&record)?;
            let line = found.first().with_context(|| format!("{aor} has no binding"))?;
            crate::say(serde_json::to_string_pretty(line)?);
            Ok(())
        }
    }
}

/// A file gets its name when it is whole.
async fn dump(place: &Place, file: Option<&Path>) -> Result<()> {
    let Some(path) = file else {
        let mut out = BufWriter::new(io::stdout().lock());
        return match write_all(place, &mut out).await {
            Err(error) if is_broken_pipe(&error) => Ok(()),
            ended => ended,
        };
    };
    let fresh = path.with_extension("new");
    let shown = || format!("{} cannot be written", fresh.display());
    let mut out = BufWriter::new(File::create(&fresh).with_context(shown)?);
    write_all(place, &mut out).await.with_context(shown)?;
    out.get_ref().sync_all()?;
    std::fs::rename(&fresh, path).with_context(shown)
}

async fn write_all(place: &Place, out: &mut impl Write) -> Result<()> {
    let write = |records: &[u8]| {
        for line in lines(records)? {
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    };
    place.read(write).await?;
    Ok(out.flush()?)
}

/// A reader that has gone, such as `head`, is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |error: &(dyn std::error::Error + 'static)| {
        let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
        let json =
            error.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json)
    };
    error.chain().any(|error| kind(error) == Some(io::ErrorKind::BrokenPipe))
}

async fn restore(place: &Place, path: &Path) -> Result<u64> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut rest = BufReader::new(file).lines().enumerate();
    let (mut count, mut ahead) = (0, Vec::new());
    let next = || {
        let mut records = std::mem::take(&mut ahead);
        for (number, line) in rest.by_ref() {
            let read = || -> Result<Vec<u8>> {
                let line: AorLine = serde_json::from_str(&line?)?;
                let mut record = Vec::new();
                line.write(&mut record)?;
                Ok(record)
            };
            let record = read().with_context(|| format!("{}:{}", path.display(), number + 1))?;
            count += 1;
            if records.len() + record.len() > RECORDS_MAX {
                ahead = record;
                break;
            }
            records.extend(record);
        }
        Ok((!records.is_empty()).then_some(records))
    };
    place.restore(next).await?;
    Ok(count)
}
