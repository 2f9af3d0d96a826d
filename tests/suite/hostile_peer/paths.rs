//! Names that no file of a vault may have.

use aiemp_protocol::zone::Zone;

use super::{
    Case, Expect,
    entries::first,
    forge::{self, Item, MARK},
};

/// A new file with a name below `Plans/`, or anywhere.
fn at(path: impl Into<String>, expect: Expect) -> Case {
    let path = path.into();
    let shown: String = path.chars().take(60).collect();
    first(&format!("a file at {shown:?}"), expect, move |draft| {
        draft.items = vec![Item::new(forge::file(Zone::Drafts, "name"), &path, MARK.as_bytes())];
    })
}

pub(super) fn cases() -> Vec<Case> {
    let outside_the_form = [
        "../escaped.md",
        "Plans/../../escaped.md",
        "/tmp/escaped.md",
        "Plans//x.md",
        "Plans/x.md/",
        "Plans/x\0.md",
        "Plans/x\n.md",
        "Plans\\..\\x.md",
        "Plans/x.md:stream",
        "Plans/. ./x.md",
        "Plans/\u{200b}/x.md",
        "",
    ];
    let never = [
        ".git/config",
        "Plans/.git/hooks/pre-commit",
        ".obsidian/plugins/x/main.js",
        "Plans/.obsidian/x.json",
        "Plans/CLAUDE.md",
        "Plans/claude.md ",
        "Plans/Cl\u{200b}aude.md",
        "Plans/\u{ff23}LAUDE.md",
        "Plans/AGENTS.md.",
        "Plans/id_ed25519",
        "Plans/x.env",
        "Plans/\u{ff0e}ssh",
    ];
    let mut cases: Vec<_> = outside_the_form.map(|path| at(path, Expect::Frozen("malformed"))).into_iter().collect();
    cases.push(at(format!("Plans/{}", "x".repeat(256)), Expect::Frozen("malformed")));
    let long = format!("Plans/{}", "x".repeat(199) + "/");
    cases.push(at(format!("{}x.md", long.repeat(5)), Expect::Frozen("malformed")));
    cases.extend(never.map(|path| at(path, Expect::Frozen("path_outside_zone"))));
    cases
}
