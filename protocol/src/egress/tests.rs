//! What the guard holds and what it lets pass.

mod encodings;
mod held;
mod made_up;
pub(crate) mod notes;
pub(crate) mod prose;
mod same;
mod speed;

use std::collections::BTreeSet;

use super::*;
use made_up::expand;

fn guard() -> Guard {
    let mut set = Fingerprints::new(FingerprintKey::from_bytes([7; 32]));
    set.add("smtp", b"correct-horse-9").unwrap();
    set.add("wlan", "sch\u{f6}ne Gr\u{fc}\u{df}e 77".as_bytes()).unwrap();
    set.add_canary("bait", b"planted-by-hand").unwrap();
    Guard::new(set)
}

fn kinds(text: &str) -> BTreeSet<String> {
    let named = |hit: Hit| match hit.kind {
        HitKind::Credential { kind } => kind.to_owned(),
        HitKind::KnownSecret { name } | HitKind::Canary { name } => name,
    };
    guard().hits(text.as_bytes()).into_iter().map(named).collect()
}

#[test]
fn every_rule_finds_its_examples_and_no_rule_finds_what_resembles_them() {
    let mut wrong = Vec::new();
    for rule in rules::every() {
        assert!(!rule.found.is_empty() && !rule.clean.is_empty(), "{} has an example of each", rule.kind);
        for example in rule.found {
            let text = format!("A note.\n\n{}\n", expand(example));
            if !kinds(&text).contains(rule.kind) {
                wrong.push(format!("{} does not see {text:?}, seen: {:?}", rule.kind, kinds(&text)));
            }
        }
        for example in rule.clean {
            let text = format!("A note.\n\n{} and so on\n", expand(example));
            if !kinds(&text).is_empty() {
                wrong.push(format!("{:?} seen in {text:?}, of {}", kinds(&text), rule.kind));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn more_than_a_hundred_kinds_are_known() {
    let kinds: BTreeSet<&str> = rules::every().map(|rule| rule.kind).collect();
    assert!(kinds.len() > 100, "{}", kinds.len());
}

#[test]
fn a_credential_is_found_whatever_stands_around_it() {
    let token = expand("glpat-{w20}");
    for around in
        ["\"@\"", "(@)", "`@`", "x=@", "@.", "@,", "<@>", "\\n@\\n", "[@]", "key:@;", "|@|", "/@/", "\u{201e}@\u{201c}"]
    {
        assert!(kinds(&around.replace('@', &token)).contains("gitlab-token"), "{around}");
    }
}

#[test]
fn a_line_end_in_an_anchor_hides_nothing() {
    let mut missed = Vec::new();
    for rule in rules::every().filter(|rule| !rule.context) {
        for example in rule.found.iter().map(|example| expand(example)) {
            let Some((anchor, at)) = rule.anchors.iter().find_map(|anchor| Some((anchor, example.find(anchor)?)))
            else {
                continue;
            };
            let whole = kinds(&example).contains(rule.kind);
            let digits = example[at..].bytes().filter(u8::is_ascii_digit).count();
            for cut in (1..anchor.len()).filter(|_| whole && digits >= 4) {
                let (head, tail) = example.split_at(at + cut);
                if head.ends_with(' ') || tail.starts_with(' ') {
                    continue;
                }
                for end in ["\n", "\r\n", "=\r\n", "\n  "] {
                    let text = format!("A note.\n\n{head}{end}{tail}\n");
                    if !kinds(&text).contains(rule.kind) {
                        missed.push(format!("{}: {text:?}", rule.kind));
                    }
                }
            }
        }
    }
    assert!(missed.is_empty(), "{} missed\n{}", missed.len(), missed.join("\n"));
    let token = expand("glpat-{w20}");
    let twice = format!("gl\npat-{}\n{}", &token[6..16], &token[16..]);
    let found: Vec<_> = guard().hits(format!("one\n{twice}").as_bytes()).iter().map(|hit| hit.line).collect();
    assert_eq!(found, [2], "in the anchor and behind it");
}

#[test]
fn a_broken_value_ends_where_another_begins() {
    let lines = |text: &str| -> Vec<usize> { guard().hits(text.as_bytes()).iter().map(|hit| hit.line).collect() };
    let token = expand("glpat-{w20}");
    let broken = format!("{}\n{}", &token[..16], &token[16..]);
    let soft = format!("{}=\r\n{}", &token[..16], &token[16..]);
    assert_eq!(lines(&format!("{broken}\n{broken}\n{soft}\n{token}")), [1, 3, 5, 7]);
    assert_eq!(lines(&format!("glpat-ab1\n{token}")), [2]);
}

#[test]
fn what_was_looked_at_before_is_judged_as_if_it_was_not() {
    let path = VaultPath::parse("Plans/a.md").unwrap();
    let texts = [
        "nothing in it".to_owned(),
        format!("one token\n{}", expand("glpat-{w20}")),
        "the password is correct-horse-9".to_owned(),
        "planted-by-hand".to_owned(),
    ];
    let clear = |guard: &Guard, text: &str| guard.clear_file(&path, Audience::All, text.into()).map(|_| ());
    for text in &texts {
        let (often, at_cloud) = (guard(), guard().at_cloud());
        for _ in 0..3 {
            assert_eq!(clear(&often, text), clear(&guard(), text));
            assert_eq!(clear(&at_cloud, text), clear(&guard().at_cloud(), text));
            assert_eq!(
                often.check_payload(Role::Cloud, text.as_bytes()),
                guard().check_payload(Role::Cloud, text.as_bytes())
            );
            // A file may stay where it came from; out of any other door it does not go.
            let once = guard().at_cloud().check_payload(Role::Cloud, text.as_bytes());
            assert_eq!(at_cloud.check_payload(Role::Cloud, text.as_bytes()), once);
        }
    }
    // A guard that learnt of a secret is another one.
    let before = Guard::new(Fingerprints::new(FingerprintKey::from_bytes([7; 32])));
    assert_eq!(clear(&before, &texts[2]), Ok(()));
    assert!(clear(&guard(), &texts[2]).is_err());
}

#[test]
fn as_many_contents_as_come_are_remembered_up_to_a_bound() {
    let guard = guard();
    for number in 0..20_000 {
        assert_eq!(guard.check_payload(Role::Cloud, format!("note {number}").as_bytes()), Ok(()));
    }
    assert!(guard.clean.count() <= 8192);
}
