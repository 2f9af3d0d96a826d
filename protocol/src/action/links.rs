//! Hosts that a text leads to, as a mail program or browser would make links of it.
//!
//! Found are addresses with a scheme (`https://…`, also with one or no slash), each one of a word; the hosts of `mailto:`;
//! what starts with `www.`, and bare names with a path or the ending of a top-level domain. More is found than some
//! programs would link, and never a part of an address before its last `@`: what stands before is a user name. Where
//! programs disagree on where an address ends, it is read in each way.

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::Value;

use super::{Content, Http, Payment};
use crate::egress::views;

/// The top-level domains, less those that are the endings of files people write about (`README.md`, `scan.zip`): these,
/// and any other ending, need a path behind them.
static ENDINGS: LazyLock<BTreeSet<&str>> = LazyLock::new(|| include_str!("endings.txt").split_whitespace().collect());
/// Where the name of a host ends.
const AFTER_HOST: [char; 5] = [':', ']', '\\', ';', ','];
/// Where an address ends for some programs, and goes on for others.
const PERHAPS_END: [char; 4] = ['[', ']', ';', ','];

/// The hosts of an action's texts, each once, in lower case, in the order in which they stand there.
pub(super) fn of_content(content: &Content) -> Vec<String> {
    let mut hosts = Vec::new();
    match content {
        Content::Email(email) => {
            collect(&email.subject, &mut hosts);
            collect(&email.body, &mut hosts);
        }
        Content::Post(post) => collect(&post.text, &mut hosts),
        Content::Payment(Payment { reference, .. }) => collect(reference, &mut hosts),
        Content::Tool(tool) => {
            if let Ok(arguments) = serde_json::from_slice(&tool.arguments) {
                of_json(&arguments, &mut hosts);
            }
        }
        Content::Http(Http { params, .. }) => params.iter().for_each(|(_, value)| collect(value, &mut hosts)),
        Content::A2a(a2a) => collect(&a2a.message, &mut hosts),
    }
    hosts
}

fn of_json(value: &Value, hosts: &mut Vec<String>) {
    match value {
        Value::String(text) => collect(text, hosts),
        Value::Array(items) => items.iter().for_each(|item| of_json(item, hosts)),
        Value::Object(fields) => {
            for (name, value) in fields {
                collect(name, hosts);
                of_json(value, hosts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn collect(text: &str, hosts: &mut Vec<String>) {
    let is_unseen = |c: char| c.is_control() || views::is_invisible(c);
    collect_seen(text, hosts);
    if text.contains(is_unseen) {
        // Some programs end an address there, some leave the character out.
        let without = text.replace(|c: char| is_unseen(c) && !c.is_whitespace(), "");
        collect_seen(&without, hosts);
    }
}

fn collect_seen(text: &str, hosts: &mut Vec<String>) {
    let is_end = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || views::is_invisible(c)
            || matches!(c, '<' | '>' | '"' | '(' | ')' | '{' | '}' | '|' | '`')
    };
    for word in text.split(is_end) {
        for host in hosts_of(&word.to_lowercase()) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
    }
}

/// The hosts that one word may lead to.
fn hosts_of(word: &str) -> Vec<String> {
    let mut hosts = Vec::new();
    let behind_schemes = word.match_indices("://").map(|(at, sign)| &word[at + sign.len()..]);
    for rest in behind_schemes {
        hosts.extend(host_behind_scheme(rest, &['/', '?', '#', '\\']));
        hosts.extend(host_behind_scheme(rest, &['/', '?', '#']));
    }
    hosts.extend(word.match_indices("mailto:").flat_map(|(at, sign)| mail_hosts(&word[at + sign.len()..])));
    hosts.extend(word.split(PERHAPS_END).filter_map(host_of_part));
    hosts
}

fn host_behind_scheme(rest: &str, ends: &[char]) -> Option<String> {
    let authority = rest.trim_start_matches(['/', '\\']).split(ends).next().unwrap_or_default();
    host_in(authority.rsplit_once('@').map_or(authority, |(_, host)| host))
}

/// The hosts of the addresses that a mail would go to, copies among them.
fn mail_hosts(rest: &str) -> Vec<String> {
    let rest = rest.replace("%40", "@");
    let hosts = rest.split('@').skip(1).filter_map(|behind| {
        let is_of_host = |c: char| c.is_alphanumeric() || ".-%".contains(c);
        host_in(&behind[..behind.find(|c| !is_of_host(c)).unwrap_or(behind.len())])
    });
    hosts.collect()
}

fn host_in(host: &str) -> Option<String> {
    let host = match host.strip_prefix('[') {
        Some(number) => number.split(']').next().unwrap_or_default(),
        None => host.split(AFTER_HOST).next().unwrap_or_default(),
    };
    let host = host.trim_matches(is_around);
    (!host.is_empty()).then(|| host.to_owned())
}

const fn is_around(c: char) -> bool {
    matches!(c, '.' | ',' | ';' | '!' | '?' | '\'' | '*' | '_' | '~' | '“' | '”' | '…')
}

/// The host of an address without `://`, if it is one that programs link.
fn host_of_part(part: &str) -> Option<String> {
    let part = part.trim_matches(is_around);
    let with_slashes = part.split_once("://").map(|(_, rest)| rest);
    let without = || ["https:", "http:", "ftp:"].iter().find_map(|scheme| part.strip_prefix(scheme));
    if let Some(rest) = with_slashes.or_else(without) {
        return host_behind_scheme(rest, &['/', '?', '#', '\\']);
    }
    let authority = part.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    // A bare `a@b.test` is a mail address.
    if authority.contains('@') {
        return None;
    }
    let host = host_in(authority)?;
    is_linked(&host, part.len() > authority.len()).then_some(host)
}

fn is_linked(host: &str, has_path: bool) -> bool {
    let Some((before, ending)) = host.rsplit_once('.') else { return false };
    let is_named = !before.is_empty() && before.split('.').all(|label| !label.is_empty());
    let is_listed = ending.starts_with("xn--") || ENDINGS.contains(ending);
    let is_name = || ending.chars().count() >= 2 && ending.chars().all(char::is_alphabetic);
    is_named && (is_listed || ((host.starts_with("www.") || has_path) && is_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<String> {
        let mut hosts = Vec::new();
        collect(text, &mut hosts);
        hosts
    }

    #[test]
    fn what_programs_would_link_is_found() {
        for (text, host) in [
            ("Pay here: https://evil.test/pay?x=1.", "evil.test"),
            ("(see HTTPS://Evil.Test)", "evil.test"),
            ("[your bank](http://evil.test)", "evil.test"),
            ("<https://evil.test:8443/x>", "evil.test"),
            ("https://bank.test@evil.test/", "evil.test"),
            ("https://bank.test:secret@evil.test", "evil.test"),
            ("https:evil.test", "evil.test"),
            ("https:\\\\evil.test\\x", "evil.test"),
            ("xhttps://evil.test", "evil.test"),
            ("www.evil.test", "www.evil.test"),
            ("evil.com", "evil.com"),
            ("evil.test/pay", "evil.test"),
            ("“evil.org”,", "evil.org"),
            ("https://p\u{430}ypal.test/", "p\u{430}ypal.test"),
            ("ftp://files.evil.test", "files.evil.test"),
            ("[evil.com]", "evil.com"),
            ("[[https://evil.test]]", "evil.test"),
            ("https://[2001:db8::1]:8443/x", "2001:db8::1"),
        ] {
            assert_eq!(hosts(text), [host], "{text}");
        }
    }

    #[test]
    fn every_host_of_a_word_is_found_wherever_a_program_ends_an_address() {
        for (text, expected) in [
            ("https://known.test/x]https://evil.test/pay", &["known.test", "evil.test"][..]),
            ("https://known.test/x;https://evil.test/pay", &["known.test", "evil.test"]),
            ("https://known.test,https://evil.test", &["known.test", "evil.test"]),
            ("https://known.test/?to=https://evil.test/pay", &["known.test", "evil.test"]),
            ("https://known.test]www.evil.test", &["known.test", "www.evil.test"]),
            ("[https://known.test][evil.com]", &["known.test", "evil.com"]),
            ("https://known.test;x@evil.test/", &["evil.test", "known.test"]),
            ("https://known.test\\@evil.test/", &["known.test", "evil.test"]),
            ("https://known.test\u{200b}evil.com", &["known.test", "evil.com", "known.testevil.com"]),
            ("https://ev\u{ad}il.test", &["ev", "evil.test"]),
            ("evil.support", &["evil.support"]),
            ("evil.xn--p1ai and evil.\u{440}\u{444}", &["evil.xn--p1ai", "evil.\u{440}\u{444}"]),
            ("mailto:a@evil.test", &["evil.test"]),
            ("[write](mailto:a%40evil.test?cc=b@worse.test&subject=x)", &["evil.test", "worse.test"]),
            ("https://known.test/mailto:a@evil.test", &["known.test", "evil.test"]),
        ] {
            assert_eq!(hosts(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_link_is_none() {
        for text in [
            "Hello A. Smith, e.g. 3.5/4 of it, i.e. and/or",
            "README.md, Node.js, scan.zip and Invoices/2026-01.pdf",
            "done.Then we talk, a;b,c [d] \u{2764}\u{fe0f} mailto: nobody",
            "write to a@client.com",
            "10:30, 12.01.2026",
            "...",
            "",
        ] {
            assert_eq!(hosts(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn each_host_stands_once_in_its_order() {
        assert_eq!(hosts("https://b.test/1 https://a.test https://b.test/2"), ["b.test", "a.test"]);
    }

    #[test]
    fn strings_of_arguments_are_read_as_the_tool_reads_them() {
        let arguments = br#"{"a":["https:\/\/\u0065vil.test"],"http://name.test":1}"#.to_vec();
        let tool = super::super::Tool { server: "s".to_owned(), tool: "t".to_owned(), arguments, schema: None };
        assert_eq!(of_content(&Content::Tool(tool)), ["evil.test", "name.test"]);
    }
}
