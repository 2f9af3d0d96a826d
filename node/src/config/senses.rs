//! `[[drop]]`, `[webhooks]` and `[[watcher]]`: what comes by other ways than mail.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use aiemp_protocol::{roster::Role, vault_path::VaultPath};
use serde::{Deserialize, Serialize};

use super::{Config, EnvValue};
use crate::executor::secrets::is_name;

/// A folder: each file that is put there becomes a task, and is taken away once it is in the vault.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DropFolder {
    /// The folder: an absolute path outside the vault and the home.
    pub dir: PathBuf,
    /// The folder below `Needs_Action/` that its tasks go to.
    #[serde(default = "files")]
    pub domain: String,
    /// On Local: whether its files are for Local nodes alone.
    #[serde(default)]
    pub private: bool,
    /// On Local: the `[[bank]]` whose statements are put there. They become no tasks, but the books in `Accounting/`.
    pub bank: Option<String>,
}

/// Where programs of others post messages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// An address of this machine, to which a web server with a certificate hands them on.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// Each sender.
    pub hook: Vec<Hook>,
}

/// One sender, at `/hooks/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// The last part of its address.
    pub name: String,
    /// How it signs.
    pub form: HookForm,
    /// Name of the secret that it signs with (`aiemp-node secrets add NAME --use webhook`).
    pub secret: String,
    /// For `whatsapp`: name of the secret that it gives when the address is set up.
    pub verify_secret: Option<String>,
    /// The folder below `Needs_Action/` that its tasks go to; its name, unless given.
    pub domain: Option<String>,
}

/// How a webhook is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HookForm {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Standard,
    /// The WhatsApp Business Cloud API: `X-Hub-Signature-256`.
    Whatsapp,
}

/// A program that tells what it sees: one JSON object a line, on its stdout.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Watcher {
    /// Its name.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// For one that looks once and ends: seconds until it is started again.
    pub every_s: Option<u64>,
    /// The folder below `Needs_Action/` that its tasks go to; its name, unless given.
    pub domain: Option<String>,
    /// On Local: whether what it tells is for Local nodes alone.
    #[serde(default)]
    pub private: bool,
    /// What it finds in its environment; on Cloud `${secret:NAME}` stands for a secret (`secrets add NAME --use watcher`).
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// Files and folders that it reads, beside the system's and its own.
    #[serde(default)]
    pub reads: Vec<PathBuf>,
    /// Folders that it writes to, beside its own.
    #[serde(default)]
    pub writes: Vec<PathBuf>,
}

fn files() -> String {
    "files".to_owned()
}

const fn listen() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8090)
}

impl Hook {
    /// The folder below `Needs_Action/`.
    pub fn domain(&self) -> &str {
        self.domain.as_ref().unwrap_or(&self.name)
    }
}

impl Watcher {
    /// A program, with nothing said about it.
    pub fn new(name: &str, command: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            command,
            every_s: None,
            domain: None,
            private: false,
            env: BTreeMap::new(),
            reads: Vec::new(),
            writes: Vec::new(),
        }
    }

    /// The folder below `Needs_Action/`.
    pub fn domain(&self) -> &str {
        self.domain.as_ref().unwrap_or(&self.name)
    }
}

impl Config {
    /// Whether anything comes by other ways than mail.
    pub fn has_senses(&self) -> bool {
        !self.drop.is_empty() || self.webhooks.is_some() || !self.watcher.is_empty()
    }

    /// Whether something of that name is there to be in trouble: `drop DIR`, `webhook NAME`, `webhooks`, `watcher NAME`.
    pub fn is_sense(&self, name: &str) -> bool {
        match name.split_once(' ') {
            Some(("drop", dir)) => self.drop.iter().any(|folder| folder.dir.display().to_string() == dir),
            Some(("watcher", name)) => self.watcher_named(name).is_some(),
            Some(("webhook", name)) => {
                self.webhooks.iter().flat_map(|webhooks| &webhooks.hook).any(|hook| hook.name == name)
            }
            Some(_) => false,
            None => name == "webhooks" && self.webhooks.is_some(),
        }
    }

    /// The watcher of a name.
    pub fn watcher_named(&self, name: &str) -> Option<&Watcher> {
        self.watcher.iter().find(|watcher| watcher.name == name)
    }

    /// What is wrong with the senses on a node of this role.
    pub fn senses_objection(&self, role: Role) -> Option<String> {
        let hooks: &[Hook] = self.webhooks.as_ref().map_or(&[], |webhooks| &webhooks.hook);
        let names = || hooks.iter().map(|hook| &hook.name).chain(self.watcher.iter().map(|watcher| &watcher.name));
        let mut seen = BTreeSet::new();
        if let Some(name) = names().find(|name| !is_name(name) || *name == "drop" || !seen.insert(*name)) {
            return Some(format!(
                "`{name}` cannot name a webhook or watcher: letters, digits and `-`, once each, and not `drop`"
            ));
        }
        let paths = self.watcher.iter().flat_map(|watcher| watcher.reads.iter().chain(&watcher.writes));
        if let Some(path) = paths.chain(self.drop.iter().map(|folder| &folder.dir)).find(|path| !path.is_absolute()) {
            return Some(format!("`{}` must be an absolute path", path.display()));
        }
        let unknown = self.drop.iter().filter_map(|folder| folder.bank.as_ref());
        if let Some(name) = unknown.into_iter().find(|name| self.bank.iter().all(|bank| bank.name != **name)) {
            return Some(format!("`[[drop]] bank = \"{name}\"` needs a `[[bank]]` of that name"));
        }
        let mut dirs = BTreeSet::new();
        if let Some(folder) = self.drop.iter().find(|folder| !dirs.insert(&folder.dir)) {
            return Some(format!("the drop folder {} stands there twice", folder.dir.display()));
        }
        let domains = hooks.iter().map(Hook::domain).chain(self.watcher.iter().map(Watcher::domain));
        let mut domains = domains.chain(self.drop.iter().map(|folder| folder.domain.as_str()));
        if let Some(domain) = domains.find(|domain| VaultPath::join(&format!("Needs_Action/{domain}"), "a.md").is_err())
        {
            return Some(format!("`{domain}` is no name of a folder below Needs_Action/"));
        }
        if self.watcher.iter().any(|watcher| watcher.every_s == Some(0)) {
            return Some("`every_s` is at least 1".to_owned());
        }
        if let Some(watcher) = self.watcher.iter().find(|watcher| watcher.command.is_empty()) {
            return Some(format!("watcher `{}` needs `command = [\"PROGRAM\", …]`", watcher.name));
        }
        let whatsapp = hooks.iter().find(|hook| hook.form == HookForm::Whatsapp && hook.verify_secret.is_none());
        if let Some(hook) = whatsapp {
            return Some(format!(
                "webhook `{}` needs `verify_secret`, which WhatsApp gives when it is set up",
                hook.name
            ));
        }
        if let Some(webhooks) = self.webhooks.as_ref().filter(|webhooks| !webhooks.listen.ip().is_loopback()) {
            return Some(format!(
                "`[webhooks] listen` is {}, and takes an address of this machine alone, such as 127.0.0.1:8090: a web \
                 server with a certificate stands before it",
                webhooks.listen
            ));
        }
        let is_private = self
            .drop
            .iter()
            .map(|folder| folder.private || folder.bank.is_some())
            .chain(self.watcher.iter().map(|one| one.private));
        match role {
            Role::Cloud if is_private.into_iter().any(|is_private| is_private) => {
                Some("`private = true` and `bank` are for a Local node: nothing private lies on Cloud".to_owned())
            }
            Role::Local if self.webhooks.is_some() => {
                Some("`[webhooks]` is for a Cloud node, which others can reach".to_owned())
            }
            Role::Local if self.watcher.iter().flat_map(|one| one.env.values()).any(EnvValue::is_secret) => Some(
                "`${secret:NAME}` for a watcher is for a Cloud node: Local's secrets are the executor's alone; keep what a \
                 watcher needs in its own folder"
                    .to_owned(),
            ),
            Role::Cloud | Role::Local => None,
        }
    }
}
