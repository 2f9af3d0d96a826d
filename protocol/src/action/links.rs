//! Hosts that a text leads to, as a mail program or browser would make links of it.
//!
//! Found are addresses with a scheme (`https://…`, also with one or no slash), what starts with `www.`, and bare names
//! with a path or one of the common top-level domains. More is found than some programs would link, and never a part of
//! an address before its last `@`: what stands before is a user name.

use serde_json::Value;

use super::{Content, Http, Payment};

/// Endings that programs link without anything before them; any other needs a path behind it.
const COMMON: [&str; 34] = [
    "com", "org", "net", "info", "biz", "io", "co", "me", "app", "dev", "ai", "xyz", "online", "site", "shop", "top",
    "link", "click", "live", "cloud", "store", "de", "uk", "fr", "eu", "us", "ch", "at", "nl", "it", "es", "in", "ru",
    "cn",
];
/// Where the name of a host ends.
const AFTER_HOST: [char; 2] = [':', ']'];

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
    let is_end = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '(' | ')' | '{' | '}' | '|' | '`');
    for word in text.split(is_end) {
        if let Some(host) = host_of(word)
            && !hosts.contains(&host)
        {
            hosts.push(host);
        }
    }
}

/// The host that one word leads to.
fn host_of(word: &str) -> Option<String> {
    let is_around = |c: char| matches!(c, '.' | ',' | ';' | '!' | '?' | '\'' | '*' | '_' | '~' | '“' | '”' | '…');
    let word = word.trim_start_matches('[').trim_matches(is_around);
    let lower = word.to_lowercase();
    let (rest, has_scheme) = match with_scheme(&lower) {
        Some(rest) => (rest, true),
        None => (lower.as_str(), false),
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let (is_user, host) = authority.rsplit_once('@').map_or((false, authority), |(_, host)| (true, host));
    // A bare `a@b.test` is a mail address.
    if is_user && !has_scheme {
        return None;
    }
    let host = match host.strip_prefix('[') {
        Some(number) => number.split(']').next().unwrap_or_default(),
        None => host.split(AFTER_HOST).next().unwrap_or_default().trim_matches('.'),
    };
    let has_path = rest.len() > authority.len();
    (!host.is_empty() && (has_scheme || is_linked(host, has_path))).then(|| host.to_owned())
}

/// What follows the scheme, however many slashes stand between.
fn with_scheme(word: &str) -> Option<&str> {
    if let Some(at) = word.find("://") {
        return Some(word[at + 3..].trim_start_matches(['/', '\\']));
    }
    let rest = ["https:", "http:", "ftp:"].iter().find_map(|scheme| word.strip_prefix(scheme))?;
    Some(rest.trim_start_matches(['/', '\\']))
}

fn is_linked(host: &str, has_path: bool) -> bool {
    let Some((before, ending)) = host.rsplit_once('.') else { return false };
    let is_name = ending.chars().count() >= 2 && ending.chars().all(char::is_alphabetic);
    let is_named = !before.is_empty() && before.split('.').all(|label| !label.is_empty());
    is_named && is_name && (host.starts_with("www.") || has_path || COMMON.contains(&ending))
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
    fn what_is_no_link_is_none() {
        for text in [
            "Hello A. Smith, e.g. 3.5/4 of it, i.e. and/or",
            "README.md, Node.js and Invoices/2026-01.pdf",
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
