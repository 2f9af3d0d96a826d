//! `Company_Handbook.md` as people write it: a table of what may be done, and limits in words. A proposal for the policy, never a
//! policy: that is what the person signs.

use std::collections::BTreeSet;

use aiemp_protocol::{
    action::{ActionKind, is_bare_address},
    approval::Policy,
};

/// The note.
pub const HANDBOOK: &str = "Company_Handbook.md";

/// What stands for which kind of action.
const WORDS: [(ActionKind, &[&str]); 6] = [
    (ActionKind::Email, &["email", "emails", "e-mail", "e-mails", "mail", "mails"]),
    (ActionKind::Payment, &["payment", "payments"]),
    (
        ActionKind::Post,
        &["social", "post", "posts", "linkedin", "facebook", "instagram", "twitter", "mastodon", "bluesky"],
    ),
    (ActionKind::Tool, &["tool", "tools", "mcp"]),
    (ActionKind::Http, &["http", "connector", "connectors"]),
    (ActionKind::A2a, &["a2a"]),
];
/// Headings below which stand addresses that asked not to be written to.
const OPT_OUT: [&str; 5] = ["opt-out", "opt out", "opted out", "do not contact", "unsubscribed"];
/// Words between a number and its `per hour`.
const WORDS_BETWEEN: usize = 3;
/// What a number before it counts, where it is no limit of ours.
const TIMES: [&str; 8] = ["hour", "hours", "day", "days", "minute", "minutes", "week", "weeks"];

/// One thing that it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Where.
    pub line: usize,
    /// Of what.
    pub kind: ActionKind,
    /// The limit.
    pub limit: Limit,
}

/// A limit that the policy knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many in an hour.
    PerHour(u64),
    /// So many in a day.
    PerDay(u64),
    /// An address, or everybody at a domain, to which nothing goes.
    OptOut(String),
}

impl Said {
    /// In one line, with what it would change for the worse.
    pub fn told(&self, held: &Policy) -> String {
        let Self { line, kind, limit } = self;
        let rule = held.rules.get(kind);
        let looser = |name: &str, count: u64, held: Option<u64>| match held {
            Some(held) if count > held => format!("line {line}: [{kind}] {name} = {count}, LOOSER than {held} now"),
            Some(_) | None => format!("line {line}: [{kind}] {name} = {count}"),
        };
        match limit {
            Limit::PerHour(count) => looser("per_hour", *count, rule.and_then(|rule| rule.per_hour)),
            Limit::PerDay(count) => looser("per_day", *count, rule.and_then(|rule| rule.per_day)),
            Limit::OptOut(who) => format!("line {line}: [{kind}] opt_out {who}"),
        }
    }
}

/// What was read of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handbook {
    /// Its limits, in the order of lines.
    pub said: Vec<Said>,
    /// The rows of its tables that are about a kind of action, with their lines, as they are written.
    pub rows: Vec<(usize, ActionKind, String)>,
    /// Lines that seem to say something and were not read.
    pub unread: Vec<(usize, String)>,
}

/// Where a line stands.
#[derive(Default)]
struct Place {
    /// Below a heading of this depth stand those who opted out.
    opt_out: Option<usize>,
    /// The kind that the heading names.
    kind: Option<ActionKind>,
    is_code: bool,
}

impl Handbook {
    /// Reads the note; what is written in another way is left alone.
    pub fn read(text: &str) -> Self {
        let (mut handbook, mut place) = (Self::default(), Place::default());
        for (line, text) in (1..).zip(text.lines().map(str::trim)) {
            let depth = text.bytes().take_while(|byte| *byte == b'#').count();
            if text.starts_with("```") || text.starts_with("~~~") {
                place.is_code = !place.is_code;
            } else if (1..=6).contains(&depth) && text[depth..].starts_with(' ') {
                place.heading(depth, &text[depth..].to_lowercase());
            } else if place.is_code || text.contains("<!--") || text.contains("~~") {
                // Taken back, or an example.
            } else if place.opt_out.is_some() {
                handbook.take_addresses(line, text);
            } else {
                handbook.take_line((line, text), place.kind);
            }
        }
        handbook
    }

    fn take_addresses(&mut self, line: usize, text: &str) {
        let apart = |c: char| c.is_whitespace() || "<>()[],;:|`'\"*".contains(c);
        let words = text.split(apart).filter(|word| word.contains('@')).map(|word| word.trim_matches(['.', '-', '_']));
        let mut found = Vec::new();
        for word in words {
            let is_one = match word.strip_prefix('@') {
                Some(domain) => is_bare_address(&format!("x@{domain}")),
                None => is_bare_address(word),
            };
            if is_one && !found.contains(&word) {
                found.push(word);
            } else if !is_one {
                self.unread.push((line, text.to_owned()));
                return;
            }
        }
        if found.is_empty() && text.starts_with(['-', '*', '+', '|']) {
            self.unread.push((line, text.to_owned()));
        }
        self.said.extend(found.into_iter().map(|who| Said {
            line,
            kind: ActionKind::Email,
            limit: Limit::OptOut(who.to_lowercase()),
        }));
    }

    fn take_line(&mut self, (line, text): (usize, &str), heading: Option<ActionKind>) {
        let lower = text.to_lowercase();
        let cells: Vec<_> = lower.trim_matches('|').split('|').map(str::trim).collect();
        let row = kind_in(cells.first().copied().unwrap_or_default()).filter(|_| lower.starts_with('|'));
        if let Some(kind) = row {
            let cells: Vec<_> = text.trim_matches('|').split('|').map(str::trim).collect();
            self.rows.push((line, kind, cells.join(" | ")));
        }
        let (mut kind, mut found) = (row.or(heading), false);
        let parts = cells.iter().flat_map(|cell| cell.split([';']).flat_map(|part| part.split(", ")));
        for part in parts.flat_map(|part| part.split(" and ")) {
            kind = kind_in(part).or(kind);
            if let (Some(limit), Some(kind)) = (rate_in(part), kind) {
                found = true;
                self.said.push(Said { line, kind, limit });
            }
        }
        // Something by the hour or the day that is no limit as it is written.
        let has_rate = words(&lower).iter().any(|word| ["hour", "hourly", "day", "daily"].contains(word));
        if has_rate && !found && lower.contains(|c: char| c.is_ascii_digit()) {
            self.unread.push((line, text.to_owned()));
        }
    }

    /// The policy with what the note says in the place of what it said about the same. Who opted out stays out: a file takes them
    /// off the list.
    pub fn proposed(&self, held: &Policy) -> Policy {
        let mut policy = Policy { issued: held.issued, rules: held.rules.clone() };
        let (mut hours, mut days) = (BTreeSet::new(), BTreeSet::new());
        for Said { kind, limit, .. } in &self.said {
            let rule = policy.rules.entry(*kind).or_default();
            // Of two the smaller counts.
            let least =
                |held: Option<u64>, count: u64, is_first| if is_first { Some(count) } else { held.min(Some(count)) };
            match limit {
                Limit::PerHour(count) => rule.per_hour = least(rule.per_hour, *count, hours.insert(*kind)),
                Limit::PerDay(count) => rule.per_day = least(rule.per_day, *count, days.insert(*kind)),
                Limit::OptOut(who) => drop(rule.opt_out.insert(who.clone())),
            }
        }
        policy
    }

    /// What its tables say about a kind of action, for whoever decides on one.
    pub fn rows_of(&self, kind: ActionKind) -> impl Iterator<Item = (usize, &str)> {
        self.rows.iter().filter(move |(_, of, _)| *of == kind).map(|(line, _, text)| (*line, text.as_str()))
    }
}

impl Place {
    fn heading(&mut self, depth: usize, lower: &str) {
        if OPT_OUT.iter().any(|word| lower.contains(word)) {
            self.opt_out = Some(depth);
        } else if self.opt_out.is_some_and(|of| depth <= of) {
            self.opt_out = None;
        }
        self.kind = kind_in(lower);
    }
}

/// Words, and a slash as one: what else than letters and digits stands in a word makes another one of it.
fn words(lower: &str) -> Vec<&str> {
    let apart = |c: char| c.is_whitespace() || "()\":*_|".contains(c);
    let pieces = lower.split(apart).flat_map(|word| word.split_inclusive('/'));
    let mut words = Vec::new();
    for piece in pieces {
        let (word, slash) = piece.strip_suffix('/').map_or((piece, false), |word| (word, true));
        let word = word.trim_end_matches(['.', ',', ';', '!']);
        words.extend((!word.is_empty()).then_some(word));
        words.extend(slash.then_some("/"));
    }
    words
}

fn kind_in(lower: &str) -> Option<ActionKind> {
    let words = words(lower);
    WORDS.iter().find(|(_, known)| words.iter().any(|word| known.contains(word))).map(|(kind, _)| *kind)
}

/// `10 emails per hour`, `max 3/day`, `5 an hour`, `20 daily`; neither `24 hours a day` nor `$500 per day`.
fn rate_in(lower: &str) -> Option<Limit> {
    let words = words(lower);
    words.iter().enumerate().find_map(|(at, word)| {
        let (limit, is_adverb) = match *word {
            "hour" => (Limit::PerHour as fn(u64) -> Limit, false),
            "hourly" => (Limit::PerHour as fn(u64) -> Limit, true),
            "day" => (Limit::PerDay as fn(u64) -> Limit, false),
            "daily" => (Limit::PerDay as fn(u64) -> Limit, true),
            _ => return None,
        };
        let before = if is_adverb { at } else { at.checked_sub(1)? };
        if !is_adverb && !["per", "an", "a", "each", "every", "/"].contains(&words[before]) {
            return None;
        }
        // What holds a digit is the number, or says that there is none.
        let back = words[..before].iter().rev().take(WORDS_BETWEEN + 1);
        let mut counted = Vec::new();
        for word in back {
            if word.contains(|c: char| c.is_ascii_digit()) {
                let is_count = !counted.iter().any(|word| TIMES.contains(word));
                return word.parse().ok().filter(|_| is_count).map(limit);
            }
            counted.push(*word);
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use aiemp_protocol::approval::policy::Rule;

    use super::*;

    /// As the blueprint has it, with what people add.
    const TEXT: &str = "# Company Handbook\n\n- Always be polite on WhatsApp; answer within 24 hours.\n\
        | Action Category | Auto-Approve Threshold | Always Require Approval |\n|---|---|---|\n\
        | Email replies | To known contacts | New contacts, bulk sends |\n\
        | Payments | < $50 recurring | All new payees, > $100, at most 5 per day |\n\
        | Social media | Scheduled posts | Replies, DMs |\n| File operations | Create, read | Delete |\n\n\
        ## Limits\n- Max 10 emails per hour, max 3 payments per hour\n- 2 posts/day and 1 post an hour\n- 30 mails daily\n\n\
        ## Do not contact\n- `Bob@x.test`\n* @never.test\n- everybody else is fine\n\n## Rest\n- c@x.test\n";

    #[test]
    fn limits_and_rows_are_read_as_people_write_them() {
        let handbook = Handbook::read(TEXT);
        let said: Vec<_> = handbook.said.iter().map(|said| said.told(&Policy::default())).collect();
        assert_eq!(
            said,
            [
                "line 7: [payment] per_day = 5",
                "line 12: [email] per_hour = 10",
                "line 12: [payment] per_hour = 3",
                "line 13: [post] per_day = 2",
                "line 13: [post] per_hour = 1",
                "line 14: [email] per_day = 30",
                "line 17: [email] opt_out bob@x.test",
                "line 18: [email] opt_out @never.test",
            ]
        );
        let rows: Vec<_> = handbook.rows_of(ActionKind::Payment).collect();
        assert_eq!(rows, [(7, "Payments | < $50 recurring | All new payees, > $100, at most 5 per day")]);
        assert_eq!(handbook.rows.len(), 3);
        let unread: Vec<_> = handbook.unread.iter().map(|(line, _)| *line).collect();
        assert_eq!(unread, [19], "what is no address is named");
    }

    #[test]
    fn what_it_says_takes_the_place_of_what_the_policy_said_about_the_same() {
        let rule = Rule {
            per_hour: Some(99),
            per_day: Some(1),
            delay_minutes: 5,
            opt_out: ["old@x.test".to_owned()].into(),
            ..Rule::default()
        };
        let held = Policy { rules: [(ActionKind::Email, rule)].into(), ..Policy::default() };
        let handbook = Handbook::read("- 10 mails per hour\n- 4 emails an hour\n# Opt-out\n- a@x.test\n");
        let rules = handbook.proposed(&held).rules;
        let rule = &rules[&ActionKind::Email];
        assert_eq!((rule.per_hour, rule.per_day, rule.delay_minutes), (Some(4), Some(1), 5));
        assert_eq!(rule.opt_out.iter().collect::<Vec<_>>(), ["a@x.test", "old@x.test"], "a note takes nobody off");
        let loose = Handbook::read("- 120 mails per hour\n");
        assert_eq!(loose.said[0].told(&held), "line 1: [email] per_hour = 120, LOOSER than 99 now");
        assert_eq!(Handbook::read("nothing 5 to say").proposed(&held), held);
    }

    #[test]
    fn what_is_no_limit_is_left_alone_and_named() {
        for (text, unread) in [
            ("- Payments over $500 per day need a second look", true),
            ("- Payments: more than $1,000 per day", true),
            ("- We answer emails 24 hours a day", true),
            ("- about 0.5 emails per hour", true),
            ("- 1.500 mails per day", true),
            ("- 1-2 posts per day", true),
            ("- ~~900 emails per hour~~", false),
            ("<!-- 800 emails per hour -->", false),
            ("```\n5 emails per hour\n```", false),
            ("- answer within 24 hours", false),
        ] {
            let handbook = Handbook::read(text);
            assert_eq!(handbook.said, [], "{text}");
            assert_eq!(!handbook.unread.is_empty(), unread, "{text}");
        }
        let said = |text: &str| -> Vec<_> {
            Handbook::read(text).said.into_iter().map(|said| (said.kind, said.limit)).collect()
        };
        let email = |limit| (ActionKind::Email, limit);
        assert_eq!(
            said("- Emails: at most 10 per hour, 50 per day"),
            [email(Limit::PerHour(10)), email(Limit::PerDay(50))]
        );
        assert_eq!(said("## Email\n- max 10 per hour"), [email(Limit::PerHour(10))]);
    }

    #[test]
    fn everybody_who_opted_out_is_found_however_the_line_is_written() {
        let text = "## Opted out\n- bob@x.test (asked on 3 January)\n1. Eve <Eve@x.test>\n- [dan](mailto:dan@x.test)\n- a@x.test, b@x.test\n\
                    ### Since May\n#tag\n| c@x.test | no more |\n- mail*@x.test @\n## Rest\n- z@x.test\n";
        let handbook = Handbook::read(text);
        let who: Vec<_> = handbook.said.iter().map(|said| said.told(&Policy::default())).collect();
        let who: Vec<_> = who.iter().map(|told| told.rsplit_once(' ').expect("words").1).collect();
        assert_eq!(who, ["bob@x.test", "eve@x.test", "dan@x.test", "a@x.test", "b@x.test", "c@x.test"]);
        assert_eq!(handbook.unread.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [9]);
    }

    proptest::proptest! {
        #[test]
        fn no_note_breaks_the_reader(text in "\\PC{0,80}", line in "[|#0-9 a-z/@.-]{0,60}") {
            Handbook::read(&format!("{text}\n{line}\n| mail {line}\n# opt-out\n{line}")).proposed(&Policy::default());
        }
    }
}
