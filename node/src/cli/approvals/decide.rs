//! Deciding on one draft: what stands against it, what the person types, and the signature.

use std::time::Duration;

use aiemp_keys::OwnerKeys;
use aiemp_protocol::{
    action::{MarkedValue, ValueKind, spelt},
    roster::Roster,
};
use anyhow::Result;

use super::{
    super::{
        print,
        terminal::{self, Typed},
    },
    first,
};
use crate::{
    fault::Fault,
    home::Home,
    reviewer::{self, Desk, Item, Readable, Terms},
    shell::{self, control::Client},
};

/// Why an item cannot be approved now; what it would do, if it can.
pub(in crate::cli) fn approvable<'a>(desk: &Desk, item: &'a Item, again: bool) -> Result<&'a Readable, Fault> {
    if !item.blocked_by.is_empty() {
        let message = format!("{} cannot be approved yet: {}", spelt(&item.path), item.blocked_by.join(", "));
        let fix = "Close its conflicts (`aiemp-node conflicts`); what has not arrived comes with the next connection.";
        return Err(Fault::operator("blocked", message, fix));
    }
    let readable = item.draft.as_ref().map_err(|refusals| {
        let message = format!("{} cannot be approved: {}", spelt(&item.path), first(refusals));
        Fault::operator("not_approvable", message, "Edit the draft, then show it again.")
    })?;
    if readable.expires.is_some_and(|expires| expires < shell::clock::now()) {
        let message = format!("the draft expired at {}", readable.expires.unwrap_or_default());
        return Err(Fault::operator("expired", message, "Edit or remove its `expires` line, then show it again."));
    }
    if let Some(breach) = desk.policy.breach(&readable.action) {
        let fix = "Change the draft, or the policy: `aiemp-node policy show`.";
        return Err(Fault::operator("against_policy", breach.to_string(), fix));
    }
    if let Some(why) = &readable.objection {
        let fix = "Change the draft or the hands (`aiemp-node hands show`), then show it again.";
        return Err(Fault::operator("no_hand", why.as_str(), fix));
    }
    match desk.receipt_for_work(&readable.action) {
        Some(receipt) if !again => Err(super::already(&receipt.outcome, receipt.at_ms)),
        Some(_) | None => Ok(readable),
    }
}

/// Has the person type each value that is new, as it stands there; `Line` once all are typed.
pub(super) fn type_new_values(readable: &Readable, patience: Duration) -> Result<Typed> {
    for value in &readable.marks.first_time {
        let question = format!("New {}: {}\n  Type it to go on: ", value.kind, spelt(&value.text));
        match terminal::ask(&question, patience)? {
            Typed::Line(line) if is_typed(value, &line) => {}
            Typed::Line(_) => {
                let message = format!("that is not the {}; nothing was approved", value.kind);
                let fix = "Look where it comes from, then show the draft again; a wrong one is corrected in the draft.";
                return Err(Fault::operator("not_typed", message, fix).into());
            }
            other @ (Typed::Nothing | Typed::Ended) => return Ok(other),
        }
    }
    Ok(Typed::Line(String::new()))
}

/// Addresses and hosts are the same in any case; names, accounts and amounts are typed as they are.
fn is_typed(value: &MarkedValue, line: &str) -> bool {
    match value.kind {
        ValueKind::Recipient | ValueKind::Link => value.text.eq_ignore_ascii_case(line),
        ValueKind::Payee | ValueKind::Account | ValueKind::Amount | ValueKind::Agent => value.text == line,
    }
}

/// Signs, hands over, and says what the send waits for.
pub(super) fn sign(
    (home, roster): (&Home, &Roster),
    desk: &mut Desk,
    client: &mut Client,
    keys: &OwnerKeys,
    item: &Item,
    again: bool,
) -> Result<()> {
    let readable = approvable(desk, item, again)?;
    let repeated = desk.repeated(&readable.action).filter(|_| again);
    let repeat_of = repeated.map(reviewer::nonce_of).transpose()?;
    let now = shell::clock::now();
    desk.approve(home, client, roster, keys, item, Terms { repeat_of, now })?;
    let kind = readable.action.kind();
    let (not_before, why) = desk.policy.not_before(kind, now, &desk.done(kind), now);
    if not_before > now {
        print::talk(format!(
            "It waits until {not_before}: {why}. `aiemp-node approvals cancel {}` calls it back.",
            item.id
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_value_is_typed_as_it_stands() {
        let value = |kind, text: &str| MarkedValue { kind, text: text.to_owned(), account: String::new() };
        let recipient = value(ValueKind::Recipient, "a@client.test");
        assert!(is_typed(&recipient, "a@client.test") && is_typed(&recipient, "A@Client.test"));
        for other in ["", "y", "a@client.tes", "b@client.test"] {
            assert!(!is_typed(&recipient, other), "{other}");
        }
        assert!(!is_typed(&value(ValueKind::Link, "p\u{430}ypal.test"), "paypal.test"), "a look-alike");
        assert!(is_typed(&value(ValueKind::Amount, "1500.00 EUR"), "1500.00 EUR"));
        assert!(!is_typed(&value(ValueKind::Amount, "1500.00 EUR"), "1500"));
        assert!(!is_typed(&value(ValueKind::Account, "DE89 3704"), "de89 3704"));
    }
}
