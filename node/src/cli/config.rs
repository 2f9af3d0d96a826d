//! `config`: the settings in force.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::print;
use crate::{home::Home, shell};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every setting, defaults filled in, as TOML
    Show {
        /// Print where they come from as well
        #[arg(long)]
        origin: bool,
    },
}

pub(super) fn config(home: &Home, command: ConfigCommand) -> Result<ExitCode> {
    let ConfigCommand::Show { origin } = command;
    let config = shell::settings::load(home)?;
    if origin {
        print::data(format!("# {}; what it does not say is the default", home.config().display()));
    }
    print::data(toml::to_string(&config)?.trim_end());
    Ok(ExitCode::SUCCESS)
}
