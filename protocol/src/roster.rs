//! The roster: who is in the mesh, signed by the root key as one whole state per epoch.

use std::collections::BTreeMap;

use aiemp_keys::{
    Hash, NodeId, PublicKey, Signer, Value,
    cbor::{self, CborError, Fields},
    cose::CoseError,
};
use thiserror::Error;

use crate::{
    ids::{LogId, MeshId},
    limits::{MEMBER_NAME_BYTES_MAX, MEMBERS_MAX, ROSTER_LIFETIME},
    time::Timestamp,
    vault_path::VaultPath,
    zone::{Claimants, NeverPath, Zone},
};

mod chain;

pub use chain::{RosterChain, SignedRoster};

const HASH_LABEL: &str = "aiemp-node 2026 roster hash";

/// What a member may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Watches and drafts, around the clock, on a machine that is not trusted.
    Cloud,
    /// Holds approval and sending, on the person's own computer.
    Local,
}

impl Role {
    /// The word for it on the command line and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Local => "local",
        }
    }
}

/// What a member may use of the others' disks in a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Log entries a day.
    pub entries_per_day: u64,
    /// Payload bytes a day.
    pub bytes_per_day: u64,
}

impl Default for Quota {
    /// Ten times a busy day of a real vault.
    fn default() -> Self {
        Self { entries_per_day: 100_000, bytes_per_day: 4 << 30 }
    }
}

/// One node of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its identity.
    pub node: NodeId,
    /// What people call it; also the name of its claim folder.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Logs of older generations are not continued.
    pub generation_min: u64,
    /// What it may use.
    pub quota: Quota,
}

impl Member {
    /// Whether a node may be called this: it stands in messages, in commands and as the name of a folder.
    pub fn may_be_named(name: &str) -> bool {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        !name.is_empty() && name.len() <= MEMBER_NAME_BYTES_MAX && plain && VaultPath::parse(name).is_ok()
    }
}

/// Where a log ends for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedLog {
    /// The log.
    pub log: LogId,
    /// Its last entry that stands; 0 when none does.
    pub seq: u64,
    /// The hash of that entry.
    pub hash: Hash,
}

/// A folder whose zone differs from the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneOverride {
    /// Canonical key of the folder or file.
    pub prefix: String,
    /// Shared with every member (as `owner`), or private again.
    pub shared: bool,
}

/// The whole state of the mesh's membership at one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// The mesh.
    pub mesh: MeshId,
    /// Rises by one with each roster; the first is 1.
    pub epoch: u64,
    /// The hash of the roster before; `None` for the first.
    pub prev: Option<Hash>,
    /// When it was signed.
    pub issued: Timestamp,
    /// After this no approval; editing and replication go on.
    pub not_after: Timestamp,
    /// Digest of the root key that may follow, made from the recovery words.
    pub next_root_hash: Hash,
    /// Whether some key of the mesh opens without a person.
    pub unattended: bool,
    /// The one node that executes approvals.
    pub executor: NodeId,
    /// Who is in.
    pub members: Vec<Member>,
    /// Logs that ended.
    pub closed: Vec<ClosedLog>,
    /// Keys that may approve.
    pub approvers: Vec<PublicKey>,
    /// Folders whose zone differs from the table.
    pub zones: Vec<ZoneOverride>,
}

/// Why bytes are no acceptable roster.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RosterError {
    /// Not the fixed form.
    #[error("the roster is malformed: {0}")]
    Form(#[from] CborError),
    /// Not signed by a root key of this mesh.
    #[error("the roster is not signed by this mesh's root key: {0}")]
    Signature(#[from] CoseError),
    /// It belongs to another mesh.
    #[error("the roster belongs to another mesh")]
    ForeignMesh,
    /// It does not follow the one that is held.
    #[error("the roster of epoch {got} does not follow epoch {held}")]
    NotNext {
        /// The epoch held.
        held: u64,
        /// The epoch offered.
        got: u64,
    },
    /// Another roster of an epoch that is held already: the root key signed twice.
    #[error(
        "two different rosters of epoch {epoch} exist, so the root key signed twice; found a new mesh if you did not do that"
    )]
    Fork {
        /// The epoch.
        epoch: u64,
    },
    /// Its members contradict each other.
    #[error("the roster contradicts itself: {0}")]
    Inconsistent(&'static str),
}

impl Roster {
    /// The first roster of a mesh: one Local node, which is the executor.
    pub fn found(
        root: &Signer,
        next_root_hash: Hash,
        approver: PublicKey,
        first: Member,
        unattended: bool,
        now: Timestamp,
    ) -> Self {
        Self {
            mesh: MeshId::founded_by(&root.public()),
            epoch: 1,
            prev: None,
            issued: now,
            not_after: now + ROSTER_LIFETIME,
            next_root_hash,
            unattended,
            executor: first.node,
            members: vec![first],
            closed: Vec::new(),
            approvers: vec![approver],
            zones: Vec::new(),
        }
    }

    /// A copy that follows this roster, for the root key to change and sign.
    pub fn successor(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.epoch += 1;
        next.prev = Some(self.hash());
        next.issued = now;
        next.not_after = now + ROSTER_LIFETIME;
        next
    }

    /// The digest that the next roster names as `prev`.
    pub fn hash(&self) -> Hash {
        Hash::labelled(HASH_LABEL, [self.to_value()])
    }

    /// The member with this identity.
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.node == node)
    }

    /// What `verify` says of the first approver whose signature it is.
    ///
    /// Fails as for the last approver where it is of none.
    pub fn by_approver<T>(&self, verify: impl Fn(&PublicKey) -> Result<T, CoseError>) -> Result<T, CoseError> {
        let verified = self.approvers.iter().map(verify);
        let found = verified.reduce(|found, next| if found.is_ok() { found } else { next });
        found.unwrap_or(Err(CoseError::BadSignature))
    }

    /// The member with this name.
    pub fn member_named(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The zone of a path, overrides applied.
    pub fn zone_of(&self, path: &VaultPath) -> Result<Zone, NeverPath> {
        let zone = Zone::of(path, self)?;
        let key = path.key();
        let within = |over: &&ZoneOverride| {
            key.strip_prefix(over.prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let nearest = self.zones.iter().filter(within).max_by_key(|over| over.prefix.len());
        Ok(match (zone, nearest) {
            (Zone::Private, Some(ZoneOverride { shared: true, .. })) => Zone::Owner,
            (zone, _) => zone,
        })
    }

    fn check(&self) -> Result<(), RosterError> {
        if self.members.is_empty() || self.members.len() > MEMBERS_MAX {
            return Err(RosterError::Inconsistent("it must have 1 to 64 members"));
        }
        let mut names = BTreeMap::new();
        let mut nodes = BTreeMap::new();
        for member in &self.members {
            let path = VaultPath::parse(&member.name).map_err(|_| RosterError::Inconsistent("a member's name"))?;
            if member.name.contains('/') || names.insert(path.key(), ()).is_some() {
                return Err(RosterError::Inconsistent("two members have one name"));
            }
            if nodes.insert(member.node, ()).is_some() {
                return Err(RosterError::Inconsistent("one node is listed twice"));
            }
        }
        match self.member(self.executor) {
            Some(Member { role: Role::Local, .. }) => Ok(()),
            _ => Err(RosterError::Inconsistent("the executor must be a Local member")),
        }
    }

    fn to_value(&self) -> Value {
        let members = self.members.iter().map(|member| {
            cbor::array([
                member.node.to_value(),
                cbor::text(&member.name),
                cbor::uint(u64::from(member.role == Role::Local)),
                cbor::uint(member.generation_min),
                cbor::array([cbor::uint(member.quota.entries_per_day), cbor::uint(member.quota.bytes_per_day)]),
            ])
        });
        let closed = self
            .closed
            .iter()
            .map(|closed| cbor::array([closed.log.to_value(), cbor::uint(closed.seq), closed.hash.to_value()]));
        let zones = self.zones.iter().map(|zone| cbor::array([cbor::text(&zone.prefix), Value::Bool(zone.shared)]));
        cbor::array([
            self.mesh.to_value(),
            cbor::uint(self.epoch),
            cbor::option(self.prev.map(Hash::to_value)),
            cbor::uint(self.issued.as_millis()),
            cbor::uint(self.not_after.as_millis()),
            self.next_root_hash.to_value(),
            Value::Bool(self.unattended),
            self.executor.to_value(),
            cbor::array(members),
            cbor::array(closed),
            cbor::array(self.approvers.iter().map(|key| key.to_value())),
            cbor::array(zones),
        ])
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "roster")?;
        let mesh = MeshId::read(&mut fields)?;
        let epoch = fields.uint()?;
        let prev = fields.optional_of(Fields::hash)?;
        let issued = Timestamp::from_millis(fields.uint()?);
        let not_after = Timestamp::from_millis(fields.uint()?);
        let next_root_hash = fields.hash()?;
        let unattended = fields.bool()?;
        let executor = NodeId::read(&mut fields)?;
        let members = fields.list_of(read_member)?;
        let closed = fields.list_of(read_closed)?;
        let approvers = fields.list_of(|value| {
            let mut one = Fields::of(cbor::array([value]), "approver")?;
            PublicKey::read(&mut one)
        })?;
        let zones = fields.list_of(read_zone)?;
        fields.end()?;
        Ok(Self {
            mesh,
            epoch,
            prev,
            issued,
            not_after,
            next_root_hash,
            unattended,
            executor,
            members,
            closed,
            approvers,
            zones,
        })
    }
}

impl Claimants for Roster {
    fn claimant(&self, canonical_name: &str) -> Option<NodeId> {
        let named = |member: &&Member| VaultPath::parse(&member.name).is_ok_and(|name| name.key() == canonical_name);
        self.members.iter().find(named).map(|member| member.node)
    }
}

fn read_member(value: Value) -> Result<Member, CborError> {
    let mut fields = Fields::of(value, "member")?;
    let node = NodeId::read(&mut fields)?;
    let name = fields.text()?;
    let role = match fields.uint()? {
        0 => Role::Cloud,
        1 => Role::Local,
        _ => return Err(fields.invalid()),
    };
    let generation_min = fields.uint()?;
    let mut quota = Fields::of(fields.value()?, "quota")?;
    let entries_per_day = quota.uint()?;
    let bytes_per_day = quota.uint()?;
    quota.end()?;
    fields.end()?;
    Ok(Member { node, name, role, generation_min, quota: Quota { entries_per_day, bytes_per_day } })
}

fn read_closed(value: Value) -> Result<ClosedLog, CborError> {
    let mut fields = Fields::of(value, "closed log")?;
    let log = LogId::from_value(fields.value()?)?;
    let seq = fields.uint()?;
    let hash = fields.hash()?;
    fields.end()?;
    Ok(ClosedLog { log, seq, hash })
}

fn read_zone(value: Value) -> Result<ZoneOverride, CborError> {
    let mut fields = Fields::of(value, "zone override")?;
    let prefix = fields.text()?;
    let shared = fields.bool()?;
    fields.end()?;
    Ok(ZoneOverride { prefix, shared })
}
