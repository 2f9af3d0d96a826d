//! The policy: limits that the person signs, and that the journal keeps whatever is approved.
//!
//! A policy only takes away: what it allows still needs an approval. Times of day are UTC.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization as _;

use aiemp_keys::{
    Hash, PublicKey, Signer, Value,
    cbor::{self, CborError, Fields},
    cose::{self, CoseError},
};

use crate::{
    action::{Action, ActionKind, Content, MarkedValue, ValueKind, address_of},
    ids::MeshId,
    time::Timestamp,
};

const DOMAIN: &str = "aiemp-node 2026 policy";
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);
/// Minutes of a day.
pub const DAY_MINUTES: u64 = 1_440;

/// What holds for one kind of action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// At most so many in an hour; the rest waits.
    pub per_hour: Option<u64>,
    /// At most so many in a day; the rest waits.
    pub per_day: Option<u64>,
    /// The largest amount by currency, in its smallest unit; another currency is refused. Empty: any.
    pub amount_max: BTreeMap<String, u64>,
    /// The only ones it may go to: addresses, `@domain`, or the name of a payee, network, server, connector or agent.
    pub recipients: Option<BTreeSet<String>>,
    /// Those that it may never go to, in the same words: who asked not to be written to.
    pub opt_out: BTreeSet<String>,
    /// Minutes of the day from and to which it waits; the end may lie on the next day.
    pub quiet: Option<(u64, u64)>,
    /// Minutes after the approval before which nothing is sent: time to cancel.
    pub delay_minutes: u64,
    /// Whether each approval asks for the passphrase, also in a session.
    pub passphrase: bool,
}

/// The limits of a mesh, by kind. A kind without a rule has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// When it was signed: an older one does not come back.
    pub issued: Timestamp,
    /// By kind.
    pub rules: BTreeMap<ActionKind, Rule>,
}

/// Why the policy refuses an action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// A limit of none in an hour or a day.
    #[error("the policy allows no {0}")]
    Forbidden(ActionKind),
    /// It goes to somebody who is not listed.
    #[error("the policy does not list {0} among the recipients")]
    Recipient(String),
    /// It goes to somebody who does not want it.
    #[error("the policy's `opt_out` names {0}: nothing goes there")]
    OptedOut(String),
    /// The amount is larger, or in another currency.
    #[error("the policy allows no such amount: {0}")]
    Amount(String),
}

impl Policy {
    /// The digest that an approval names: that of no policy where no rule was ever signed.
    pub fn digest(&self) -> Hash {
        let value = if *self == Self::default() { Value::Null } else { self.to_value() };
        Hash::labelled(DOMAIN, [value])
    }

    /// Signs with the approve key.
    pub fn sign(&self, approve: &Signer, mesh: MeshId) -> Vec<u8> {
        cose::sign1(approve, DOMAIN, &[mesh.to_value()], &cbor::encode(&self.to_value()))
    }

    /// Verifies with one of the roster's approvers.
    pub fn verify(approver: &PublicKey, mesh: MeshId, bytes: &[u8]) -> Result<Self, CoseError> {
        let payload = cose::verify1(approver, DOMAIN, &[mesh.to_value()], bytes)?;
        Self::from_bytes(&payload).map_err(|_| CoseError::Malformed)
    }

    /// Why an action may not be carried out at all.
    pub fn breach(&self, action: &Action) -> Option<Breach> {
        let rule = self.rules.get(&action.kind())?;
        if [rule.per_hour, rule.per_day].contains(&Some(0)) {
            return Some(Breach::Forbidden(action.kind()));
        }
        if let Some(who) = targets(&action.content).into_iter().find(|target| has_opted_out(&rule.opt_out, target)) {
            return Some(Breach::OptedOut(who));
        }
        if let Some(listed) = &rule.recipients {
            let other = targets(&action.content).into_iter().find(|target| !is_listed(listed, target));
            if let Some(other) = other {
                return Some(Breach::Recipient(other));
            }
        }
        if let Content::Payment(payment) = &action.content
            && !rule.amount_max.is_empty()
            && rule.amount_max.get(&payment.currency).is_none_or(|max| payment.amount_minor > *max)
        {
            return Some(Breach::Amount(crate::action::amount(payment.amount_minor, &payment.currency)));
        }
        None
    }

    /// Whether the person named a value in the rule of its kind: whom to write to, whom to pay.
    pub fn lists(&self, kind: ActionKind, value: &MarkedValue) -> bool {
        let is_named = matches!(value.kind, ValueKind::Recipient | ValueKind::Payee | ValueKind::Agent);
        let listed = self.rules.get(&kind).and_then(|rule| rule.recipients.as_ref());
        let lower = value.text.to_ascii_lowercase();
        let text = if value.kind == ValueKind::Recipient { &lower } else { &value.text };
        is_named && listed.is_some_and(|listed| is_listed(listed, text))
    }

    /// From when on an action of this kind may be carried out that was approved then, and why not before; `done` are the
    /// times of those carried out so far.
    pub fn not_before(
        &self,
        kind: ActionKind,
        approved: Timestamp,
        done: &[Timestamp],
        now: Timestamp,
    ) -> (Timestamp, &'static str) {
        let Some(rule) = self.rules.get(&kind) else { return (now, "") };
        let after_delay = approved + MINUTE * u32::try_from(rule.delay_minutes).unwrap_or(u32::MAX);
        let mut at = if after_delay > now { (after_delay, "the delay of the policy") } else { (now, "") };
        // Each limit may push into another one's time; each round that moves passes an hour, a day or a quiet time.
        for _ in 0..=done.len() + 3 {
            let limits = [
                rate_limit(rule.per_hour, HOUR, done, at.0).map(|until| (until, "the policy's limit by the hour")),
                rate_limit(rule.per_day, DAY, done, at.0).map(|until| (until, "the policy's limit by the day")),
                rule.quiet.and_then(|quiet| end_of_quiet(quiet, at.0)).map(|until| (until, "the policy's quiet hours")),
            ];
            let Some(later) = limits.into_iter().flatten().max().filter(|later| later.0 > at.0) else { break };
            at = later;
        }
        at
    }

    fn to_value(&self) -> Value {
        let rules = self.rules.iter().map(|(kind, rule)| rule.to_value(*kind));
        cbor::array([cbor::uint(1), cbor::uint(self.issued.as_millis()), cbor::array(rules)])
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "policy")?;
        if fields.uint()? != 1 {
            return Err(fields.invalid());
        }
        let issued = Timestamp::from_millis(fields.uint()?);
        let listed = fields.list_of(Rule::from_value)?;
        if !listed.is_sorted_by(|(before, _), (after, _)| before < after) {
            return Err(fields.invalid());
        }
        fields.end()?;
        Ok(Self { issued, rules: listed.into_iter().collect() })
    }
}

impl Rule {
    /// What it says, for whoever decides under it; `done` counts the actions of a time that ends now.
    pub fn spelled(&self, done: impl Fn(Duration) -> usize) -> Vec<String> {
        let mut told = Vec::new();
        let rate = |limit: Option<u64>, window, word: &str| {
            limit.map(|limit| format!("{limit} in {word}, of which {} went", done(window)))
        };
        told.extend(rate(self.per_hour, HOUR, "an hour"));
        told.extend(rate(self.per_day, DAY, "a day"));
        let amounts = self.amount_max.iter().map(|(code, max)| crate::action::amount(*max, code));
        let amounts: Vec<_> = amounts.collect();
        told.extend((!amounts.is_empty()).then(|| format!("at most {}", amounts.join(" or "))));
        told.extend(self.recipients.as_ref().map(|listed| match listed.len() {
            0..=3 => format!("only to {}", listed.iter().cloned().collect::<Vec<_>>().join(", ")),
            count => format!("only to {count} that are listed"),
        }));
        told.extend((!self.opt_out.is_empty()).then(|| format!("never to {} that opted out", self.opt_out.len())));
        let clock = |minutes: u64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        told.extend(self.quiet.map(|(from, to)| format!("quiet from {} to {} UTC", clock(from), clock(to))));
        told.extend(
            (self.delay_minutes > 0).then(|| format!("sent {} minutes after the approval", self.delay_minutes)),
        );
        told.extend(self.passphrase.then(|| "your passphrase each time".to_owned()));
        told
    }

    fn to_value(&self, kind: ActionKind) -> Value {
        let amounts = self.amount_max.iter().map(|(code, max)| cbor::array([cbor::text(code), cbor::uint(*max)]));
        let listed = |names: &BTreeSet<String>| cbor::array(names.iter().map(|name| cbor::text(name)));
        // The last is there where it says anything, so that what was signed before it was known stays as it is.
        let opt_out = (!self.opt_out.is_empty()).then(|| listed(&self.opt_out));
        let fields = [
            cbor::uint(kind.code()),
            cbor::option(self.per_hour.map(cbor::uint)),
            cbor::option(self.per_day.map(cbor::uint)),
            cbor::array(amounts),
            cbor::option(self.recipients.as_ref().map(&listed)),
            cbor::option(self.quiet.map(|(from, to)| cbor::array([cbor::uint(from), cbor::uint(to)]))),
            cbor::uint(self.delay_minutes),
            Value::Bool(self.passphrase),
        ];
        cbor::array(fields.into_iter().chain(opt_out))
    }

    fn from_value(value: Value) -> Result<(ActionKind, Self), CborError> {
        let mut fields = Fields::of(value, "policy rule")?;
        let kind = ActionKind::from_code(fields.uint()?).ok_or_else(|| fields.invalid())?;
        let (per_hour, per_day) = (fields.optional_of(Fields::uint)?, fields.optional_of(Fields::uint)?);
        let amounts = fields.list_of(|value| {
            let mut fields = Fields::of(value, "amount")?;
            let amount = (fields.text()?, fields.uint()?);
            fields.end()?;
            Ok::<_, CborError>(amount)
        })?;
        let name = |value: Value| value.into_text().map_err(|_| CborError::Malformed);
        let recipients = fields.optional_of(|fields| fields.list_of(name))?;
        let quiet = fields.optional_of(|fields| {
            let mut fields = Fields::of(fields.value()?, "quiet hours")?;
            let quiet = (fields.uint()?, fields.uint()?);
            fields.end()?;
            Ok(quiet)
        })?;
        let (delay_minutes, passphrase) = (fields.uint()?, fields.bool()?);
        let opt_out = if fields.is_at_end() { None } else { Some(fields.list_of(name)?) };
        let rule = Self {
            per_hour,
            per_day,
            amount_max: amounts.iter().cloned().collect(),
            recipients: recipients.as_ref().map(|names| names.iter().cloned().collect()),
            quiet,
            opt_out: opt_out.iter().flatten().cloned().collect(),
            delay_minutes,
            passphrase,
        };
        let ascend = amounts.is_sorted_by(|(before, _), (after, _)| before < after)
            && recipients.is_none_or(|names| names.is_sorted_by(|before, after| before < after))
            && opt_out.is_none_or(|names| !names.is_empty() && names.is_sorted_by(|before, after| before < after));
        if !ascend || quiet.is_some_and(|(from, to)| from == to || from.max(to) >= DAY_MINUTES) {
            return Err(fields.invalid());
        }
        fields.end()?;
        Ok((kind, rule))
    }
}

/// Everybody that an action goes to, as the policy names them.
fn targets(content: &Content) -> Vec<String> {
    match content {
        Content::Email(email) => email.recipients().into_iter().map(|to| address_of(to).to_ascii_lowercase()).collect(),
        Content::Post(post) => vec![post.network.clone()],
        Content::Payment(payment) => vec![payment.payee.clone()],
        Content::Tool(tool) => vec![tool.server.clone()],
        Content::Http(http) => vec![http.connector.clone()],
        Content::A2a(a2a) => vec![a2a.agent.clone()],
    }
}

fn is_listed(listed: &BTreeSet<String>, target: &str) -> bool {
    let domain = target.rfind('@').map(|at| &target[at..]);
    listed.contains(target) || domain.is_some_and(|domain| listed.contains(domain))
}

/// Whether somebody may not be written to, in whatever spelling: capitals, another script of the domain, a tag behind a `+`, or a
/// name below the domain make nobody else of them.
fn has_opted_out(listed: &BTreeSet<String>, target: &str) -> bool {
    let target = folded(target);
    listed.iter().map(|listed| folded(listed)).any(|listed| match (listed.split_once('@'), target.split_once('@')) {
        (Some(("", domain)), Some((_, of))) => {
            of == domain || of.strip_suffix(domain).is_some_and(|sub| sub.ends_with('.'))
        }
        (Some((local, domain)), Some((name, of))) => {
            let bare = |name: &str| name.split_once('+').map_or(name, |(name, _)| name).to_owned();
            of == domain && (name == local || bare(name) == bare(local))
        }
        (Some(_) | None, _) => listed == target,
    })
}

fn folded(target: &str) -> String {
    let text: String = target.trim().nfkc().default_case_fold().nfkc().collect();
    match text.rsplit_once('@') {
        Some((local, domain)) => {
            let domain = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned());
            format!("{local}@{}", domain.trim_end_matches('.'))
        }
        None => text,
    }
}

/// When the oldest of the last `limit` is out of the window.
fn rate_limit(limit: Option<u64>, window: Duration, done: &[Timestamp], at: Timestamp) -> Option<Timestamp> {
    let limit = usize::try_from(limit?).ok()?;
    let mut within: Vec<_> = done.iter().filter(|done| **done + window > at).copied().collect();
    within.sort();
    let oldest = within.len().checked_sub(limit).and_then(|index| within.get(index))?;
    Some(*oldest + window)
}

fn end_of_quiet((from, to): (u64, u64), at: Timestamp) -> Option<Timestamp> {
    let minute = at.as_millis() / 60_000;
    let of_day = minute % DAY_MINUTES;
    let is_quiet = if from < to { (from..to).contains(&of_day) } else { of_day >= from || of_day < to };
    let left = (to + DAY_MINUTES - of_day) % DAY_MINUTES;
    is_quiet.then(|| Timestamp::from_millis((minute + left) * 60_000))
}

#[cfg(test)]
mod tests;
