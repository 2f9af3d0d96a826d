//! What waits for a decision, and what became of what was decided, as a list.

use aiemp_protocol::{
    action::{Refusal, spelt},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::{super::print, shown};
use crate::{
    home::Home,
    reviewer::{Desk, Item},
    shell::{self, control::WireReceipt, handed_in},
};

/// Behind the beginning of an id.
const INDENT: &str = "              ";

pub(super) fn list(home: &Home, desk: &Desk, as_json: bool) {
    if as_json {
        return print::json(json!({ "items": items_json(desk) }));
    }
    if desk.items.is_empty() {
        print::talk("Nothing waits for your approval.");
    }
    for item in &desk.items {
        print::data(lines_of(desk, item));
        if let Some(why) = stands(desk, item).and_then(Stands::why) {
            print::data(format!("{INDENT}{}", spelt(why)));
        }
        if item.signature_asked {
            print::data(format!("{INDENT}moved to Approved/ by hand, which sends nothing: it needs your signature"));
        }
        if let Some(standing) = &item.standing {
            print::data(format!("{INDENT}goes out by itself, under the standing approval {standing}"));
        }
    }
    list_unsent(home, desk);
}

/// What was approved and is not sent: it waits, failed, or nobody knows.
pub(super) fn list_unsent(home: &Home, desk: &Desk) {
    let all_shown = shown::all(home);
    for receipt in decided(desk).filter(|receipt| receipt.outcome != "sent") {
        let shown = all_shown.iter().find(|shown| shown.id == receipt.action);
        let inner = shown.and_then(|shown| shown.path.split_once('/')).map(|(_, inner)| inner);
        let path = format!("{}/{}", receipt.path, inner.unwrap_or_default());
        print::data(format!("{}  {:<14}  {}", &receipt.action[..12], receipt.outcome, spelt(path)));
        print::data(format!("{INDENT}{}", spelt(detail_of(desk, receipt))));
    }
}

/// What the service said, or what the action waits for.
fn detail_of(desk: &Desk, receipt: &WireReceipt) -> String {
    if receipt.outcome == "approved" { desk.handed_in.why(&receipt.action) } else { receipt.detail.clone() }
}

/// Where an approval stands whose draft is still there.
enum Stands<'a> {
    /// The executor has not taken it up.
    Waits(String),
    /// The executor did not take it.
    Refused(&'a handed_in::Refusal),
    /// It was tried and failed.
    Failed(&'a WireReceipt),
}

impl Stands<'_> {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Waits(_) => "approved",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }

    fn why(self) -> Option<String> {
        Some(match self {
            Self::Waits(why) => why,
            Self::Refused(refusal) => {
                let at = Timestamp::from_millis(refusal.at_ms);
                format!("approved before, and refused by the executor at {at}: {}", refusal.why)
            }
            Self::Failed(receipt) => receipt.detail.clone(),
        })
    }
}

fn stands<'a>(desk: &'a Desk, item: &Item) -> Option<Stands<'a>> {
    if desk.handed_in.waiting.contains(&item.id) {
        return Some(Stands::Waits(desk.handed_in.why(&item.id)));
    }
    let failed = desk.receipt_for_action(&item.id).filter(|receipt| receipt.outcome == "failed");
    match (failed, desk.handed_in.refused.get(&item.id)) {
        (Some(failed), Some(refusal)) if refusal.at_ms <= failed.at_ms => Some(Stands::Failed(failed)),
        (_, Some(refusal)) => Some(Stands::Refused(refusal)),
        (failed, None) => failed.map(Stands::Failed),
    }
}

/// What is not listed as a draft: one that failed waits again, and is told there.
fn decided(desk: &Desk) -> impl Iterator<Item = &WireReceipt> {
    let waits_again =
        |receipt: &&WireReceipt| receipt.outcome == "failed" && desk.items.iter().any(|item| item.id == receipt.action);
    desk.receipts.iter().filter(move |receipt| !waits_again(receipt))
}

pub(super) fn items_json(desk: &Desk) -> Vec<Value> {
    let decided = decided(desk).map(|receipt| {
        json!({ "id": receipt.action, "kind": receipt.kind, "state": receipt.outcome, "path": receipt.path,
                "wid": receipt.work, "summary": detail_of(desk, receipt), "author": null,
                "created": Timestamp::from_millis(receipt.at_ms).to_string(), "expires": null, "blocked_by": [] })
    });
    desk.items.iter().map(|item| item_json(desk, item)).chain(decided).collect()
}

pub(super) fn lines_of(desk: &Desk, item: &Item) -> String {
    let what = match &item.draft {
        Ok(readable) => readable.action.summary(),
        Err(refusals) => first(refusals),
    };
    format!("{}  {:<14}  {}\n{INDENT}{what}", &item.id[..12], state_of(desk, item), spelt(&item.path))
}

pub(super) fn first(refusals: &[Refusal]) -> String {
    refusals.first().map(ToString::to_string).unwrap_or_default()
}

fn state_of(desk: &Desk, item: &Item) -> &'static str {
    match (&item.draft, stands(desk, item)) {
        (Err(_), _) => "not_approvable",
        (Ok(_), Some(stands)) => stands.as_str(),
        (Ok(readable), None) if readable.expires.is_some_and(|expires| expires < shell::clock::now()) => "expired",
        (Ok(_), None) => "pending",
    }
}

pub(super) fn item_json(desk: &Desk, item: &Item) -> Value {
    let (kind, wid, summary, expires) = match &item.draft {
        Ok(readable) => (
            json!(readable.action.kind().as_str()),
            json!(readable.action.work.to_string()),
            readable.action.summary(),
            readable.expires.map(|expires| expires.to_string()),
        ),
        Err(refusals) => (Value::Null, Value::Null, first(refusals), None),
    };
    let (waits_for, failure) = match stands(desk, item) {
        Some(Stands::Waits(why)) => (Some(why), None),
        Some(stands) => (None, stands.why()),
        None => (None, None),
    };
    json!({ "id": item.id, "kind": kind, "state": state_of(desk, item), "path": item.path.as_str(), "wid": wid,
            "summary": summary, "author": item.author, "created": item.created.to_string(), "expires": expires,
            "blocked_by": item.blocked_by, "signature_asked": item.signature_asked, "standing": item.standing,
            "waits_for": waits_for, "failure": failure })
}
