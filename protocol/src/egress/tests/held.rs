//! What is held, what its reason says, and what a release lets through.

use super::*;

fn path(text: &str) -> VaultPath {
    VaultPath::parse(text).unwrap()
}

fn clear(guard: &Guard, text: &str) -> Result<(), Held> {
    guard.clear_file(&path("Inbox/a.md"), Audience::All, text.as_bytes().to_vec()).map(|_| ())
}

fn with_release(of: &str) -> Guard {
    let mut releases = Releases::new(FingerprintKey::from_bytes([9; 32]));
    let guard = guard().with_releases(releases.clone());
    releases.add(guard.release(of.as_bytes()).unwrap());
    guard.with_releases(Releases::from_bytes(&releases.to_bytes()).unwrap())
}

#[test]
fn reasons_say_where_and_what_to_do_next() {
    let text = |held: Result<(), Held>| held.unwrap_err().to_string();
    assert_eq!(
        text(clear(&guard(), &expand("one\ntwo\nglpat-{w20}"))),
        "line 3 holds what looks like a credential (gitlab-token): take it out of the note, or release it with \
         `aiemp-node egress release ID`"
    );
    assert_eq!(
        text(clear(&guard(), "correct-horse-9")),
        "the text contains the secret `smtp`: take it out of the note, or release it with `aiemp-node egress release ID`"
    );
    assert_eq!(
        text(clear(&guard(), "planted-by-hand")),
        "the canary `bait` stands in it: something read the place where it was planted; find out what, and take it out, \
         for it cannot be released"
    );
    let named = guard().clear_file(&path("Inbox/correct-horse-9.md"), Audience::All, Vec::new());
    assert_eq!(
        named.unwrap_err().to_string(),
        "the name of the file holds the secret `smtp`: rename the file, it then syncs by itself"
    );
}

#[test]
fn all_hits_of_a_file_are_listed_by_line() {
    let text = expand("smtp: correct-horse-9\n\nglpat-{w20} and correct-horse-9\nplanted-by-hand\n");
    let listed: Vec<String> =
        guard().hits(text.as_bytes()).iter().map(|hit| format!("{} {}", hit.line, hit.kind)).collect();
    let expected = [
        "1 the secret `smtp`",
        "3 the secret `smtp`",
        "3 what looks like a credential (gitlab-token)",
        "4 the canary `bait`",
    ];
    assert_eq!(listed, expected);
}

#[test]
fn a_canary_comes_before_all_else() {
    let text = expand("correct-horse-9\nglpat-{w20}\nplanted-by-hand\n");
    assert_eq!(clear(&guard(), &text), Err(Held::Canary { name: "bait".to_owned() }));
}

#[test]
fn a_released_file_passes_and_so_do_its_payload_and_its_next_edit() {
    let text = expand("smtp: correct-horse-9\nglpat-{w20}\n");
    let guard = with_release(&text);
    assert_eq!(clear(&guard, &text), Ok(()));
    assert!(guard.hits(text.as_bytes()).iter().all(|hit| hit.released));
    let payload = [b"\x85\x6f\x4a\x83\x01 head ", text.as_bytes(), b" \x00\x7f tail"].concat();
    assert_eq!(guard.check_payload(Role::Cloud, &payload), Ok(()));
    assert!(guard.clear_text(format!("Answer this: {text}")).is_ok());
    assert_eq!(clear(&guard, &format!("{text}\nA new line.\n")), Ok(()));
}

#[test]
fn another_value_is_held_after_a_release() {
    let guard = with_release(&expand("glpat-{w20}"));
    let other = expand("glpat-{A20}");
    assert_eq!(clear(&guard, &other), Err(Held::Credential { kind: "gitlab-token", line: 1 }));
    assert_eq!(
        guard.check_payload(Role::Cloud, other.as_bytes()),
        Err(Held::Credential { kind: "gitlab-token", line: 1 })
    );
    assert!(clear(&guard, "correct-horse-9").is_err());
}

#[test]
fn neither_a_canary_nor_a_name_is_released() {
    let releases = Releases::new(FingerprintKey::from_bytes([9; 32]));
    let refused = guard().with_releases(releases).release(b"planted-by-hand");
    assert_eq!(refused, Err(Held::Canary { name: "bait".to_owned() }));
    let guard = with_release("correct-horse-9");
    let named = guard.clear_file(&path("Inbox/correct-horse-9.md"), Audience::All, b"correct-horse-9".to_vec());
    assert!(matches!(named, Err(Held::Name { .. })));
    let never = guard.clear_file(&path("Inbox/.env"), Audience::All, b"correct-horse-9".to_vec());
    assert_eq!(never.map(|_| ()), Err(Held::Path(NeverPath::DotName)));
}

#[test]
fn a_release_taken_back_holds_again() {
    let text = "correct-horse-9";
    let mut releases = Releases::new(FingerprintKey::from_bytes([9; 32]));
    releases.add(guard().with_releases(releases.clone()).release(text.as_bytes()).unwrap());
    assert!(releases.withdraw(ContentHash::of(text.as_bytes())));
    assert!(clear(&guard().with_releases(releases), text).is_err());
}

#[test]
fn a_release_names_no_value() {
    let releases = Releases::new(FingerprintKey::from_bytes([9; 32]));
    let guard = guard().with_releases(releases.clone());
    let mut stored = releases;
    stored.add(guard.release(b"correct-horse-9").unwrap());
    assert!(!stored.to_bytes().windows(8).any(|part| b"correct-horse-9".windows(8).any(|secret| secret == part)));
}

#[test]
fn local_files_and_payloads_for_local_pass() {
    let text = "correct-horse-9".to_owned();
    assert!(guard().clear_file(&path("Private/a.md"), Audience::Local, text.clone().into_bytes()).is_ok());
    assert_eq!(guard().check_payload(Role::Local, text.as_bytes()), Ok(()));
    assert!(guard().check_payload(Role::Cloud, text.as_bytes()).is_err());
}

#[test]
fn many_credentials_hide_no_known_secret_on_cloud() {
    let example = expand(rules::every().next().expect("a rule").found[0]);
    let hidden = data_encoding::HEXLOWER.encode(b"correct-horse-9");
    let text = format!("{}{hidden}\n", format!("{example}\n").repeat(1_100));
    let path = VaultPath::parse("Plans/a.md").unwrap();
    let clear = |text: &str| guard().at_cloud().clear_file(&path, Audience::All, text.as_bytes().to_vec());
    assert!(clear(&text.replace(&hidden, "nothing")).is_ok(), "Cloud looks for no formats in files");
    assert!(matches!(clear(&text), Err(Held::KnownSecret { .. })), "{:?}", clear(&text).err());
}
