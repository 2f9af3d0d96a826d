use proptest::prelude::*;

use super::*;
use crate::action::fixtures;

/// 2026-01-07T10:30:00Z.
const AT: Timestamp = Timestamp::from_millis(1_767_781_800_000);

fn policy(kind: ActionKind, rule: Rule) -> Policy {
    Policy { issued: AT, rules: BTreeMap::from([(kind, rule)]) }
}

fn names<const N: usize>(names: [&str; N]) -> Option<BTreeSet<String>> {
    Some(names.map(str::to_owned).into())
}

#[test]
fn recipients_are_an_address_or_a_domain_and_all_of_them_count() {
    let action = fixtures::email_to(&["Anna <Anna@Client.test>", "bob@partner.test"]);
    let breach = |recipients| policy(ActionKind::Email, Rule { recipients, ..Rule::default() }).breach(&action);
    assert_eq!(breach(None), None);
    assert_eq!(breach(names(["anna@client.test", "@partner.test"])), None);
    assert_eq!(breach(names(["@client.test"])), Some(Breach::Recipient("bob@partner.test".to_owned())));
    assert_eq!(breach(names(["@partner.test", "@t.test"])), Some(Breach::Recipient("anna@client.test".to_owned())));
    assert_eq!(breach(Some(BTreeSet::new())), Some(Breach::Recipient("anna@client.test".to_owned())));
    let forbidden = Rule { per_day: Some(0), ..Rule::default() };
    assert_eq!(policy(ActionKind::Email, forbidden).breach(&action), Some(Breach::Forbidden(ActionKind::Email)));
}

#[test]
fn nothing_goes_to_who_asked_for_nothing() {
    let action = fixtures::email_to(&["Anna <Anna@Client.test>", "bob@partner.test"]);
    let breach = |opt_out: &[&str]| {
        let opt_out = opt_out.iter().map(|who| (*who).to_owned()).collect();
        let rule = Rule { recipients: names(["@client.test", "@partner.test"]), opt_out, ..Rule::default() };
        policy(ActionKind::Email, rule).breach(&action)
    };
    assert_eq!(breach(&["carl@client.test"]), None);
    assert_eq!(breach(&["anna@client.test"]), Some(Breach::OptedOut("anna@client.test".to_owned())));
    assert_eq!(breach(&["@partner.test"]), Some(Breach::OptedOut("bob@partner.test".to_owned())));
    assert_eq!(breach(&["@ner.test"]), None);
    let opted_out = |listed: &str, target: &str| has_opted_out(&[listed.to_owned()].into(), target);
    for (listed, target) in [
        ("bob@x.test", "BOB@X.test"),
        ("bob@x.test", "bob+news@x.test"),
        ("bob+a@x.test", "bob@x.test"),
        ("@m\u{fc}nchen.test", "c@M\u{dc}NCHEN.test"),
        ("@m\u{fc}nchen.test", "c@xn--mnchen-3ya.test"),
        ("j\u{f6}rg@x.test", "J\u{d6}RG@x.test"),
        ("@x.test", "a@mail.x.test"),
        ("Client A", "client a"),
    ] {
        assert!(opted_out(listed, target), "{listed} {target}");
    }
    for (listed, target) in [("bob@x.test", "bobby@x.test"), ("@x.test", "a@ax.test"), ("Client A", "Client AB")] {
        assert!(!opted_out(listed, target), "{listed} {target}");
    }
}

#[test]
fn amounts_are_limited_by_currency() {
    let rule = Rule { amount_max: BTreeMap::from([("EUR".to_owned(), 50_000)]), ..Rule::default() };
    let policy = policy(ActionKind::Payment, rule);
    let breach = |minor, code| policy.breach(&fixtures::payment_of(minor, code));
    assert_eq!(breach(50_000, "EUR"), None);
    assert_eq!(breach(50_001, "EUR"), Some(Breach::Amount("500.01 EUR".to_owned())));
    assert_eq!(breach(1, "USD"), Some(Breach::Amount("0.01 USD".to_owned())));
}

#[test]
fn what_may_not_go_yet_waits_for_the_delay_the_rate_and_the_quiet_hours() {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let not_before = |rule, done: &[Timestamp]| {
        let (at, why) = policy(ActionKind::Email, rule).not_before(ActionKind::Email, AT, done, AT);
        (at.since(AT).as_secs() / 60, why)
    };
    assert_eq!(not_before(Rule::default(), &[AT; 99]), (0, ""));
    let delay = Rule { delay_minutes: 5, ..Rule::default() };
    assert_eq!(not_before(delay.clone(), &[]), (5, "the delay of the policy"));
    // Two went 50 and 20 minutes ago.
    let done = [AT.earlier_by(minutes(50)), AT.earlier_by(minutes(20))];
    let hourly = |limit| Rule { per_hour: Some(limit), ..Rule::default() };
    assert_eq!(not_before(hourly(3), &done), (0, ""));
    assert_eq!(not_before(hourly(2), &done), (10, "the policy's limit by the hour"));
    assert_eq!(not_before(hourly(1), &done), (40, "the policy's limit by the hour"));
    let daily = Rule { per_day: Some(2), ..Rule::default() };
    assert_eq!(not_before(daily, &done), (24 * 60 - 50, "the policy's limit by the day"));
    // It is 10:30.
    let quiet = |from, to| Rule { quiet: Some((from, to)), ..Rule::default() };
    assert_eq!(not_before(quiet(21 * 60, 6 * 60), &[]), (0, ""));
    assert_eq!(not_before(quiet(10 * 60, 11 * 60), &[]), (30, "the policy's quiet hours"));
    assert_eq!(not_before(quiet(10 * 60 + 30, 10 * 60), &[]), (23 * 60 + 30, "the policy's quiet hours"));
    // The rate leads into quiet hours, and those end.
    let both = Rule { quiet: Some((11 * 60, 12 * 60)), ..hourly(1) };
    assert_eq!(not_before(both, &done), (90, "the policy's quiet hours"));
}

fn rules() -> impl Strategy<Value = Rule> {
    let names = prop::option::of(prop::collection::btree_set("[@a-z.]{1,8}", 0..4));
    let amounts = prop::collection::btree_map("[A-Z]{3}", any::<u64>(), 0..3);
    let quiet =
        prop::option::of((0..DAY_MINUTES, 1..DAY_MINUTES).prop_map(|(from, by)| (from, (from + by) % DAY_MINUTES)));
    let opt_out = prop::collection::btree_set("[@a-z.]{1,8}", 0..4);
    (any::<Option<u64>>(), any::<Option<u64>>(), amounts, names, opt_out, quiet, any::<u64>(), any::<bool>()).prop_map(
        |(per_hour, per_day, amount_max, recipients, opt_out, quiet, delay_minutes, passphrase)| Rule {
            per_hour,
            per_day,
            amount_max,
            recipients,
            opt_out,
            quiet,
            delay_minutes,
            passphrase,
        },
    )
}

proptest! {
    #[test]
    fn a_policy_comes_back_and_no_other_bytes_verify(rule in rules(), bit in any::<prop::sample::Index>()) {
        let approve = Signer::from_seed([2; 32]);
        let mesh = MeshId::founded_by(&approve.public());
        let policy = policy(ActionKind::Payment, rule);
        let signed = policy.sign(&approve, mesh);
        prop_assert_eq!(Policy::verify(&approve.public(), mesh, &signed), Ok(policy));
        let mut flipped = signed.clone();
        let bit = bit.index(flipped.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Policy::verify(&approve.public(), mesh, &flipped).is_err());
    }

    #[test]
    fn a_rate_is_never_exceeded(limit in 1..5_u64, gaps in prop::collection::vec(0..4_000_u64, 1..40)) {
        let policy = policy(ActionKind::Email, Rule { per_hour: Some(limit), ..Rule::default() });
        let (mut done, mut now) = (Vec::new(), AT);
        for gap in gaps {
            now = now + Duration::from_secs(gap);
            let (at, _) = policy.not_before(ActionKind::Email, now, &done, now);
            now = now.max(at);
            done.push(now);
            let within = done.iter().filter(|other| **other + HOUR > now).count();
            prop_assert!(within as u64 <= limit, "{} in an hour", within);
        }
    }
}
