//! `Company_Handbook.md` as people write it: a table of what may be done, and limits in words. A proposal for the policy, never a
//! policy: that is what the person signs.

use std::collections::BTreeSet;

use aiemp_protocol::{
    action::{ActionKind, is_address},
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

impl std::fmt::Display for Said {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, kind, limit } = self;
        match limit {
            Limit::PerHour(count) => write!(formatter, "line {line}: [{kind}] per_hour = {count}"),
            Limit::PerDay(count) => write!(formatter, "line {line}: [{kind}] per_day = {count}"),
            Limit::OptOut(who) => write!(formatter, "line {line}: [{kind}] opt_out {who}"),
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
}

impl Handbook {
    /// Reads the note; what is written in another way is left alone.
    pub fn read(text: &str) -> Self {
        let (mut handbook, mut is_opt_out) = (Self::default(), false);
        for (line, text) in (1..).zip(text.lines()) {
            let lower = text.trim().to_lowercase();
            if lower.starts_with('#') {
                is_opt_out = OPT_OUT.iter().any(|word| lower.contains(word));
            } else if is_opt_out {
                let address = lower.trim_start_matches(['-', '*', '+', ' ']).trim_matches(['`', ' ']);
                if is_address(address) || (address.starts_with('@') && is_address(&format!("x{address}"))) {
                    let limit = Limit::OptOut(address.to_owned());
                    handbook.said.push(Said { line, kind: ActionKind::Email, limit });
                }
            } else {
                handbook.take_line(line, text.trim(), &lower);
            }
        }
        handbook
    }

    fn take_line(&mut self, line: usize, text: &str, lower: &str) {
        let cells: Vec<_> = lower.trim_matches('|').split('|').map(str::trim).collect();
        let row = kind_in(cells.first().copied().unwrap_or_default()).filter(|_| lower.starts_with('|'));
        if let Some(kind) = row {
            let cells: Vec<_> = text.trim_matches('|').split('|').map(str::trim).collect();
            self.rows.push((line, kind, cells.join(" | ")));
        }
        for part in cells.iter().flat_map(|cell| cell.split([',', ';'])).flat_map(|part| part.split(" and ")) {
            if let (Some(limit), Some(kind)) = (rate_in(part), kind_in(part).or(row)) {
                self.said.push(Said { line, kind, limit });
            }
        }
    }

    /// The policy with what the note says in the place of what it said about the same.
    pub fn proposed(&self, held: &Policy) -> Policy {
        let mut policy = Policy { issued: held.issued, rules: held.rules.clone() };
        // Whom nobody may write to is what the note lists now.
        for rule in policy.rules.values_mut().filter(|_| self.said.iter().any(Said::is_opt_out)) {
            rule.opt_out.clear();
        }
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

impl Said {
    const fn is_opt_out(&self) -> bool {
        matches!(self.limit, Limit::OptOut(_))
    }
}

fn words(text: &str) -> Vec<&str> {
    let is_in_word = |c: char| c.is_alphanumeric() || c == '-';
    text.split(|c: char| !is_in_word(c) && c != '/')
        .flat_map(|word| word.split_inclusive('/'))
        .filter(|word| !word.is_empty())
        .collect()
}

fn kind_in(lower: &str) -> Option<ActionKind> {
    let words = words(lower);
    let bare = |word: &&str| word.trim_end_matches('/').to_owned();
    let words: Vec<_> = words.iter().map(bare).collect();
    WORDS.iter().find(|(_, known)| words.iter().any(|word| known.contains(&word.as_str()))).map(|(kind, _)| *kind)
}

/// `10 emails per hour`, `max 3/day`, `5 an hour`, `20 daily`.
fn rate_in(lower: &str) -> Option<Limit> {
    let words = words(lower);
    let unit = |word: &str| match word {
        "hour" | "hourly" => Some(Limit::PerHour as fn(u64) -> Limit),
        "day" | "daily" => Some(Limit::PerDay as fn(u64) -> Limit),
        _ => None,
    };
    words.iter().enumerate().find_map(|(at, word)| {
        let limit = unit(word)?;
        let before = if word.ends_with("ly") {
            at
        } else {
            let joint = at.checked_sub(1)?;
            let is_joint =
                ["per", "an", "a", "each", "every", "/"].contains(&words[joint]) || words[joint].ends_with('/');
            // `3/day` is one word with the slash at its end.
            is_joint.then_some(if words[joint].len() > 1 && words[joint].ends_with('/') { at } else { joint })?
        };
        let back = words[..before].iter().rev().take(WORDS_BETWEEN + 1);
        back.map(|word| word.trim_end_matches('/')).find_map(|word| word.parse().ok()).map(limit)
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
        let said: Vec<_> = handbook.said.iter().map(ToString::to_string).collect();
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
        assert_eq!(rule.opt_out.iter().collect::<Vec<_>>(), ["a@x.test"]);
        assert_eq!(Handbook::read("nothing 5 to say").proposed(&held), held);
    }

    proptest::proptest! {
        #[test]
        fn no_note_breaks_the_reader(text in "\\PC{0,80}", line in "[|#0-9 a-z/@.-]{0,60}") {
            Handbook::read(&format!("{text}\n{line}\n| mail {line}\n# opt-out\n{line}")).proposed(&Policy::default());
        }
    }
}
