//! `trunkline config` and `trunkline audit`

use crate::Failure;
use crate::api_socket::ApiSocket;
use clap::Subcommand;
use control::api::Configuration;
use control::api::client::{ask_blocking, get_blocking, problem};
use control::audit::Entry;
use control::configuration::history::Generation;
use std::path::Path;

/// Show the configuration in force, and those before it
///
/// Each configuration that came into force has a number, its generation; the last 32 are kept in the state directory.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline config                            which generation is in force, since when, by whom
  trunkline config history
  trunkline config show > trunkline.toml      the text in force
  trunkline config show --generation 12

Exit status: 0, or 1 when control does not answer or there is no such generation.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    api: ApiSocket,
}

#[derive(Subcommand)]
enum Command {
    /// Print the text of the configuration in force, or of another generation
    Show {
        /// Number of the generation
        #[arg(long, value_name = "NUMBER")]
        generation: Option<u64>,
    },
    /// List the generations that are kept, the newest last
    History,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let socket = &arguments.api.path;
    match &arguments.command {
        None => summary(socket),
        Some(Command::Show { generation }) => {
            let text = text(socket, *generation)?;
            crate::say(text.trim_end());
            Ok(())
        }
        Some(Command::History) => {
            let list: Vec<Generation> = get_blocking(socket, "/v1/configuration/history")?;
            for Generation { number, since, by, file } in list {
                crate::say(format_args!("{number:>6}  {since}  {by}  {}", file.display()));
            }
            Ok(())
        }
    }
}

fn summary(socket: &Path) -> Result<(), Failure> {
    let configuration: Configuration = get_blocking(socket, "/v1/configuration")?;
    crate::say(configuration);
    Ok(())
}

/// The text of the configuration in force, or of another generation.
pub(crate) fn text(socket: &Path, generation: Option<u64>) -> anyhow::Result<String> {
    let query = generation.map_or_else(String::new, |number| format!("?generation={number}"));
    let path = format!("/v1/configuration/text{query}");
    let (status, body) = ask_blocking(socket, hyper::Method::GET, &path, Vec::new())?;
    anyhow::ensure!(status.is_success(), "{}", problem(status, &body));
    Ok(String::from_utf8(body.to_vec())?)
}

/// Show who changed what
///
/// One line for each reload, rollback, drain, restore and start, whatever came of it: when, who (the user of the
/// process that asked, the name of a token, or a signal), what, and the outcome. The file is audit.jsonl in the
/// state directory.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline audit
  trunkline audit --json -n 1000 | jq 'select(.outcome == \"refused\")'

Exit status: 0, or 1 when control does not answer.")]
pub(crate) struct AuditArguments {
    /// How many lines, the newest last
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: usize,
    /// Print the lines as they stand in the file
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiSocket,
}

pub(crate) fn audit(arguments: &AuditArguments) -> Result<(), Failure> {
    let AuditArguments { lines, json, api } = arguments;
    let entries: Vec<Entry> = get_blocking(&api.path, &format!("/v1/audit?limit={lines}"))?;
    for entry in entries {
        if *json {
            crate::say(serde_json::to_string(&entry)?);
        } else {
            let Entry { time, who, what, outcome, detail } = entry;
            crate::say(format_args!("{time}  {who}  {what}  {outcome}  {detail}"));
        }
    }
    Ok(())
}
