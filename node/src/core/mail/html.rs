//! HTML to plain text: what a reader would see as words, and nothing that acts.

use mail_parser::decoders::html::add_html_token;

/// Elements whose content is not text to a reader.
const SILENT: [&str; 6] = ["script", "style", "template", "title", "noscript", "svg"];

/// Elements that begin on a line of their own.
const BLOCKS: [&str; 24] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "ol",
    "section",
    "table",
    "tr",
    "ul",
];

/// Longest entity that is looked for after a `&`.
const ENTITY_BYTES_MAX: usize = 12;

/// Strips `html` to text, in one pass: tags, comments, scripts and styles go, blocks become lines.
///
/// Links keep their words and lose their target, for the target of a mail's link is the sender's choice.
pub(super) fn html_to_text(html: &str) -> String {
    let mut out = Lines::default();
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        out.words(&rest[..at]);
        rest = &rest[at..];
        rest = if rest.starts_with('&') { entity(&mut out, rest) } else { tag(&mut out, rest) };
    }
    out.words(rest);
    out.text.truncate(out.text.trim_end().len());
    out.text
}

#[derive(Default)]
struct Lines {
    text: String,
    space_wanted: bool,
    head_is_open: bool,
}

impl Lines {
    fn words(&mut self, words: &str) {
        for c in words.chars() {
            if c.is_ascii_whitespace() {
                self.space_wanted = true;
            } else {
                self.visible(c);
            }
        }
    }

    fn visible(&mut self, c: char) {
        if std::mem::take(&mut self.space_wanted) && !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push(' ');
        }
        self.text.push(c);
    }

    /// Ends the line; `lines_max` line ends stand in a row at most.
    fn line_end(&mut self, lines_max: usize) {
        self.space_wanted = false;
        let ends = self.text.len() - self.text.trim_end_matches('\n').len();
        if !self.text.is_empty() && ends < lines_max {
            self.text.push('\n');
        }
    }
}

fn entity<'a>(out: &mut Lines, rest: &'a str) -> &'a str {
    let window = &rest.as_bytes()[..rest.len().min(ENTITY_BYTES_MAX)];
    let is_entity = |end: usize| end > 1 && window[1..end].iter().all(|b| b.is_ascii_alphanumeric() || *b == b'#');
    match window.iter().position(|b| *b == b';').filter(|end| is_entity(*end)) {
        Some(end) => {
            let mut decoded = String::new();
            add_html_token(&mut decoded, &rest.as_bytes()[..=end], false);
            out.words(&decoded.replace('\u{a0}', " "));
            &rest[end + 1..]
        }
        None => {
            out.visible('&');
            &rest[1..]
        }
    }
}

fn tag<'a>(out: &mut Lines, rest: &'a str) -> &'a str {
    if let Some(comment) = rest.strip_prefix("<!--") {
        return comment.split_once("-->").map_or("", |(_, after)| after);
    }
    let inner = &rest[1..];
    let closing = inner.starts_with('/');
    let name_at = &inner[usize::from(closing)..];
    if !name_at.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?') {
        out.visible('<');
        return inner;
    }
    let name_end = name_at.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name_at.len());
    let name = name_at[..name_end].to_ascii_lowercase();
    let after = after_tag(&name_at[name_end..]);
    match name.as_str() {
        "p" => out.line_end(2),
        "li" if !closing => {
            out.line_end(1);
            out.words("- ");
        }
        "td" | "th" => out.space_wanted = true,
        name if BLOCKS.contains(&name) => out.line_end(if name == "br" { 2 } else { 1 }),
        // An unclosed <head> is common in cut-off mails, and nothing after it would be read otherwise.
        "head" if !closing && !out.head_is_open => {
            let behind = after_element(after, "head");
            out.head_is_open = behind.is_none();
            return behind.unwrap_or(after);
        }
        name if !closing && SILENT.contains(&name) => return after_element(after, name).unwrap_or(""),
        _ => {}
    }
    after
}

/// Behind the `>` that ends a tag; one inside a quoted attribute does not end it.
fn after_tag(attributes: &str) -> &str {
    let mut quote = None;
    for (at, byte) in attributes.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return &attributes[at + 1..],
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            (None | Some(_), _) => {}
        }
    }
    // A quote that never closes would swallow the rest of the mail.
    attributes.split_once('>').map_or("", |(_, after)| after)
}

fn after_element<'a>(rest: &'a str, name: &str) -> Option<&'a str> {
    let mut from = 0;
    while let Some(at) = rest[from..].find("</") {
        let close = &rest[from + at + 2..];
        if close.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return close.split_once('>').map(|(_, after)| after);
        }
        from += at + 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_and_everything_else_goes() {
        let html = "<html><head><title>T</title><style type='a>b'>p{}</style></head><body><p>One &amp; two<br>three</p>\
            <script>alert('<p>')</script><!-- c --><ul><li>a</li><li>b</li></ul><table><tr><td>x</td><td>y</td></tr>\
            </table><a href=\"javascript:x\">link</a> 1 < 2 &copy; AT&T</body></html>";
        assert_eq!(html_to_text(html), "One & two\nthree\n- a\n- b\nx y\nlink 1 < 2 \u{a9} AT&T");
    }

    #[test]
    fn broken_html_yields_what_there_is() {
        assert_eq!(html_to_text("a<b \"c>d"), "ad");
        assert_eq!(html_to_text("a<script>b"), "a");
        assert_eq!(html_to_text("<head>a<head>b"), "ab");
        assert_eq!(html_to_text("a<!-- b"), "a");
        assert_eq!(html_to_text("\u{e9}<\u{e9}&\u{e9};"), "\u{e9}<\u{e9}&\u{e9};");
    }
}
