//! What becomes of two vaults, said before the root key admits the other node.

use std::path::Path;

use aiemp_keys::{OwnerKeys, Signer};
use aiemp_protocol::{
    action::spelt,
    ids::Audience,
    pairing::{Answered, Gathering, Inventory, Message, Plan},
    roster::Roster,
    vault_path::VaultPath,
};
use anyhow::Result;
use serde_json::{Value, json};

use super::super::{owner, print};
use crate::{
    fault::Fault,
    shell::{
        network::PairingStream,
        other_syncs::{self, Remote},
        vault_disk::{DiskError, Stock},
    },
};

/// Names of each kind at a terminal, and in JSON.
const FIRST: usize = 3;
const FIRST_IN_JSON: usize = 20;

/// What lies here, read before the process is walled off from the vault.
pub(super) struct Own {
    inventory: Result<Inventory, DiskError>,
    remotes: Vec<Remote>,
}

/// What the person said before, by options.
#[derive(Clone, Copy)]
pub(super) struct Agreed {
    /// To the words and to the plan.
    pub(super) all: bool,
    /// That Cloud may reach this vault by git.
    pub(super) shared_remote: bool,
}

impl Own {
    pub(super) fn of(vault: &Path, roster: &Roster) -> Self {
        let remotes = other_syncs::remotes(vault);
        let is_shared = |path: &VaultPath| roster.zone_of(path).is_ok_and(|zone| zone.audience() == Audience::All);
        let digests = remotes.iter().map(|remote| remote.digest).collect();
        let inventory = Stock::of(vault).map(|stock| Inventory::of(stock.read(is_shared), digests));
        Self { inventory, remotes }
    }
}

/// Asks the other side what it holds, says what becomes of it, and has the person agree. The plan, if it is known.
pub(super) async fn agree(
    stream: &mut PairingStream,
    answered: &Answered,
    keys: &OwnerKeys,
    node: &Signer,
    own: &Own,
    agreed: Agreed,
) -> Result<Option<Plan>> {
    if answered.is_member() {
        // The two vaults have met.
        return Ok(None);
    }
    let plan = match &own.inventory {
        Err(error) => {
            print::talk(format!("What becomes of the two vaults is not known: {error}."));
            None
        }
        Ok(_) if !stream.says_inventory() => {
            print::talk(
                "What becomes of the two vaults is not known: the Cloud node is of an older version, which does not",
            );
            print::talk("say what its vault holds. Of what both hold, nothing is lost; equal files may show up twice.");
            None
        }
        Ok(here) => {
            stream.send(&answered.want_inventory(&keys.root, node)).await?;
            let plan = answered.plan(here, &gather(stream).await?);
            lines(&plan).iter().for_each(print::talk);
            Some(plan)
        }
    };
    let shared = plan.as_ref().map(|plan| shared_with(plan, &own.remotes)).unwrap_or_default();
    if !shared.is_empty() && !agreed.shared_remote {
        return Err(refuse(stream, "both vaults are kept in step by git", shared_remote(&shared)).await?.into());
    }
    let is_clear = plan.as_ref().is_some_and(Plan::is_of_an_empty_vault);
    if !is_clear && !agreed.all && !owner::confirm("Pair the two?") {
        let fault = Fault::operator(
            "not_confirmed",
            "not paired: nothing was changed",
            "Run pair invite and pair accept again.",
        );
        return Err(refuse(stream, "the person did not want it", fault).await?.into());
    }
    Ok(plan)
}

async fn gather(stream: &mut PairingStream) -> Result<Inventory> {
    let mut gathering = Gathering::default();
    loop {
        let taken = gathering.take(stream.receive().await?);
        let taken = taken.map_err(|error| Fault::operator("pairing", error.to_string(), "Nothing was changed."))?;
        if let Some(whole) = taken {
            return Ok(whole);
        }
    }
}

async fn refuse(stream: &mut PairingStream, reason: &str, fault: Fault) -> Result<Fault> {
    stream.send(&Message::Refused { reason: reason.to_owned() }).await?;
    Ok(fault)
}

fn shared_with(plan: &Plan, remotes: &[Remote]) -> Vec<String> {
    let shared = remotes.iter().filter(|remote| plan.shared_remotes.contains(&remote.digest));
    let mut shown: Vec<_> = shared.map(|remote| remote.shown.clone()).collect();
    shown.dedup();
    shown
}

fn shared_remote(shared: &[String]) -> Fault {
    Fault::operator(
        "shared_remote",
        format!(
            "git keeps both vaults in step with {}: what the Cloud node writes would come in there as yours",
            shared.join(", ")
        ),
        "In the vault of one of the two run `git remote remove NAME`, and end what pulls and pushes there by itself. Or give \
         --accept-shared-remote. Then run pair invite and pair accept again.",
    )
}

/// The kinds of places in a plan, with what becomes of them.
fn kinds(plan: &Plan) -> [(&'static str, &'static str, &[VaultPath], &'static str); 6] {
    [
        ("equal", "the same on both", &plan.equal, ""),
        ("only_here", "only here", &plan.only_here, ""),
        ("only_there", "only there", &plan.only_there, ""),
        (
            "different",
            "different",
            &plan.different,
            "both stay: yours has the name, the other a number, and `conflicts` lists them",
        ),
        (
            "overruled",
            "different, yours stand",
            &plan.overruled,
            "only Local writes there; the other is kept on the Cloud node, under mesh/holds",
        ),
        (
            "left_there",
            "only there, do not come",
            &plan.left_there,
            "only Local writes there: copy them into this vault to have them",
        ),
    ]
}

fn lines(plan: &Plan) -> Vec<String> {
    if plan.is_of_an_empty_vault() {
        return vec![format!("Its vault is empty. Files of yours that go there: {}", plan.only_here.len())];
    }
    let mut lines = vec!["Of the folders that both will share:".to_owned()];
    for (key, what, places, then) in kinds(plan) {
        if places.is_empty() {
            continue;
        }
        let named = if key == "equal" { String::new() } else { named(places) };
        lines.push(format!("  {what:<24} {:>6}  {named}", places.len()).trim_end().to_owned());
        if !then.is_empty() {
            lines.push(format!("  {:24} {:>6}  {then}", "", ""));
        }
    }
    if plan.unlisted > 0 {
        lines.push(format!("  {:<24} {:>6}  more than are compared", "there as well", plan.unlisted));
    }
    lines
}

/// The first names, as a terminal may show them.
fn named(places: &[VaultPath]) -> String {
    let first = places.iter().take(FIRST).map(|path| spelt(path.as_str())).collect::<Vec<_>>().join(", ");
    match places.len().saturating_sub(FIRST) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

pub(super) fn to_json(plan: Option<&Plan>) -> Value {
    let Some(plan) = plan else { return json!({ "known": false }) };
    let mut value = json!({ "known": true, "unlisted": plan.unlisted, "shared_remotes": plan.shared_remotes.len() });
    for (key, _, places, _) in kinds(plan) {
        let first: Vec<_> = places.iter().take(FIRST_IN_JSON).map(VaultPath::as_str).collect();
        value[key] = json!({ "count": places.len(), "first": first });
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<VaultPath> {
        names.iter().map(|name| VaultPath::parse(name).expect("a path")).collect()
    }

    #[test]
    fn a_plan_names_the_first_of_each_kind_and_spells_out_what_steers_a_terminal() {
        let plan = Plan {
            equal: paths(&["Plans/same.md"]),
            only_here: paths(&["Plans/a.md", "Plans/b.md", "Plans/c.md", "Plans/d.md"]),
            only_there: paths(&["Plans/\u{202e}dm.x"]),
            different: paths(&["Plans/both.md"]),
            unlisted: 7,
            ..Plan::default()
        };
        assert_eq!(
            lines(&plan).join("\n"),
            "Of the folders that both will share:\n\
             \x20 the same on both              1\n\
             \x20 only here                     4  Plans/a.md, Plans/b.md, Plans/c.md and 1 more\n\
             \x20 only there                    1  Plans/[U+202E RIGHT-TO-LEFT OVERRIDE]dm.x\n\
             \x20 different                     1  Plans/both.md\n\
             \x20                                  both stay: yours has the name, the other a number, and `conflicts` lists them\n\
             \x20 there as well                 7  more than are compared"
        );
        let empty = Plan { only_here: paths(&["Plans/a.md"]), ..Plan::default() };
        assert_eq!(lines(&empty), ["Its vault is empty. Files of yours that go there: 1"]);
        let value = to_json(Some(&plan));
        assert_eq!(value["only_here"]["count"], 4);
        assert_eq!(value["different"]["first"], json!(["Plans/both.md"]));
        assert_eq!(to_json(None), json!({ "known": false }));
    }
}
