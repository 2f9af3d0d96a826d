//! Whether an action has a way out at all: the same answer for the person before signing and for the executor after.

use aiemp_protocol::{
    action::{Action, ActionKind, Content},
    roster::Roster,
};

use super::{Hands, is_loopback};
use crate::{config::Config, home::Home};

const OUTBOX: &str = "outbox";
const SMTP: &str = "smtp";

/// Why an action cannot be carried out as things are; the text says what to do.
pub fn objection(home: &Home, config: &Config, declared: &Hands, roster: &Roster, action: &Action) -> Option<String> {
    match (&action.content, action.hand()) {
        (Content::Email(_), OUTBOX) => None,
        (Content::Email(_), SMTP) => match &config.smtp {
            None => Some(format!(
                "no hand named `{SMTP}` is configured; add an [{SMTP}] table with at least `host` to {}",
                home.config().display()
            )),
            Some(smtp) if roster.unattended && !is_loopback(&smtp.host) => Some(format!(
                "this mesh is unattended, so nothing leaves this machine, and {} is another one; protect the owner \
                 keys with a passphrase, or use the hand `{OUTBOX}`",
                smtp.host
            )),
            Some(_) => None,
        },
        (Content::Email(_), hand) => Some(format!(
            "no hand named `{hand}` is configured; mails go by `{OUTBOX}` or `{SMTP}`: change `hand` in the draft and \
             approve it again"
        )),
        (Content::Post(_) | Content::Payment(_) | Content::Tool(_) | Content::Http(_) | Content::A2a(_), hand) => {
            declared.objection(action).or_else(|| unattended(declared, roster, action.kind(), hand))
        }
    }
}

fn unattended(declared: &Hands, roster: &Roster, kind: ActionKind, hand: &str) -> Option<String> {
    if !roster.unattended {
        return None;
    }
    if kind == ActionKind::Tool {
        // Nobody knows whom a program calls.
        let server = declared.server(hand).filter(|server| !server.dry_run)?;
        if server.address().is_some_and(|address| is_loopback(&address.host)) {
            return None;
        }
        return Some(format!(
            "this mesh is unattended, so no program and no other machine acts for it; protect the owner keys with a passphrase, or declare \
             [mcp.{hand}] with `dry_run = true`"
        ));
    }
    let connector = declared.get(hand)?;
    if kind == ActionKind::Payment {
        let why = "this mesh is unattended, so nothing is paid; protect the owner keys with a passphrase";
        return Some(why.to_owned());
    }
    if connector.dry_run || connector.is_loopback() {
        return None;
    }
    Some(format!(
        "this mesh is unattended, so nothing leaves this machine, and {} is another one; protect the owner keys with a \
         passphrase, or declare the hand `{hand}` with `dry_run = true`",
        connector.host
    ))
}
