//! The bounded walk through a mail's parts.
//!
//! mail-parser follows attached mails and nested parts without a limit, so a mail made for it can use up memory and,
//! when dropped, the stack. Here it reads header blocks only; parts are cut and counted by this walk.

use aiemp_protocol::ids::ContentHash;
use mail_parser::{ContentType, HeaderName, Message, MessageParser, MimeHeaders};

use super::{
    ATTACHMENTS_MAX, DEPTH_MAX, HEADER_BYTES_MAX, HTML_BYTES_MAX, MailAttachment, NAME_BYTES_MAX, PARTS_MAX,
    TEXT_BYTES_MAX, decode, html, inert,
};

/// A header block and the body behind it.
pub(super) struct Part<'a> {
    pub(super) headers: Message<'static>,
    pub(super) body: &'a [u8],
    /// The header block was longer than the limit.
    pub(super) cut: bool,
}

impl<'a> Part<'a> {
    /// Splits at the first empty line; a part without one is all header.
    pub(super) fn split(raw: &'a [u8]) -> Self {
        let (head, body) = raw.split_at(header_end(raw));
        let cut = head.len() > HEADER_BYTES_MAX;
        let mut block = head[..head.len().min(HEADER_BYTES_MAX)].to_vec();
        block.extend_from_slice(b"\n\n");
        let headers = MessageParser::default().parse_headers(&block).map(Message::into_owned).unwrap_or_default();
        Self { headers, body, cut }
    }

    /// Whether not a single header was found.
    pub(super) fn is_bare(&self) -> bool {
        self.headers.parts.is_empty()
    }

    fn content_type(&self) -> Option<&ContentType<'_>> {
        if self.is_bare() { None } else { self.headers.content_type() }
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.content_type()?.attribute(name)
    }

    fn is_attachment(&self) -> bool {
        !self.is_bare()
            && (self.headers.content_disposition().is_some_and(ContentType::is_attachment)
                || self.headers.attachment_name().is_some())
    }

    fn file_name(&self) -> String {
        let name = if self.is_bare() { None } else { self.headers.attachment_name() };
        let name = inert::one_line(name.unwrap_or_default(), NAME_BYTES_MAX);
        if name.is_empty() { "unnamed".to_owned() } else { name }
    }

    fn decoded(&self) -> Vec<u8> {
        let encoding = if self.is_bare() { None } else { self.headers.content_transfer_encoding() };
        decode::transfer_decoded(encoding.unwrap_or_default(), self.body)
    }
}

fn header_end(raw: &[u8]) -> usize {
    let mut end = 0;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if line == b"\n" || line == b"\r\n" {
            return end;
        }
    }
    raw.len()
}

/// `type/subtype` in lower case; anything that is no pair of MIME tokens is unknown bytes.
fn media_type(content_type: Option<&ContentType<'_>>, default: &str) -> String {
    let Some(content_type) = content_type else { return default.to_owned() };
    let (main, sub) = (content_type.ctype(), content_type.subtype().unwrap_or_default());
    let is_token = |word: &str| {
        (1..=64).contains(&word.len())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    if is_token(main) && is_token(sub) {
        format!("{main}/{sub}").to_ascii_lowercase()
    } else if main.eq_ignore_ascii_case("text") {
        // RFC 2045 section 5.2: a content type that cannot be read counts as plain text.
        "text/plain".to_owned()
    } else {
        "application/octet-stream".to_owned()
    }
}

/// What one part contributes to the text.
struct Piece {
    is_plain: bool,
    text: String,
}

/// What the walk has found.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) attachments: Vec<MailAttachment>,
    pub(super) truncated: bool,
    parts: usize,
}

impl Walk {
    /// Walks `root`; gives its text.
    pub(super) fn text_of(&mut self, root: &Part<'_>) -> String {
        let pieces = self.visit(root, "text/plain", 0);
        let texts = pieces.iter().map(|piece| piece.text.trim_end_matches('\n')).filter(|text| !text.trim().is_empty());
        let mut text = texts.collect::<Vec<_>>().join("\n\n");
        if text.len() > TEXT_BYTES_MAX {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
            self.truncated = true;
        }
        text
    }

    fn visit(&mut self, part: &Part<'_>, default_type: &str, depth: usize) -> Vec<Piece> {
        self.parts += 1;
        self.truncated |= part.cut;
        let media_type = media_type(part.content_type(), default_type);
        match part.attribute("boundary") {
            Some(boundary) if media_type.starts_with("multipart/") && !boundary.is_empty() => {
                if depth == DEPTH_MAX {
                    self.truncated = true;
                    return Vec::new();
                }
                match split_parts(part.body, boundary) {
                    Some(found) => return self.visit_all(&found, &media_type, depth + 1),
                    None => self.truncated = true,
                }
            }
            Some(_) | None => {}
        }
        self.leaf(part, &media_type, depth)
    }

    fn visit_all(&mut self, found: &FoundParts<'_>, media_type: &str, depth: usize) -> Vec<Piece> {
        self.truncated |= !found.closed;
        let default_type = if media_type == "multipart/digest" { "message/rfc822" } else { "text/plain" };
        let mut children = Vec::new();
        for raw in &found.parts {
            if self.parts >= PARTS_MAX {
                self.truncated = true;
                break;
            }
            children.push(self.visit(&Part::split(raw), default_type, depth));
        }
        if media_type != "multipart/alternative" {
            return children.into_iter().flatten().collect();
        }
        let is_plain = |child: &Vec<Piece>| child.iter().any(|piece| piece.is_plain && !piece.text.trim().is_empty());
        let chosen = children.iter().position(is_plain).or_else(|| children.iter().position(|child| !child.is_empty()));
        chosen.map(|index| children.swap_remove(index)).unwrap_or_default()
    }

    fn leaf(&mut self, part: &Part<'_>, media_type: &str, depth: usize) -> Vec<Piece> {
        let is_html = media_type == "text/html";
        let is_text = is_html
            || media_type == "text/plain"
            || media_type.starts_with("multipart/")
            || (depth == 0 && media_type.starts_with("text/"));
        if !is_text || part.is_attachment() {
            self.attach(part, media_type);
            return Vec::new();
        }
        let mut text = decode::text_decoded(part.attribute("charset"), &part.decoded());
        if is_html {
            self.truncated |= text.len() > HTML_BYTES_MAX;
            text.truncate(text.floor_char_boundary(HTML_BYTES_MAX));
            text = html::html_to_text(&text);
        }
        // One byte more than is kept, so that the whole still shows that something was cut.
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX + 4));
        vec![Piece { is_plain: !is_html, text }]
    }

    fn attach(&mut self, part: &Part<'_>, media_type: &str) {
        if self.attachments.len() == ATTACHMENTS_MAX {
            self.truncated = true;
            return;
        }
        let bytes = part.decoded();
        self.attachments.push(MailAttachment {
            name: part.file_name(),
            media_type: media_type.to_owned(),
            length: bytes.len() as u64,
            hash: ContentHash::of(&bytes),
        });
    }
}

struct FoundParts<'a> {
    parts: Vec<&'a [u8]>,
    closed: bool,
}

/// The parts between boundary lines; `None` when there is no boundary line at all.
fn split_parts<'a>(body: &'a [u8], boundary: &str) -> Option<FoundParts<'a>> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (None, 0);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let line_start = at;
        at += line.len();
        let Some(tail) = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary.as_bytes())) else {
            continue;
        };
        let closes = tail.starts_with(b"--");
        if !tail[if closes { 2 } else { 0 }..].trim_ascii().is_empty() {
            continue;
        }
        if let Some(start) = start {
            parts.push(without_line_end(&body[start..line_start]));
        }
        if closes {
            return Some(FoundParts { parts, closed: true });
        }
        start = Some(at);
        // The walk counts what it visits; one more than it will visit is enough for it to notice.
        if parts.len() > PARTS_MAX {
            break;
        }
    }
    parts.push(&body[start?..]);
    Some(FoundParts { parts, closed: false })
}

/// The line end before a boundary belongs to the boundary.
fn without_line_end(part: &[u8]) -> &[u8] {
    part.strip_suffix(b"\r\n").or_else(|| part.strip_suffix(b"\n")).unwrap_or(part)
}

/// Whether a mail was sent by a machine or to a list, so that answering it helps nobody.
pub(super) fn is_list_mail(headers: &Message<'_>) -> bool {
    let raw = |name: &str| {
        headers.headers_raw().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let is_bulk = |value: &str| ["bulk", "list", "junk"].iter().any(|kind| value.eq_ignore_ascii_case(kind));
    headers.header(HeaderName::ListId).is_some()
        || headers.header(HeaderName::ListUnsubscribe).is_some()
        || raw("Precedence").is_some_and(is_bulk)
        || raw("Auto-Submitted").is_some_and(|value| !value.eq_ignore_ascii_case("no"))
}
