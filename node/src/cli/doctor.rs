//! `doctor`: looks for trouble; each finding says what to do.

use std::{collections::BTreeSet, path::Path, process::ExitCode, time::Duration};

use aiemp_keys::private_file;
use aiemp_protocol::{
    action::spelt,
    roster::{Role, RosterChain},
};
use anyhow::Result;
use serde_json::json;

use super::print;
use crate::{
    config::{BrainKind, Config, Oauth2},
    executor::secrets::{self, SecretError},
    fault::causes,
    home::Home,
    shell::{
        self,
        control::{Client, Request, Response, WireStatus, WireTrouble},
        rosters::signing,
        users::Users,
    },
};

mod executor;
mod keys;
mod notes;
mod roster;
mod store;
mod vault;
mod walls;

/// Names that do not sync and are told one by one.
const UNSYNCED_SHOWN: usize = 20;

/// How much it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warning,
    Error,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

struct Finding {
    level: Level,
    what: String,
    fix: String,
}

#[derive(Default)]
struct Findings {
    all: Vec<Finding>,
    walls: Vec<walls::Found>,
}

impl Findings {
    fn ok(&mut self, what: impl Into<String>) {
        self.all.push(Finding { level: Level::Ok, what: what.into(), fix: String::new() });
    }

    fn warning(&mut self, what: impl Into<String>, fix: impl Into<String>) {
        self.trouble(Finding { level: Level::Warning, what: what.into(), fix: fix.into() });
    }

    fn error(&mut self, what: impl Into<String>, fix: impl Into<String>) {
        self.trouble(Finding { level: Level::Error, what: what.into(), fix: fix.into() });
    }

    /// An error that two checks come upon is told once: by the one that says how much it matters, and then by the one
    /// that says more of it.
    fn trouble(&mut self, found: Finding) {
        let is_same = |told: &&mut Finding| {
            let is_one = told.what.contains(&found.what) || found.what.contains(&told.what);
            is_one && told.level != Level::Ok && told.level.max(found.level) == Level::Error
        };
        let weight = |finding: &Finding| (finding.level, finding.what.len());
        match self.all.iter_mut().find(is_same) {
            Some(told) if weight(told) >= weight(&found) => {}
            Some(told) => *told = found,
            None => self.all.push(found),
        }
    }

    fn troubles(&mut self, troubles: Vec<WireTrouble>) {
        for WireTrouble { is_error, what, fix } in troubles {
            if is_error { self.error(what, fix) } else { self.warning(what, fix) }
        }
    }
}

pub(super) fn doctor(home: &Home, as_json: bool, repair: bool) -> Result<ExitCode> {
    if repair {
        return store::repair(home);
    }
    let mut findings = Findings::default();
    let users = Users::load(home)?;
    check_home(home, &mut findings);
    let config = match shell::settings::load(home) {
        Ok(config) => {
            findings.ok("config.toml reads");
            Some(config)
        }
        Err(fault) => {
            findings.error(fault.message, fault.fix);
            None
        }
    };
    match shell::rosters::load(home) {
        Ok(Some(rosters)) => check_mesh(home, &rosters, config.as_ref(), users.as_ref(), &mut findings),
        Ok(None) => match missing_roster(home) {
            Some(lost) => findings.error(lost, signing::BRINGS_BACK),
            None => findings.warning(
                "the node belongs to no mesh",
                "Run `aiemp-node pair invite` here and `aiemp-node pair accept` on Local.",
            ),
        },
        Err(error) => {
            let fix = missing_roster(home)
                .map_or("Restore the home from a backup, or pair the node again.", |_| signing::BRINGS_BACK);
            findings.error(causes(&error), fix);
        }
    }
    if let Some(config) = &config {
        check_settings(home, config, &mut findings);
    }
    store::check(home, &mut findings);
    check_running(home, &mut findings);
    let failed = findings.all.iter().any(|finding| finding.level == Level::Error);
    tell(&findings, as_json);
    Ok(ExitCode::from(u8::from(failed)))
}

/// Said where there is no chain on disk and one among the keys.
fn missing_roster(home: &Home) -> Option<String> {
    let epoch = signing::missing_epoch(home, None).ok()??;
    Some(format!("{} is missing; the roster of epoch {epoch} was signed here", home.rosters().display()))
}

fn tell(findings: &Findings, as_json: bool) {
    if as_json {
        let items = findings
            .all
            .iter()
            .map(|finding| json!({ "level": finding.level.as_str(), "what": finding.what, "fix": finding.fix }));
        let walls = findings.walls.iter().map(walls::Found::to_json);
        return print::json(json!({ "findings": items.collect::<Vec<_>>(), "walls": walls.collect::<Vec<_>>() }));
    }
    for finding in &findings.all {
        print::data(format!("{:<8} {}", finding.level.as_str(), finding.what));
        if !finding.fix.is_empty() {
            print::data(format!("         {}", finding.fix));
        }
    }
}

fn check_home(home: &Home, findings: &mut Findings) {
    let mut lax = Vec::new();
    let mut places = vec![
        home.path().to_owned(),
        home.keys(),
        home.keys().join("node.key"),
        home.keys().join("owner.age"),
        home.keys().join("owner.key"),
        home.mesh(),
        home.executor(),
        home.receipt_signer(),
        home.secrets(),
        home.approved(),
        home.receipts(),
        home.freezes(),
    ];
    places.extend(secrets::list(home).unwrap_or_default().into_iter().map(|name| home.secrets().join(name)));
    // Settings say where mails go with whose password, so the executor takes none that others could have written.
    places.extend(home.pinned_root().exists().then(|| home.config()));
    for place in places.iter().filter(|place| place.exists()) {
        if let Err(error) = private_file::check_private(place) {
            lax.push(error.to_string());
        }
    }
    if lax.is_empty() {
        findings.ok("keys and home are open to nobody but the node's users");
    }
    for problem in lax {
        findings.error(problem, "Do so before the next start; a node refuses lax modes.");
    }
}

fn check_mesh(
    home: &Home,
    rosters: &RosterChain,
    config: Option<&Config>,
    users: Option<&Users>,
    findings: &mut Findings,
) {
    let roster = rosters.current();
    let member = shell::identity::own_id(home).ok().and_then(|node| roster.member(node));
    let Some(member) = member else {
        return findings.troubles(shell::identity::not_in_mesh(home, roster).into_iter().collect());
    };
    findings.ok(format!("{} ({}) in a mesh of {}", member.name, member.role.as_str(), roster.members.len()));
    roster::check(home, rosters, findings);
    if roster.unattended {
        findings.warning(
            "keys of this mesh open without a person; it refuses real sending",
            "For real use make a new home: init without --unprotected-keys and --passphrase-file.",
        );
    }
    if let Some(config) = config {
        walls::check(member.role, config, users, findings);
        notes::check(&config.vault, roster, findings);
    }
    if member.role == Role::Local {
        keys::check(home, roster.unattended, findings);
        executor::check_ended(home, findings);
    }
    match member.role {
        Role::Local if !may_look_at_executor(users) => findings.warning(
            "what the executor holds was not looked at, for it is another user's",
            "Run `sudo aiemp-node doctor` with this --home to have that checked as well.",
        ),
        Role::Local => check_local(home, rosters, findings),
        Role::Cloud => {
            if config.is_some_and(|config| config.brain.kind == BrainKind::None) {
                findings.warning("this Cloud node has no brain: it drafts nothing", "Set [brain] kind in config.toml.");
            }
        }
    }
}

/// Where three users share the home, the executor's files are closed to the person.
fn may_look_at_executor(users: Option<&Users>) -> bool {
    let own = rustix::process::getuid();
    users.is_none_or(|users| own.is_root() || own.as_raw() == users.executor.uid)
}

fn check_local(home: &Home, rosters: &RosterChain, findings: &mut Findings) {
    executor::check(home, rosters, findings);
    check_standing(home, rosters, findings);
    check_hands(home, rosters, findings);
    // Those that are not private were told with the home.
    for name in secrets::list(home).unwrap_or_default() {
        match secrets::read(home, rosters.current(), &name) {
            Ok(_) | Err(SecretError::Private(_)) => {}
            Err(error) => findings.error(error.to_string(), "Until then nothing that needs it is sent."),
        }
    }
}

/// What goes out without a person is said each time, for it is easily forgotten.
fn check_standing(home: &Home, rosters: &RosterChain, findings: &mut Findings) {
    match shell::standing::in_force(home, rosters.current(), shell::clock::now()) {
        Ok(all) if all.is_empty() => findings.ok("nothing goes out without your looking at it"),
        Ok(all) => {
            for standing in &all {
                let fix =
                    format!("If that is not wanted any more: `aiemp-node approvals standing remove {}`.", standing.id);
                findings.warning(format!("automatic sending is on: {}", shell::standing::line_of(standing)), fix);
            }
        }
        Err(error) => findings.error(causes(&error), "Make the folder readable for you."),
    }
}

/// A declaration that does not verify stops every call, and one that names a secret that is not there fails at its call.
fn check_hands(home: &Home, rosters: &RosterChain, findings: &mut Findings) {
    let hands = match shell::declared::load(&home.hands(), rosters.current()) {
        Ok((_, hands)) => hands,
        Err(error) => return findings.error(causes(&error), "Until then nothing goes out by a declared hand."),
    };
    let of_servers = hands.servers().flat_map(|server| server.secrets());
    let secrets: BTreeSet<_> = hands.iter().flat_map(|hand| hand.secrets()).chain(of_servers).collect();
    secrets.into_iter().for_each(|name| check_secret(home, name, findings));
}

fn check_secret(home: &Home, name: &str, findings: &mut Findings) {
    if !home.secrets().join(name).exists() {
        findings.error(format!("the secret `{name}` is not stored"), format!("Run `aiemp-node secrets add {name}`."));
    }
}

fn check_settings(home: &Home, config: &Config, findings: &mut Findings) {
    vault::check(home, config, findings);
    let misplaced = match shell::identity::role(home) {
        Ok(Role::Local) => {
            shell::cloud_secrets::list(home).is_ok_and(|found| !found.is_empty()).then(|| home.cloud_secrets())
        }
        Ok(Role::Cloud) => secrets::list(home).is_ok_and(|found| !found.is_empty()).then(|| home.secrets()),
        Err(_) => None,
    };
    if let Some(folder) = misplaced {
        findings.error(
            format!("{} holds secrets of the other role; nothing here uses them", folder.display()),
            "Delete the folder, and renew those secrets: they were copied to a machine where they do not belong.",
        );
    }
    for sync in shell::other_syncs::find(&config.vault) {
        findings.warning(sync.what, sync.fix);
    }
    if home.pinned_root().exists() {
        check_mail(home, config, findings);
    }
}

fn check_mail(home: &Home, config: &Config, findings: &mut Findings) {
    if config.mail.from.is_none() {
        findings.warning("mails have no sender", "Set `[mail] from = \"Your Name <you@example.org>\"` in config.toml.");
    }
    let Some(smtp) = config.smtp.as_ref().filter(|_| config.mail.hand == "smtp") else {
        let outbox = config.outbox.dir.clone().unwrap_or_else(|| home.outbox());
        return findings.ok(format!("mails are written as files to {}; nothing is sent", outbox.display()));
    };
    let application = smtp.oauth2.as_ref().and_then(Oauth2::application);
    for name in smtp.password_secret.as_deref().into_iter().chain(application) {
        check_secret(home, name, findings);
    }
    check_port(&smtp.host, smtp.port(), findings);
}

fn check_port(host: &str, port: u16, findings: &mut Findings) {
    use std::net::{TcpStream, ToSocketAddrs};
    let address = (host, port).to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    let reached = address.is_some_and(|address| TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok());
    if reached {
        findings.ok(format!("{host}:{port} answers"));
    } else {
        let fix = "Check [smtp] in config.toml and the network; approved mails wait until they expire.";
        findings.error(format!("{host}:{port} cannot be reached"), fix);
    }
}

/// What the node says of itself, if it runs.
fn running_status(home: &Home) -> Option<WireStatus> {
    let mut client = Client::connect(&home.control_socket()).ok()??;
    let Ok(Response::Status(status)) = client.ask(&Request::Status) else { return None };
    Some(*status)
}

/// A brain that fails, a mailbox that is not read, watchers that end, names in the vault that do not sync, and those that its disk refuses. A disk that takes nothing is told with the vault.
fn check_work(home: &Home, findings: &mut Findings) {
    let Some(status) = running_status(home) else { return };
    findings.troubles(
        status
            .brain
            .into_iter()
            .chain(status.mail_in)
            .chain(status.senses)
            .map(|trouble| WireTrouble { what: spelt(&trouble.what).to_string(), ..trouble })
            .collect(),
    );
    let of_files = status.unsynced.iter().filter(|told| !told.is_of_disk());
    for told in of_files.clone().take(UNSYNCED_SHOWN) {
        findings.warning(format!("{} does not sync: {}", spelt(&told.path), told.what), told.fix.clone());
    }
    if of_files.count() > UNSYNCED_SHOWN {
        let what = format!("{} names in the vault do not sync", status.unsynced_count);
        findings.warning(what, "`aiemp-node conflicts --json` names them, each with what to do.");
    }
}

fn check_running(home: &Home, findings: &mut Findings) {
    let socket: &Path = &home.control_socket();
    match Client::connect(socket) {
        Ok(Some(_)) => {
            findings.ok("the node is running");
            check_work(home, findings);
        }
        Ok(None) => findings.warning("the node is not running", "Start it with `aiemp-node --role cloud|local`."),
        Err(error) => findings.error(causes(&error), "Check who owns the home."),
    }
}
