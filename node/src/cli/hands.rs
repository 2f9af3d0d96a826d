//! `hands`: what the executor may call over HTTP and by MCP, written as TOML, signed by the approve key, kept by the executor.

mod tools;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use aiemp_keys::private_file;
use aiemp_protocol::{action::ActionKind, approval::SignedHands, time::Timestamp};
use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::json;

use super::{Passphrase, owner, print};
use crate::{
    fault::Fault,
    hands::{Connector, Hands, Server},
    home::Home,
    shell::{self, declared, walls::Wall},
};

#[derive(Debug, Subcommand)]
pub(super) enum HandsCommand {
    /// The declaration in force, in the form that `apply` reads
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign the declaration in a file; it replaces the one in force
    Apply {
        /// Connectors and MCP servers as TOML
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Start the MCP servers of a file, and print the lines by which their tools are declared
    Tools {
        /// The file, which need not be signed yet
        file: PathBuf,
        /// One server of it
        server: Option<String>,
    },
}

pub(super) fn hands(home: &Home, command: &HandsCommand) -> Result<ExitCode> {
    let rosters = owner::rosters(home)?;
    owner::check_local(home, rosters.current())?;
    if let HandsCommand::Tools { file, server } = command {
        return tools::tools(home, rosters.current(), file, server.as_deref());
    }
    let held = declared::load_signed(&home.hands(), rosters.current())?;
    match command {
        HandsCommand::Show { json } => show(&held, *json)?,
        HandsCommand::Apply { file, passphrase } => {
            let (text, hands) = read(file)?;
            let difference = super::difference_of_tables(&held.text, &text);
            print::talk(if difference.is_empty() { "Nothing changes.".to_owned() } else { difference });
            hands.iter().for_each(|hand| print::talk(line_of(hand)));
            hands.servers().for_each(|server| print::talk(line_of_server(server)));
            let keys = owner::unlock(home, passphrase, &Wall::Reviewer)?;
            let issued = shell::clock::now().max(Timestamp::from_millis(held.issued.as_millis() + 1));
            let bytes = SignedHands { issued, text }.sign(&keys.approve, rosters.current().mesh);
            let name = format!("{}.hands", issued.as_millis());
            private_file::write_private(&home.approved().join(name), &bytes).context("cannot tell the executor")?;
            private_file::write_private(&home.hands(), &bytes).context("cannot keep the declaration")?;
            print::data("applied");
        }
        HandsCommand::Tools { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<(String, Hands), Fault> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let fix = "Name a file that declares hands: docs/hands.md has examples.";
        Fault::operator("hands_file", format!("cannot read {}: {error}", file.display()), fix)
    })?;
    let hands = Hands::parse(&text).map_err(|error| {
        let message = format!("{}: {}", file.display(), error.to_string().trim_end());
        Fault::operator("hands_file", message, "Correct it; docs/hands.md explains each key.")
    })?;
    Ok((text, hands))
}

fn show(held: &SignedHands, as_json: bool) -> Result<()> {
    let hands = Hands::parse(&held.text).context("the declaration in force was made by another version")?;
    if as_json {
        let items = hands.iter().map(|hand| {
            json!({ "name": hand.name, "carries": hand.kind().as_str(), "host": hand.host, "port": hand.port,
                    "dry_run": hand.dry_run, "per_hour": hand.per_hour, "secrets": hand.secrets() })
        });
        let servers = hands.servers().map(|server| {
            json!({ "name": server.name, "carries": ActionKind::Tool.as_str(), "at": server.place(),
                    "tools": server.tools.keys().collect::<Vec<_>>(), "dry_run": server.dry_run,
                    "per_hour": server.per_hour, "secrets": server.secrets().collect::<Vec<_>>() })
        });
        let items: Vec<_> = items.chain(servers).collect();
        print::json(json!({ "issued": held.issued.to_string(), "items": items }));
    } else if held.text.is_empty() {
        print::talk("No hands are declared: posts, payments and calls cannot be carried out.");
    } else {
        print::data(format!("# signed {}\n{}", held.issued, held.text.trim_end()));
    }
    Ok(())
}

/// What a hand will do, in one line.
fn line_of(hand: &Connector) -> String {
    let (name, kind, place) = (&hand.name, hand.kind(), format!("{}:{}", hand.host, hand.port));
    let how = match (hand.dry_run, hand.secrets().into_iter().collect::<Vec<_>>()) {
        (true, _) => "a dry run, which sends nothing".to_owned(),
        (false, secrets) if secrets.is_empty() => "without a secret".to_owned(),
        (false, secrets) => format!("with the secret {}", secrets.join(", ")),
    };
    let login = hand.login_host().map(|host| format!(", and logs in at {host}")).unwrap_or_default();
    format!("{name} carries actions of the kind {kind} to {place}, {how}{login}")
}

fn line_of_server(server: &Server) -> String {
    let (name, place) = (&server.name, server.place());
    let starts = if server.address().is_some() { "calls" } else { "starts" };
    let tools = match server.tools.len() {
        0 => "no tool: `aiemp-node hands tools FILE` prints the lines that allow them".to_owned(),
        _ => server.tools.keys().cloned().collect::<Vec<_>>().join(", "),
    };
    let how = match (server.dry_run, server.secrets().collect::<Vec<_>>()) {
        (true, _) => "a dry run, which calls nothing".to_owned(),
        (false, secrets) if secrets.is_empty() => "without a secret".to_owned(),
        (false, secrets) => format!("with the secret {}", secrets.join(", ")),
    };
    format!("mcp.{name} {starts} {place} for calls of {tools}, {how}")
}
