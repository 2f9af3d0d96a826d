//! `Business_Goals.md`, as people write it: what is wanted of a month, how soon to answer, what is due.

use std::time::Duration;

use aiemp_protocol::action;
use chrono::{Datelike as _, NaiveDate};

/// What is expected where the note does not say.
const ANSWER_WITHIN: Duration = Duration::from_secs(86_400);
const INCREASE_PERCENT: u32 = 20;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// What was read of the note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Goals {
    /// `Monthly goal: $10,000`, in the smallest unit, with its currency.
    pub(super) monthly: Option<(i64, String)>,
    /// `Client response time | < 24 hours`.
    pub(super) answer_within: Duration,
    /// `Cost increased > 20%`.
    pub(super) increase_percent: u32,
    /// `Project Alpha - Due Jan 15`.
    pub(super) deadlines: Vec<(NaiveDate, String)>,
}

/// Reads the note; what is written in another way is left out. The currency is that of the accounts, if they have one.
pub(super) fn read_goals(text: &str, today: NaiveDate, currency: Option<&str>) -> Goals {
    let mut goals = Goals {
        monthly: None,
        answer_within: ANSWER_WITHIN,
        increase_percent: INCREASE_PERCENT,
        deadlines: Vec::new(),
    };
    for line in text.lines() {
        let lower = line.to_ascii_lowercase();
        if let Some(at) = lower.find("monthly goal").or_else(|| lower.find("monthly target"))
            && goals.monthly.is_none()
        {
            goals.monthly = money(&line[at..], currency);
        }
        if let Some(at) = lower.find("response time") {
            goals.answer_within = duration(&lower[at..]).unwrap_or(goals.answer_within);
        }
        if let Some(at) = lower.find("cost increased") {
            goals.increase_percent = percent(&lower[at..]).unwrap_or(goals.increase_percent);
        }
        goals.deadlines.extend(deadline(line, &lower, today));
    }
    goals.deadlines.sort();
    goals
}

/// `$10,000`, `10.000 EUR`, `1.234,56 €`.
fn money(text: &str, accounts: Option<&str>) -> Option<(i64, String)> {
    let code = text.split(|c: char| !c.is_ascii_alphabetic()).find(|word| action::is_currency(word));
    let signs =
        [('€', "EUR"), ('£', "GBP"), ('¥', "JPY"), ('$', accounts.filter(|code| code.ends_with('D')).unwrap_or("USD"))];
    let signed = || signs.iter().find(|(sign, _)| text.contains(*sign)).map(|(_, code)| *code);
    let code = code.or_else(signed).or(accounts)?;
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let number = &text[start..];
    let end = number.find(|c: char| !(c.is_ascii_digit() || ",.'".contains(c))).unwrap_or(number.len());
    let number = number[..end].trim_end_matches([',', '.', '\'']);
    // A last group of three is one of thousands; shorter ones are decimals.
    let plain = match number.rsplit_once([',', '.']) {
        Some((whole, decimals)) if decimals.len() != 3 => format!("{}.{decimals}", digits(whole)),
        Some(_) | None => digits(number),
    };
    let minor = action::parse_amount(&plain, code).ok().and_then(|minor| i64::try_from(minor).ok())?;
    Some((minor, code.to_owned()))
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// `< 24 hours`, `2 days`.
fn duration(lower: &str) -> Option<Duration> {
    let start = lower.find(|c: char| c.is_ascii_digit())?;
    let number: String = lower[start..].chars().take_while(char::is_ascii_digit).collect();
    let unit = lower[start + number.len()..].trim_start();
    let hours = if unit.starts_with('h') {
        1
    } else if unit.starts_with('d') {
        24
    } else {
        return None;
    };
    Some(Duration::from_secs(number.parse::<u32>().ok().map(u64::from)?.checked_mul(hours * 3_600)?))
}

fn percent(lower: &str) -> Option<u32> {
    let before = lower.split_once('%')?.0.trim_end();
    let start = before
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    before[start..].parse().ok()
}

/// A line with `due` and a day after it; what is ticked off is left out.
fn deadline(line: &str, lower: &str, today: NaiveDate) -> Option<(NaiveDate, String)> {
    let at = lower.match_indices("due").find_map(|(at, _)| {
        let is_word = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric());
        (is_word(lower[..at].chars().next_back()) && is_word(lower[at + 3..].chars().next())).then_some(at)
    })?;
    if lower.contains("[x]") {
        return None;
    }
    let day = day(&lower[at + 3..], today)?;
    let what = line[..at].trim_start_matches(|c: char| c.is_ascii_digit() || " .)-*+|[]>".contains(c));
    let what = what.trim_end_matches(|c: char| c.is_whitespace() || "-–—:,(|*".contains(c));
    (!what.is_empty()).then(|| (day, what.to_owned()))
}

/// `2026-01-15`, `15.01.2026`, `Jan 15`, `15 January 2026`: without a year, the one closest to today.
fn day(lower: &str, today: NaiveDate) -> Option<NaiveDate> {
    let words: Vec<_> =
        lower.split(|c: char| c.is_whitespace() || ",:|()*".contains(c)).filter(|word| !word.is_empty()).collect();
    for (at, word) in words.iter().enumerate().take(4) {
        for form in ["%Y-%m-%d", "%d.%m.%Y"] {
            if let Ok(day) = NaiveDate::parse_from_str(word.trim_end_matches('.'), form) {
                return Some(day);
            }
        }
        let Some(month) = month(word) else { continue };
        let beside = [words.get(at + 1), at.checked_sub(1).and_then(|before| words.get(before))];
        let number = |word: &&str| {
            let bare = word.trim_end_matches(['.', 's', 't', 'n', 'd', 'r', 'h']);
            bare.parse::<u32>().ok().filter(|day| (1..=31).contains(day))
        };
        let day = beside.into_iter().flatten().find_map(number)?;
        let year = words[at + 1..]
            .iter()
            .take(2)
            .find_map(|word| word.parse().ok().filter(|year| (2000..3000).contains(year)));
        let in_year = |year| NaiveDate::from_ymd_opt(year, month, day);
        return match year {
            Some(year) => in_year(year),
            None => {
                (-1..=1).filter_map(|off| in_year(today.year() + off)).min_by_key(|day| (*day - today).num_days().abs())
            }
        };
    }
    None
}

fn month(word: &str) -> Option<u32> {
    let start = word.get(..3)?;
    let at = MONTHS.iter().position(|month| *month == start)?;
    word.chars().all(|c| c.is_ascii_alphabetic() || c == '.').then(|| u32::try_from(at).unwrap_or(0) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    #[test]
    fn the_note_is_read_as_people_write_it() {
        let text = "## Q1 2026 Objectives\n### Revenue Target\n- Monthly goal: $10,000\n- Current MTD: $4,500\n\
            | Client response time | < 48 hours | > 72 hours |\n| Software costs | < $500/month | > $600/month |\n\
            1. Project Alpha - Due Jan 15 - Budget $2,000\n2. **Project Beta** (due: 30 January 2026)\n\
            - [x] Taxes due 2026-01-10\n- [ ] Offer, due 02.02.2026\n- residue 5\n- Cost increased > 25%\n";
        let goals = read_goals(text, date("2026-01-06"), Some("USD"));
        assert_eq!(goals.monthly, Some((1_000_000, "USD".to_owned())));
        assert_eq!((goals.answer_within.as_secs(), goals.increase_percent), (48 * 3_600, 25));
        let told: Vec<_> = goals.deadlines.iter().map(|(day, what)| (day.to_string(), what.as_str())).collect();
        assert_eq!(
            told,
            [
                ("2026-01-15".to_owned(), "Project Alpha"),
                ("2026-01-30".to_owned(), "Project Beta"),
                ("2026-02-02".to_owned(), "Offer"),
            ]
        );
        let nothing = read_goals("# Goals\nmonthly goal: soon\ndue\ndue Janus\n", date("2026-01-06"), None);
        assert_eq!((nothing.monthly, nothing.deadlines), (None, Vec::new()));
    }

    #[test]
    fn amounts_and_days_are_read_in_several_forms() {
        let read = |text: &str, accounts| money(text, accounts).map(|(minor, code)| format!("{minor} {code}"));
        for (text, accounts, expected) in [
            ("goal: 10.000 EUR", None, "1000000 EUR"),
            ("goal: 1.234,56 €", Some("USD"), "123456 EUR"),
            ("goal: $1,234.5", Some("CAD"), "123450 CAD"),
            ("goal: $1000.", Some("EUR"), "100000 USD"),
            ("goal: 12 500", Some("JPY"), "12 JPY"),
        ] {
            assert_eq!(read(text, accounts).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(read("goal: 5", None), None);
        let today = date("2026-12-20");
        for (text, expected) in
            [(" jan 3", "2027-01-03"), (" 24th dec.", "2026-12-24"), (" march 1, 2026", "2026-03-01")]
        {
            assert_eq!(day(text, today), Some(date(expected)), "{text}");
        }
        assert_eq!(day(" feb 30", today), None);
    }

    proptest::proptest! {
        #[test]
        fn no_note_breaks_the_reader(text in "\\PC{0,200}", line in "(monthly goal|response time|cost increased|due)[ :0-9.,%$€a-z-]{0,40}") {
            read_goals(&format!("{text}\n{line}\n{line}{text}"), date("2026-01-06"), Some("EUR"));
        }
    }
}
