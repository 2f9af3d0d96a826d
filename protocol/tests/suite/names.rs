//! Hostile names: for each, whether it is a path at all, and in which zone it lies.

use std::cell::RefCell;

use aiemp_keys::{Hash, NodeId, Signer};
use aiemp_protocol::{
    action::{self, AttachmentInfo, DeriveContext},
    ids::{FileId, WorkId},
    vault_path::{VaultPath, VaultPathError},
    zone::{Claimants, NeverPath, Zone},
};

/// What becomes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    NoPath(VaultPathError),
    Never(NeverPath),
    In(Zone),
}

use Fate::{In, Never, NoPath};
use NeverPath::{DotName, InstructionName, SecretName, UnknownClaimant};
use VaultPathError::{Character, Escape, Length, NameLength};

struct Cloud(NodeId);

impl Claimants for Cloud {
    fn claimant(&self, name: &str) -> Option<NodeId> {
        (name == "cloud").then_some(self.0)
    }
}

fn cloud() -> Cloud {
    Cloud(NodeId::new(Signer::from_seed([7; 32]).public()))
}

fn fate(name: &str) -> Fate {
    match VaultPath::parse(name) {
        Err(error) => NoPath(error),
        Ok(path) => Zone::of(&path, &cloud()).map_or_else(Never, In),
    }
}

/// The names that agents take orders from, and folders of theirs.
const INSTRUCTIONS: [&str; 12] = [
    "CLAUDE.md",
    "CLAUDE.local.md",
    "AGENTS.md",
    "AGENTS.override.md",
    "GEMINI.md",
    "QWEN.md",
    "WARP.md",
    "SKILL.md",
    "SOUL.md",
    "mcp.json",
    "copilot-instructions.md",
    "claude_desktop_config.json",
];
const DOT_NAMES: [&str; 12] = [
    ".aiemp",
    ".git",
    ".obsidian",
    ".cursorrules",
    ".windsurfrules",
    ".clinerules",
    ".github/copilot-instructions.md",
    ".github/instructions/x.instructions.md",
    ".claude/settings.json",
    ".cursor/rules/x.mdc",
    ".mcp.json",
    ".env.local",
];
const SECRETS: [&str; 8] = [
    "token.json",
    "credentials.json",
    "id_ed25519",
    "client_secret_1.json",
    "bank.pem",
    "prod.env",
    "a_cookies.json",
    "Login Data",
];

fn full_width(text: &str) -> String {
    let wide = |c: char| match c {
        '!'..='~' if c != '/' => char::from_u32(u32::from(c) + 0xFEE0).unwrap_or(c),
        c => c,
    };
    text.chars().map(wide).collect()
}

fn bold(text: &str) -> String {
    let styled = |c: char| match c {
        'A'..='Z' => char::from_u32(0x1D400 + u32::from(c) - 65).unwrap_or(c),
        'a'..='z' => char::from_u32(0x1D41A + u32::from(c) - 97).unwrap_or(c),
        c => c,
    };
    text.chars().map(styled).collect()
}

fn mixed_case(text: &str) -> String {
    text.char_indices()
        .map(|(at, c)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() })
        .collect()
}

/// Every spelling of a name that some system, or some reader, takes for the name itself.
fn spellings(name: &str) -> Vec<String> {
    let (first, rest) = name.split_at(1);
    vec![
        name.to_owned(),
        name.to_uppercase(),
        name.to_lowercase(),
        mixed_case(name),
        full_width(name),
        bold(name),
        format!("{name} "),
        format!("{name}. . ."),
        format!("{name}\u{a0}"),
        format!("{name}\u{200d}"),
        format!("\u{feff}{name}"),
        format!("{first}\u{200b}{rest}"),
        format!("{first}\u{2064}{rest}\u{e0041}"),
        format!("{first}\u{fe0f}{rest}\u{202e}"),
    ]
}

fn generated() -> Vec<(String, Fate)> {
    let mut table = Vec::new();
    let families: [(&[&str], NeverPath); 3] =
        [(&INSTRUCTIONS, InstructionName), (&DOT_NAMES, DotName), (&SECRETS, SecretName)];
    for (names, why) in families {
        for (at, name) in names.iter().enumerate() {
            // Each at another depth, and in another zone.
            let folder = ["", "Plans/", "Inbox/a/b/", "Approved/x/", "In_Progress/cloud/", "Private/"][at % 6];
            for spelling in spellings(name) {
                table.push((format!("{folder}{spelling}"), Never(why)));
            }
        }
    }
    table
}

type Row = (&'static str, Fate);

fn no_paths() -> Vec<Row> {
    vec![
        // Ways out of the vault.
        ("", NoPath(Length)),
        ("..", NoPath(Escape)),
        ("../x", NoPath(Escape)),
        ("/etc/passwd", NoPath(Escape)),
        ("//host/share", NoPath(Escape)),
        ("Plans/../../x", NoPath(Escape)),
        ("Plans/./x", NoPath(Escape)),
        ("Plans//x", NoPath(Escape)),
        ("Plans/x/", NoPath(Escape)),
        ("Plans/. ./x", NoPath(Escape)),
        ("Plans/.. /x", NoPath(Escape)),
        ("Plans/... /x", NoPath(Escape)),
        ("Plans/ /x", NoPath(Escape)),
        ("Plans/..\u{200d}/x", NoPath(Escape)),
        ("Plans/\u{200b}../x", NoPath(Escape)),
        ("Plans/\u{200b}/x", NoPath(Escape)),
        ("Plans/\u{2060}\u{feff}", NoPath(Escape)),
        ("..\\..\\x", NoPath(Character)),
        ("C:\\x", NoPath(Character)),
        ("C:x", NoPath(Character)),
        ("\\\\?\\C", NoPath(Character)),
        ("file:///etc/passwd", NoPath(Character)),
        // Full-width slashes and dots are ordinary letters everywhere.
        ("Plans/a\u{ff0f}..\u{ff0f}b", In(Zone::Drafts)),
        ("Plans/\u{2215}etc\u{2215}passwd", In(Zone::Drafts)),
        ("Plans/%2e%2e%2fx", In(Zone::Drafts)),
        ("Plans/\u{2026} and then.md", In(Zone::Drafts)),
        // But a name that begins with one of these dots looks and folds like a hidden one.
        ("Plans/\u{ff0e}\u{ff0e}/x", Never(DotName)),
        ("Plans/\u{2024}git/config", Never(DotName)),
        ("Plans/\u{fe52}git/config", Never(DotName)),
        // Characters that some system cannot bear.
        ("Plans/a\0b", NoPath(Character)),
        ("Plans/a\nb", NoPath(Character)),
        ("Plans/a\rb", NoPath(Character)),
        ("Plans/a\tb", NoPath(Character)),
        ("Plans/a\u{1b}[2Jb", NoPath(Character)),
        ("Plans/a\u{7f}b", NoPath(Character)),
        ("Plans/a\u{85}b", NoPath(Character)),
        ("Plans/a:b", NoPath(Character)),
        ("Plans/x.md:stream", NoPath(Character)),
        ("Plans/CLAUDE.md::$DATA", NoPath(Character)),
    ]
}

fn odd_but_harmless() -> Vec<Row> {
    vec![
        // Shown with care, but names like any other: nothing is hidden in a folder of its own.
        ("Plans/\u{202e}dm.exe", In(Zone::Drafts)),
        ("Plans/\u{2066}a\u{2069}.md", In(Zone::Drafts)),
        ("Plans/a\u{2028}b.md", In(Zone::Drafts)),
        ("Plans/zero\u{200b}width.md", In(Zone::Drafts)),
        ("Plans/\u{1f469}\u{200d}\u{1f4bb}.md", In(Zone::Drafts)),
        ("Plans/e\u{301}\u{301}\u{301}.md", In(Zone::Drafts)),
        ("Plans/-rf", In(Zone::Drafts)),
        ("Plans/$(reboot)`x`;|&.md", In(Zone::Drafts)),
        ("Plans/~", In(Zone::Drafts)),
        ("Plans/con", In(Zone::Drafts)),
        ("Plans/NUL.md", In(Zone::Drafts)),
        ("Plans/COM1.txt", In(Zone::Drafts)),
        ("Plans/aux.md", In(Zone::Drafts)),
        ("Plans/git~1", In(Zone::Drafts)),
    ]
}

fn folders() -> Vec<Row> {
    let claim = Zone::Claim(cloud().0);
    vec![
        // Folders that look like another lie where nobody but Local writes, and only Local reads.
        ("\u{410}pproved/x.md", In(Zone::Private)),
        ("Appr\u{43e}ved/x.md", In(Zone::Private)),
        ("\u{420}lans/x.md", In(Zone::Private)),
        ("Plans\u{200b}/x.md", In(Zone::Private)),
        ("\u{ff30}lans/x.md", In(Zone::Private)),
        (" Plans/x.md", In(Zone::Private)),
        ("Approved\u{ff0f}x.md", In(Zone::Private)),
        ("Pending-Approval/x.md", In(Zone::Private)),
        ("Private/Approved/x.md", In(Zone::Private)),
        ("Dashboard.md/x", In(Zone::Private)),
        ("\u{421}LAUDE.md", In(Zone::Private)),
        // One folder whatever its spelling.
        ("plans/x.md", In(Zone::Drafts)),
        ("PLANS./x.md", In(Zone::Drafts)),
        ("Plans . /x.md", In(Zone::Drafts)),
        ("APPROVED/x.md", In(Zone::Owner)),
        ("approved. ./x.md", In(Zone::Owner)),
        ("Pending_Approva\u{17f}/x.md", In(Zone::Private)),
        ("\u{17f}ignals/x.md", In(Zone::Drafts)),
        ("company_HANDBOOK.md. ", In(Zone::Owner)),
        ("Plans/Company_Handbook.md", In(Zone::Drafts)),
        ("In_Progress/cloud/x.md", In(claim)),
        ("In_Progress/CLOUD./x.md", In(claim)),
        ("In_Progress/x.md", Never(UnknownClaimant)),
        ("In_Progress/local/x.md", Never(UnknownClaimant)),
        ("In_Progress/\u{441}loud/x.md", Never(UnknownClaimant)),
        ("In_Progress/cl\u{200b}oud/x.md", Never(UnknownClaimant)),
    ]
}

fn listed() -> Vec<(String, Fate)> {
    let rows = no_paths().into_iter().chain(odd_but_harmless()).chain(folders());
    let long = [("x".repeat(256), NoPath(NameLength)), ("a/".repeat(600) + "b.md", NoPath(Length))];
    rows.map(|(name, fate)| (name.to_owned(), fate)).chain(long).collect()
}

fn table() -> Vec<(String, Fate)> {
    generated().into_iter().chain(listed()).collect()
}

#[test]
fn every_hostile_name_has_its_fate() {
    let table = table();
    assert!(table.len() >= 500, "{}", table.len());
    let wrong: Vec<_> = table.iter().filter(|(name, expected)| fate(name) != *expected).collect();
    let told = |(name, expected): &&(String, Fate)| format!("{name:?}: {:?}, not {expected:?}\n", fate(name));
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.len(), wrong.iter().map(told).collect::<String>());
}

#[test]
fn a_name_cannot_be_smuggled_in_as_bytes_that_are_no_utf_8() {
    for overlong in [&b"\xc0\xae\xc0\xae"[..], b"\xe0\x80\xaf", b"\xc1\x9c", b"a\xffb", b"\xed\xa0\x80"] {
        assert!(std::str::from_utf8(overlong).is_err(), "{overlong:?}");
    }
}

#[test]
fn twins_are_one_place() {
    let key = |name: &str| VaultPath::parse(name).expect("a path").key();
    for (one, other) in [
        ("Plans/Caf\u{e9}.md", "Plans/Cafe\u{301}.md"),
        ("Plans/\u{212b}.md", "Plans/a\u{30a}.md"),
        ("Plans/README.md", "plans/readme.MD"),
        ("Plans/stra\u{df}e.md", "Plans/STRASSE.md"),
        ("Plans/x.md", "Plans/x.md. "),
        ("Plans/\u{3a3}.md", "Plans/\u{3c2}.md"),
        ("Plans/\u{ac00}.md", "Plans/\u{1100}\u{1161}.md"),
    ] {
        assert_eq!(key(one), key(other), "{one:?} {other:?}");
    }
}

/// A draft names its attachments itself: whatever it writes, only a path in the vault is ever asked for.
#[test]
fn an_attachment_is_looked_for_under_a_path_of_the_vault_alone() {
    let asked = RefCell::new(Vec::new());
    let find = |path: &str| -> Option<AttachmentInfo> {
        asked.borrow_mut().push(path.to_owned());
        None
    };
    let file = FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") };
    for (name, fate) in table() {
        let quoted = quoted(&name);
        let note = format!(
            "---\naction: email\nfrom: me@mine.test\nto: a@client.test\nsubject: x\nattachment: {quoted}\n---\nthe body\n"
        );
        let context = DeriveContext {
            file,
            fallback_work: WorkId(action::action_id(file)),
            default_hand: "outbox",
            default_from: None,
            attachment: &find,
        };
        let refused = action::derive(note.as_bytes(), &context).is_err();
        assert!(refused, "{name:?} is not in the vault");
        for path in asked.borrow_mut().drain(..) {
            assert!(VaultPath::parse(&path).is_ok(), "{name:?} asked for {path:?}");
            assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{name:?}: {fate:?}");
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
