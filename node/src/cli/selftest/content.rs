//! Attacks by what is in names and contents: places outside the vault, secrets on their way out, bombs.

use aiemp_keys::{FingerprintKey, Fingerprints, random};
use aiemp_protocol::{egress::Guard, ids::Audience, vault_path::VaultPath};
use anyhow::Result;
use data_encoding::{BASE64, HEXLOWER};

use super::{Tried, mesh::Mesh};

/// Names that must lie in no log: outside the vault, or read by agents and programs as orders or credentials.
const NAMES: [&str; 24] = [
    "../outside.md",
    "Plans/../../outside.md",
    "/etc/passwd",
    "Plans//a.md",
    "Plans/./a.md",
    "Plans/a\u{0}.md",
    "Plans/a\n.md",
    "C:\\outside.md",
    "Plans\\..\\outside.md",
    ".git/config",
    "Plans/.git/hooks/pre-commit",
    "Plans/.env",
    "Plans/prod.env",
    "Plans/id_ed25519",
    "Plans/server.key",
    "Plans/token.json",
    "Plans/CLAUDE.md",
    "Plans/claude.MD",
    "Plans/AGENTS.md",
    "Plans/SKILL.md",
    "Plans/.mcp.json",
    ".obsidian/plugins/x/main.js",
    "Plans/CLAUDE\u{200b}.md",
    "Plans/\u{ff23}LAUDE.md",
];

pub(super) fn attacks() -> Result<Vec<Tried>> {
    let mesh = Mesh::found()?;
    let roster = mesh.rosters.current();
    let takes = |name: &&&str| VaultPath::parse(name).is_ok_and(|path| roster.zone_of(&path).is_ok());
    let taken = NAMES.iter().filter(takes).count();
    let mut tried = vec![Tried::all_refused("hostile names of notes", taken, NAMES.len())];
    tried.push(secrets()?);
    tried.push(formats()?);
    tried.push(changes());
    Ok(tried)
}

/// A stored secret in the spellings that a note might give it.
fn secrets() -> Result<Tried> {
    let secret = HEXLOWER.encode(&random::array::<12>()?);
    let mut known = Fingerprints::new(FingerprintKey::generate()?);
    known.add("mail", secret.as_bytes())?;
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let spaced: String = secret.chars().flat_map(|letter| [letter, '\u{200b}']).collect();
    let broken = format!("{}\n  {}", &secret[..9], &secret[9..]);
    let spellings = [
        secret.clone(),
        BASE64.encode(secret.as_bytes()),
        HEXLOWER.encode(secret.as_bytes()),
        percent,
        spaced,
        broken,
        format!("password: \"{secret}\""),
    ];
    let guard = Guard::new(known);
    Ok(held_by(&guard, "a stored secret, in several spellings, leaves in a note", &spellings))
}

/// Made-up keys in the formats of providers; put together here, so that none stands in this file.
fn formats() -> Result<Tried> {
    let made_up = [
        ["gl", "pat-", "Zx9Qw3Er7Ty1Ui5Op2As"].concat(),
        ["-----BEGIN ", "PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n"].concat(),
        ["sk_", "live_", "4eC39HqLyjWDarjtT1zdp7dc"].concat(),
    ];
    let guard = Guard::new(Fingerprints::new(FingerprintKey::generate()?));
    Ok(held_by(&guard, "keys in the formats of providers leave in a note", &made_up))
}

fn held_by(guard: &Guard, name: &str, texts: &[String]) -> Tried {
    let path = VaultPath::parse("Plans/note.md").expect("a plain name");
    let note = |text: &String| format!("# Note\n\nhere it is: {text}\n").into_bytes();
    let passed = texts.iter().filter(|text| guard.clear_file(&path, Audience::All, note(text)).is_ok()).count();
    Tried::all_refused(name, passed, texts.len())
}

/// Bytes that are no change of a note.
fn changes() -> Tried {
    let document = b"\x85\x6f\x4a\x83\x00\x00\x00\x00\x00\x01\x00".to_vec();
    let compressed = b"\x85\x6f\x4a\x83\x00\x00\x00\x00\x02\x05\x78\x9c\x03\x00\x00".to_vec();
    let endless = [b"\x85\x6f\x4a\x83\x00\x00\x00\x00\x01".as_slice(), &[0xff; 9], &[0x7f]].concat();
    let hostile = [Vec::new(), vec![0; 64], document, compressed, endless, vec![0x85; 2 << 20]];
    let taken = hostile.iter().filter(|raw| aiemp_crdt::vet::screen(raw).is_ok()).count();
    Tried::all_refused("bytes that are no change of a note", taken, hostile.len())
}
