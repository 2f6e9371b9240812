//! `trunkline nic`

mod doctor;
mod profiles;

use crate::Failure;

/// Say what this server lacks for its NICs, and what each driver can do
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Doctor(doctor::Arguments),
    Profiles(profiles::Arguments),
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Doctor(arguments) => doctor::main(arguments),
        Command::Profiles(arguments) => profiles::main(arguments),
    }
}
