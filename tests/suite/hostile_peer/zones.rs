//! Items in the zones of others.

use aiemp_protocol::{
    ids::{Audience, FileId},
    zone::Zone,
};

use super::{
    Case, Expect,
    attack::Attack,
    entries::note,
    forge::{self, Item, MARK},
};
use crate::node::PATIENCE;

const FOREIGN: Expect = Expect::Frozen("foreign_zone");
const OUTSIDE: Expect = Expect::Frozen("path_outside_zone");
const LEAK: Expect = Expect::Frozen("audience_mismatch");

/// An entry of a new log with these items.
fn items(name: impl Into<String>, expect: Expect, items: impl Fn(&Attack) -> Vec<Item> + 'static) -> Case {
    Case::new(name, expect, move |attack| {
        attack.new_log();
        let items = items(attack);
        attack.send_draft(&attack.draft(items));
    })
}

fn content() -> String {
    format!("{MARK}\n")
}

/// A new file with the id of this zone.
fn at(path: &'static str, zone: Zone, expect: Expect) -> Case {
    items(format!("a file of {zone:?} at {path}"), expect, move |_| {
        vec![Item::new(forge::file(zone, path), path, content().as_bytes())]
    })
}

fn written() -> Vec<Case> {
    let owner = ["Approved/pay.md", "Done/pay.md", "Rejected/pay.md", "Company_Handbook.md", "Business_Goals.md"];
    let mut cases: Vec<_> = owner.map(|path| at(path, Zone::Owner, FOREIGN)).into_iter().collect();
    let private = ["Dashboard.md", "Private/pay.md", "Accounting/pay.md", "pay.md", "Briefings/x.md"];
    cases.extend(private.map(|path| at(path, Zone::Private, LEAK)));
    for path in ["Approved/pay.md", "Company_Handbook.md", "Private/pay.md", "Dashboard.md", "approved./pay.md"] {
        cases.push(at(path, Zone::Drafts, OUTSIDE));
    }
    cases.push(at("Plans/pay.md", Zone::Intake, OUTSIDE));
    cases.push(at("In_Progress/nobody/pay.md", Zone::Drafts, OUTSIDE));
    cases.push(at("In_Progress/pay.md", Zone::Drafts, OUTSIDE));
    cases.push(items("a file in Local's claim folder", FOREIGN, |attack| {
        let file = forge::file(Zone::Claim(attack.local), "claim");
        vec![Item::new(file, "In_Progress/local/pay.md", content().as_bytes())]
    }));
    cases.push(items("a file of Cloud's claim folder at Local's", OUTSIDE, |attack| {
        let file = forge::file(Zone::Claim(attack.me), "claim");
        vec![Item::new(file, "In_Progress/local/pay.md", content().as_bytes())]
    }));
    cases
}

/// The id that Local gave a note of its own.
fn of_local(attack: &Attack) -> FileId {
    // The same that Local gave when it took the note up: only the zone counts here.
    forge::file(Zone::Owner, &attack.local.to_string())
}

fn changed() -> Vec<Case> {
    vec![
        items("an owner's file archived", FOREIGN, |attack| vec![Item::archive(of_local(attack))]),
        items("a change of an owner's file", FOREIGN, |attack| {
            vec![Item::change(of_local(attack), b"Be kind.\n", b"no change")]
        }),
        items("an owner's file moved", FOREIGN, |attack| vec![Item::set_path(of_local(attack), "Plans/pay.md")]),
        items("a private file archived", LEAK, |_| vec![Item::archive(forge::file(Zone::Private, "x"))]),
        items("a change of a private file", LEAK, |_| {
            vec![Item::change(forge::file(Zone::Private, "x"), b"", b"no change")]
        }),
        items("a file of Local's claim folder archived", FOREIGN, |attack| {
            vec![Item::archive(forge::file(Zone::Claim(attack.local), "x"))]
        }),
        items("what a draft said, in other words", FOREIGN, |_| {
            vec![Item::compacted(forge::file(Zone::Drafts, "x"), b"Be kind.\n", content().as_bytes())]
        }),
        items("a draft moved to Approved", OUTSIDE, |_| {
            vec![Item::set_path(forge::file(Zone::Drafts, "x"), "Approved/x.md")]
        }),
        items("a claim into Local's folder", FOREIGN, |attack| {
            let (from, to) = (forge::file(Zone::Intake, "t"), forge::file(Zone::Claim(attack.local), "t"));
            vec![Item::claim(forge::digest("work"), from, to, 1000)]
        }),
        items("a claim into Approved", FOREIGN, |_| {
            let (from, to) = (forge::file(Zone::Intake, "t"), forge::file(Zone::Owner, "t"));
            vec![Item::claim(forge::digest("work"), from, to, 1000)]
        }),
        items("a claim of a private task", LEAK, |attack| {
            let (from, to) = (forge::file(Zone::Private, "t"), forge::file(Zone::Claim(attack.me), "t"));
            vec![Item::claim(forge::digest("work"), from, to, 1000)]
        }),
        items("the last of 256 items in a foreign zone", FOREIGN, |attack| {
            let mut items: Vec<_> = (0..255).map(|_| Item::base(b"x", 1)).collect();
            items.push(Item::archive(of_local(attack)));
            items
        }),
    ]
}

/// What is valid and has no effect.
fn without_effect() -> Vec<Case> {
    let appended = |name: &str, items: fn(&Attack) -> Vec<Item>| {
        Case::new(name, Expect::Ignored, move |attack: &mut Attack| {
            attack.new_log();
            let items = items(attack);
            let seq = attack.draft(Vec::new()).seq;
            attack.append(items);
            let taken = |attack: &Attack| attack.standing(attack.generation)["entries"] == seq;
            assert!(attack.pump(PATIENCE, taken), "it is valid");
        })
    };
    vec![
        appended("a conflict that there is not, resolved", |_| vec![Item::resolve(forge::digest("conflict"), "cloud")]),
        appended("a claim for 2^64 - 1 ms", |attack| {
            let (from, to) = (forge::file(Zone::Intake, "t"), forge::file(Zone::Claim(attack.me), "t"));
            vec![Item::claim(forge::digest("work"), from, to, u64::MAX)]
        }),
        appended("a file that there is not, archived", |_| vec![Item::archive(forge::file(Zone::Drafts, "none"))]),
        appended("a change of a file that there is not", |_| {
            vec![Item::change(forge::file(Zone::Drafts, "none"), b"", &aiemp_change())]
        }),
        appended("one file made twice at two places", |_| {
            let file = forge::file(Zone::Drafts, "twice");
            vec![Item::new(file, "Plans/a.md", b"a\n"), Item::new(file, "Plans/b.md", b"b\n")]
        }),
        appended("256 files at one place", |_| {
            let file = |number: u64| forge::file(Zone::Drafts, &number.to_string());
            (0..256).map(|number| Item::new(file(number), "Plans/same.md", number.to_string().as_bytes())).collect()
        }),
    ]
}

fn aiemp_change() -> Vec<u8> {
    let actor = automerge::ActorId::from(&[7; 16]);
    aiemp_crdt::document::Document::import("one\n").edit("two\n", actor).expect("a change")
}

/// A conflict in an owner's zone is Local's to resolve.
fn resolved() -> Case {
    Case::new("resolving whatever is open", Expect::Ignored, |attack| {
        attack.new_log();
        let open = |attack: &Attack| attack.pair.local.json(&["status", "--json"])["conflicts"].clone();
        let before = open(attack);
        attack.append(vec![note("beside"), Item::resolve(forge::digest("open"), "both")]);
        assert!(attack.pump(PATIENCE, |attack| attack.pair.local.read("Plans/beside.md").is_some()));
        assert_eq!(open(attack), before);
    })
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = written();
    cases.extend(changed());
    cases.extend(without_effect());
    cases.push(resolved());
    cases.push(Case::new("a private log of Cloud's own", Expect::Closed("AudienceLeak"), |attack| {
        attack.new_log();
        let log = aiemp_protocol::ids::LogId { audience: Audience::Local, ..attack.own() };
        let draft = attack.draft(vec![note("private")]);
        let cose = forge::sign(&attack.peer.signer, attack.mesh, log, None, &draft.to_bytes());
        attack.peer.send(&aiemp_protocol::frame::Frame::Entry { log, cose, payloads: vec![None] });
    }));
    cases
}
