//! Zones: for each path, who may write it and who may read it.

use std::fmt;

use aiemp_keys::{NodeId, PublicKey, Value, cbor};

use crate::{ids::Audience, roster::Role, vault_path::VaultPath};

/// Where a file lies. Each path lies in exactly one zone; a file keeps its zone for life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// `Inbox/`, `Needs_Action/`: every member writes, all read.
    Intake,
    /// `Plans/`, `Pending_Approval/`, `Updates/`, `Signals/`, `Logs/`: every member writes, all read.
    Drafts,
    /// `In_Progress/<node>/`: that node writes; Local may archive.
    Claim(NodeId),
    /// Handbook, goals, `Approved/`, `Rejected/`, `Done/`: Local writes, all read.
    Owner,
    /// Every path not listed: Local writes, Local nodes alone read.
    Private,
}

/// The path may not be in the vault's logs at all: a secret, a dot file or an instruction to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NeverPath {
    /// A dot name, at any depth.
    #[error("names that start with a dot never sync")]
    DotName,
    /// A name under which people keep credentials.
    #[error("the name is one of those that hold credentials; it never syncs")]
    SecretName,
    /// A file that agents take instructions from.
    #[error("agents take instructions from this name; it never syncs")]
    InstructionName,
    /// A claim folder that names no member.
    #[error("`In_Progress/` holds one folder per member, named by its name in the roster")]
    UnknownClaimant,
}

const SHARED_FOLDERS: [(&str, Zone); 10] = [
    ("inbox", Zone::Intake),
    ("needs_action", Zone::Intake),
    ("plans", Zone::Drafts),
    ("pending_approval", Zone::Drafts),
    ("updates", Zone::Drafts),
    ("signals", Zone::Drafts),
    ("logs", Zone::Drafts),
    ("approved", Zone::Owner),
    ("rejected", Zone::Owner),
    ("done", Zone::Owner),
];
const OWNER_FILES: [&str; 2] = ["company_handbook.md", "business_goals.md"];
const CLAIM_FOLDER: &str = "in_progress";

const INSTRUCTION_NAMES: [&str; 12] = [
    "claude.md",
    "claude.local.md",
    "agents.md",
    "agents.override.md",
    "gemini.md",
    "qwen.md",
    "warp.md",
    "skill.md",
    "mcp.json",
    "claude_desktop_config.json",
    "copilot-instructions.md",
    "soul.md",
];
const SECRET_PREFIXES: [&str; 5] = ["credentials", "token", "id_", "client_secret", "service_account"];
const SECRET_SUFFIXES: [&str; 11] = [
    ".env",
    ".session",
    ".pem",
    ".key",
    ".p12",
    ".pfx",
    ".kdbx",
    ".keystore",
    "_token.json",
    "_cookies.json",
    "_session.json",
];
const SECRET_NAMES: [&str; 5] = ["cookies", "cookies.json", "cookies.sqlite", "login data", "page_source.html"];
const BROWSER_PROFILE_SUFFIXES: [&str; 2] = ["_session", "_sessions"];

/// Resolves the names of claim folders; the roster knows them.
pub trait Claimants {
    /// The member whose claim folder has this canonical name.
    fn claimant(&self, canonical_name: &str) -> Option<NodeId>;
}

impl Zone {
    /// The zone of a path, by whole-folder prefix on its canonical key.
    pub fn of(path: &VaultPath, claimants: &impl Claimants) -> Result<Self, NeverPath> {
        refuse_never(path)?;
        let key = path.key();
        let mut names = key.splitn(3, '/');
        let first = names.next().unwrap_or_default();
        let second = names.next();
        if first == CLAIM_FOLDER {
            let claimant = second.filter(|_| names.next().is_some()).and_then(|name| claimants.claimant(name));
            return claimant.map(Self::Claim).ok_or(NeverPath::UnknownClaimant);
        }
        if second.is_none() {
            return Ok(if OWNER_FILES.contains(&first) { Self::Owner } else { Self::Private });
        }
        let shared = SHARED_FOLDERS.iter().find(|(folder, _)| *folder == first);
        Ok(shared.map_or(Self::Private, |(_, zone)| *zone))
    }

    /// Who may read files of this zone.
    pub const fn audience(self) -> Audience {
        match self {
            Self::Intake | Self::Drafts | Self::Claim(_) | Self::Owner => Audience::All,
            Self::Private => Audience::Local,
        }
    }

    /// Whether `author` in `role` may create files here and change them.
    pub fn may_write(self, author: NodeId, role: Role) -> bool {
        match self {
            Self::Intake | Self::Drafts => true,
            Self::Claim(node) => node == author,
            Self::Owner | Self::Private => role == Role::Local,
        }
    }

    /// Whether `author` in `role` may archive files here: as writing, and Local may take a claim away.
    pub fn may_archive(self, author: NodeId, role: Role) -> bool {
        self.may_write(author, role) || (matches!(self, Self::Claim(_)) && role == Role::Local)
    }

    /// Wire form: the zone byte, for `claim` followed by the node's 32 bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![match self {
            Self::Intake => 1,
            Self::Drafts => 2,
            Self::Claim(_) => 3,
            Self::Owner => 4,
            Self::Private => 5,
        }];
        if let Self::Claim(node) = self {
            bytes.extend_from_slice(node.as_bytes());
        }
        bytes
    }

    /// Reads the wire form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [1] => Some(Self::Intake),
            [2] => Some(Self::Drafts),
            [3, node @ ..] => {
                let key = PublicKey::from_bytes(node.try_into().ok()?).ok()?;
                Some(Self::Claim(NodeId::new(key)))
            }
            [4] => Some(Self::Owner),
            [5] => Some(Self::Private),
            _ => None,
        }
    }

    /// As a CBOR byte string.
    pub fn to_value(self) -> Value {
        cbor::bytes(&self.to_bytes())
    }
}

/// Refuses the names that never sync, at any depth.
pub(crate) fn refuse_never(path: &VaultPath) -> Result<(), NeverPath> {
    for name in path.likenesses() {
        let name = name.as_str();
        if name.starts_with('.') {
            return Err(NeverPath::DotName);
        }
        if INSTRUCTION_NAMES.contains(&name) {
            return Err(NeverPath::InstructionName);
        }
        let folder_of_profile = BROWSER_PROFILE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
        let secret = SECRET_NAMES.contains(&name)
            || SECRET_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || SECRET_SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
        if folder_of_profile || secret {
            return Err(NeverPath::SecretName);
        }
    }
    Ok(())
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intake => f.write_str("intake"),
            Self::Drafts => f.write_str("drafts"),
            Self::Claim(node) => write!(f, "claim:{node:?}"),
            Self::Owner => f.write_str("owner"),
            Self::Private => f.write_str("private"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoClaimants;

    impl Claimants for NoClaimants {
        fn claimant(&self, _: &str) -> Option<NodeId> {
            None
        }
    }

    fn zone(text: &str) -> Result<Zone, NeverPath> {
        Zone::of(&VaultPath::parse(text).expect("a path"), &NoClaimants)
    }

    #[test]
    fn folders_decide_whatever_their_spelling() {
        assert_eq!(zone("Inbox/a.eml"), Ok(Zone::Intake));
        assert_eq!(zone("PENDING_APPROVAL./email/x.md"), Ok(Zone::Drafts));
        assert_eq!(zone("approved/x.md"), Ok(Zone::Owner));
        assert_eq!(zone("Company_Handbook.md"), Ok(Zone::Owner));
        assert_eq!(zone("Dashboard.md"), Ok(Zone::Private));
        assert_eq!(zone("Diary/Company_Handbook.md"), Ok(Zone::Private));
        assert_eq!(zone("Inboxes/a.md"), Ok(Zone::Private));
        assert_eq!(zone("Done"), Ok(Zone::Private));
        assert_eq!(zone("In_Progress/nobody/x.md"), Err(NeverPath::UnknownClaimant));
    }

    #[test]
    fn secret_and_instruction_names_never_sync() {
        for name in [
            "token.json",
            "gmail_token.json",
            "whatsapp_session/Default/Cookies",
            "client_secret_123.json",
            "id_ed25519",
            "bank.pem",
            "prod.env",
            "facebook_cookies.json",
            ".twitter_sessions/Cookies",
            "logs/page_source.html",
            "Inbox/.env.local",
            "CLAUDE.md",
            "Done/sub/Agents.MD",
            "Plans/.claude/settings.json",
            "Plans/mcp.json",
        ] {
            assert!(zone(name).is_err(), "{name}");
        }
        assert_eq!(zone("Plans/email/PLAN_tokyo.md"), Ok(Zone::Drafts));
    }

    #[test]
    fn cloud_writes_neither_owner_nor_private_nor_anothers_claim() {
        let key = |byte| NodeId::new(PublicKey::from_bytes([byte; 32]).expect("not of small order"));
        let (cloud, local) = (key(7), key(9));
        assert!(Zone::Drafts.may_write(cloud, Role::Cloud));
        assert!(!Zone::Owner.may_write(cloud, Role::Cloud));
        assert!(!Zone::Private.may_write(cloud, Role::Cloud));
        assert!(!Zone::Claim(local).may_write(cloud, Role::Cloud));
        assert!(!Zone::Claim(cloud).may_write(local, Role::Local));
        assert!(Zone::Claim(cloud).may_archive(local, Role::Local));
    }
}
