//! From a draft note to its action: the reading side of `docs/draft-format.md`.

use aiemp_keys::Hash;

use super::{
    A2a, Action, Attachment, Content, Email, Http, Payment, Post, Tool, action_id,
    field::{self, Fault, Rule},
    front_matter, json, money,
    reader::{Bound, Checked, Reader, Refusal, Refused},
    spell,
};
use crate::{
    ids::{ContentHash, FileId, WorkId},
    limits::{ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX, PARAMS_MAX, RECIPIENTS_MAX, REFERENCES_MAX},
    time::Timestamp,
    vault_path::VaultPath,
};

/// The message of the refusal of a note that does not want to be a draft.
pub const NOT_A_DRAFT: &str = "not a draft";

/// What a draft is read with.
pub struct DeriveContext<'a> {
    /// The file that the note stands in.
    pub file: FileId,
    /// The work id of a draft that names none.
    pub fallback_work: WorkId,
    /// The hand of a mail, post or payment that names none.
    pub default_hand: &'a str,
    /// The sender of a mail that names none.
    pub default_from: Option<&'a str>,
    /// Finds a file of the vault by its path.
    pub attachment: &'a dyn Fn(&str) -> Option<AttachmentInfo>,
}

/// What is known of a file to be sent along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentInfo {
    /// Length in bytes.
    pub length: u64,
    /// The content address of its bytes.
    pub hash: ContentHash,
    /// Its media type.
    pub media_type: String,
}

/// A draft that can be approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it would do.
    pub action: Action,
    /// When it stops being approvable; never, when it does not say.
    pub expires: Option<Timestamp>,
    /// Where its attachments lie in the vault, in the action's order.
    pub attachments: Vec<VaultPath>,
}

/// Derives the action of a note, or tells everything that stands against it, in the order of lines.
///
/// Refusals come when the note is not in the draft format; at most 100 are told. Equal notes and contexts give equal
/// actions.
pub fn derive(note: &[u8], context: &DeriveContext<'_>) -> Result<Draft, Vec<Refusal>> {
    let note = front_matter::read(note).map_err(|refusal| vec![refusal])?;
    let says_action = note.entries.iter().any(|entry| entry.key == "action");
    let reader = Reader::new(note.entries, note.refusals);
    let mut draft = DraftReader { reader, context, body: note.body, body_line: note.body_line, paths: Vec::new() };
    if !says_action {
        let fix = "a draft names what it does in a key `action`, for example `action: email`";
        draft.reader.refuse_home(Fault::new(NOT_A_DRAFT, fix));
        return Err(draft.reader.finish(false));
    }
    let content = draft.content();
    let work = draft.reader.scalar(&["work_id"], |scalar| parse_hash(scalar.as_text()?).map(WorkId));
    let expires = draft.reader.scalar(&["expires"], |scalar| parse_time(&scalar.text));
    draft.refuse_boilerplate();
    let attachments = draft.paths;
    let refusals = draft.reader.finish(content.is_some());
    match (content, work, expires) {
        (Some(Ok(content)), Ok(work), Ok(expires)) if refusals.is_empty() => {
            let work = work.unwrap_or(context.fallback_work);
            Ok(Draft { action: Action { file: action_id(context.file), work, content }, expires, attachments })
        }
        _ => Err(refusals),
    }
}

struct DraftReader<'a> {
    reader: Reader,
    context: &'a DeriveContext<'a>,
    body: String,
    body_line: usize,
    /// Where the attachments lie.
    paths: Vec<VaultPath>,
}

impl DraftReader<'_> {
    /// The content; `None` when the kind is not known, so that nothing can be said about the other keys.
    fn content(&mut self) -> Option<Checked<Content>> {
        let kind = self.reader.required(&["action"], |_| Ok(())).ok()?;
        match kind.as_str() {
            "email" | "send_email" => Some(self.email(false).map(Content::Email)),
            "reply" => Some(self.email(true).map(Content::Email)),
            "post" => Some(self.post().map(Content::Post)),
            "payment" => Some(self.payment().map(Content::Payment)),
            "tool" => Some(self.tool().map(Content::Tool)),
            "http" => Some(self.http().map(Content::Http)),
            "a2a" => Some(self.a2a().map(Content::A2a)),
            other => {
                self.reader.refuse_home(Fault::new(
                    format!("`{}` is no action", spell::line(other)),
                    "use one of: email send_email reply post payment tool http a2a",
                ));
                None
            }
        }
    }

    // Each of these reads every field before it looks at any outcome: a person corrects a draft once.

    fn email(&mut self, is_reply: bool) -> Checked<Email> {
        let hand = self.hand();
        let from = match self.reader.text(&["from"], field::address) {
            Ok(None) => self.default_from(),
            Ok(Some(from)) => Ok(from),
            Err(Refused) => Err(Refused),
        };
        let to = self.addresses("to", 0);
        let mut taken = to.as_ref().map_or(0, Vec::len);
        let to = to.and_then(|to| self.reader.present(&["to"], Some(to).filter(|to| !to.is_empty())));
        let cc = self.addresses("cc", taken);
        taken += cc.as_ref().map_or(0, Vec::len);
        let bcc = self.addresses("bcc", taken);
        let subject = self.reader.required(&["subject"], field::any_line);
        let mut in_reply_to = self.reader.text(&["in_reply_to"], field::message_id);
        if is_reply {
            in_reply_to = in_reply_to.and_then(|id| self.reader.present(&["in_reply_to"], id).map(Some));
        }
        let references = self
            .reader
            .list(&["references"], at_most(REFERENCES_MAX, "message ids"), |text| checked(text, field::message_id));
        let attachments = self.attachments();
        let body = self.body_lines();
        Ok(Email {
            hand: hand?,
            from: from?,
            to: to?,
            cc: cc?,
            bcc: bcc?,
            subject: subject?,
            body: body?,
            in_reply_to: in_reply_to?,
            references: references?,
            attachments: attachments?,
        })
    }

    fn post(&mut self) -> Checked<Post> {
        let hand = self.hand();
        let network = self.reader.required(&["network"], field::name);
        let attachments = self.attachments();
        let has_attachment = attachments.as_ref().is_ok_and(|attachments| !attachments.is_empty());
        let text = if has_attachment { self.body_lines() } else { self.body_message() };
        Ok(Post { hand: hand?, network: network?, text: text?, attachments: attachments? })
    }

    fn payment(&mut self) -> Checked<Payment> {
        let hand = self.hand();
        let payee = self.reader.required(&["payee", "recipient", "to"], field::line);
        let account = self.reader.required(&["account"], field::line);
        let currency = self.reader.required(&["currency"], money::currency);
        // Without a known currency, one with the most decimals tells at least what is no number at all.
        let known = currency.as_deref().unwrap_or("KWD").to_owned();
        let amount = self.reader.scalar(&["amount"], |scalar| money::parse(scalar.as_number()?, &known));
        let amount = amount.and_then(|amount| self.reader.present(&["amount"], amount));
        let reference = self.reader.text(&["reference"], field::any_line);
        Ok(Payment {
            hand: hand?,
            payee: payee?,
            account: account?,
            amount_minor: amount?,
            currency: currency?,
            reference: reference?.unwrap_or_default(),
        })
    }

    fn tool(&mut self) -> Checked<Tool> {
        let server = self.reader.required(&["server"], field::name);
        let tool = self.reader.required(&["tool"], field::name);
        let schema = self.reader.scalar(&["schema"], |scalar| parse_hash(scalar.as_text()?));
        let arguments = self.body.trim_matches([' ', '\t', '\n']).to_owned();
        let valid = self.reader.check(self.body_line, json::object(&arguments));
        Ok(Tool { server: server?, tool: tool?, arguments: valid.map(|()| arguments.into_bytes())?, schema: schema? })
    }

    fn http(&mut self) -> Checked<Http> {
        let connector = self.reader.required(&["connector"], field::name);
        let mut params = self.reader.list(&["params"], at_most(PARAMS_MAX, "parameters"), parse_param)?;
        params.sort();
        if params.windows(2).any(|pair| matches!(pair, [(before, _), (after, _)] if before == after)) {
            return Err(self.reader.refuse_home(Fault::new("`params`: a name stands twice", "keep one of them")));
        }
        Ok(Http { connector: connector?, params })
    }

    fn a2a(&mut self) -> Checked<A2a> {
        let agent = self.reader.required(&["agent"], field::line);
        let card_key = self.reader.scalar(&["card_key"], |scalar| parse_hash(scalar.as_text()?));
        let card_key = card_key.and_then(|key| self.reader.present(&["card_key"], key));
        let message = self.body_message();
        Ok(A2a { agent: agent?, card_key: card_key?, message: message? })
    }

    fn hand(&mut self) -> Checked<String> {
        let hand = self.reader.text(&["hand"], field::name)?;
        match hand {
            Some(hand) => Ok(hand),
            None => self.configured("hand", self.context.default_hand, field::name),
        }
    }

    fn default_from(&mut self) -> Checked<String> {
        let from = self.reader.present(&["from"], self.context.default_from)?;
        self.configured("from", from, field::address)
    }

    /// A value that the note leaves to the configuration.
    fn configured(&mut self, key: &str, value: &str, rule: Rule) -> Checked<String> {
        let fix = format!("add a line `{key}: …`, or correct the configuration");
        checked(value, rule).map_err(|fault| {
            self.reader.refuse_home(Fault::new(format!("the configured `{key}` {}", fault.message), fix))
        })
    }

    /// `taken` recipients stand in other keys.
    fn addresses(&mut self, key: &'static str, taken: usize) -> Checked<Vec<String>> {
        let bound = Bound { taken, ..at_most(RECIPIENTS_MAX, "recipients in `to`, `cc` and `bcc` together") };
        self.reader.list(&[key], bound, |text| checked(text, field::address))
    }

    fn attachments(&mut self) -> Checked<Vec<Attachment>> {
        let (find, paths) = (self.context.attachment, &mut self.paths);
        let mut total = 0u64;
        self.reader.list(&["attachments", "attachment"], at_most(ATTACHMENTS_MAX, "attachments"), |text| {
            let (attachment, path) = attach(text, find)?;
            total = total.saturating_add(attachment.length);
            if total > ATTACHMENT_BYTES_MAX {
                let message = format!(
                    "with `{}` the attachments have more than {ATTACHMENT_BYTES_MAX} bytes together",
                    spell::line(text)
                );
                return Err(Fault::new(
                    message,
                    "attach fewer or smaller files, or put them where a link reaches them",
                ));
            }
            paths.push(path);
            Ok(attachment)
        })
    }

    /// The body with its control characters refused line by line.
    fn body_lines(&mut self) -> Checked<String> {
        let mut outcome = Ok(());
        let body = std::mem::take(&mut self.body);
        for (number, line) in (self.body_line..).zip(body.split('\n')) {
            if self.reader.check(number, field::body(line)).is_err() {
                outcome = Err(Refused);
            }
        }
        self.body = body;
        outcome.map(|()| self.body.clone())
    }

    fn body_message(&mut self) -> Checked<String> {
        let body = self.body_lines()?;
        self.reader.check(self.body_line, field::message(&body)).map(|()| body)
    }

    /// Refuses the blueprint's instructions to the approver: they would be sent, and approving is no file move.
    fn refuse_boilerplate(&mut self) {
        for (number, line) in (self.body_line..).zip(self.body.split('\n')) {
            if is_boilerplate(line) {
                let fix = "remove these lines; a draft is approved with `aiemp-node approvals approve`";
                self.reader.refuse(number, Fault::new("an instruction to the approver stands in the text", fix));
            }
        }
    }
}

fn is_boilerplate(line: &str) -> bool {
    let is_heading = line.trim_start().starts_with('#');
    let words = line.trim_start_matches(['#', '*', '_', '-', '>', ' ', '\t']).to_lowercase();
    let starts = |phrase: &str| words.starts_with(phrase);
    starts("move this file to") || (is_heading && (starts("to approve") || starts("to reject")))
}

fn at_most(max: usize, what: &'static str) -> Bound {
    Bound { max, taken: 0, what }
}

fn checked(text: &str, rule: Rule) -> Result<String, Fault> {
    rule(text).map(|()| text.to_owned())
}

fn attach(text: &str, find: &dyn Fn(&str) -> Option<AttachmentInfo>) -> Result<(Attachment, VaultPath), Fault> {
    field::line(text)?;
    let relative = text.strip_prefix("/Vault/").or_else(|| text.strip_prefix('/')).unwrap_or(text);
    let shown = spell::line(text);
    let path = VaultPath::parse(relative).map_err(|error| {
        Fault::new(format!("`{shown}` is no path in the vault: {error}"), "write it as `Invoices/x.pdf`")
    })?;
    let AttachmentInfo { length, hash, media_type } = find(path.as_str()).ok_or_else(|| {
        Fault::new(format!("`{shown}` is not in the vault"), "save the file there, or correct the path")
    })?;
    field::media_type(&media_type)?;
    Ok((Attachment { name: path.name().to_owned(), media_type, length, hash }, path))
}

fn parse_param(text: &str) -> Result<(String, String), Fault> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Fault::new(format!("`{}` has no `=`", spell::line(text)), "write each as `name=value`"))?;
    field::name(name)?;
    field::any_line(value)?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_hash(text: &str) -> Result<Hash, Fault> {
    text.parse().map_err(|error| Fault::new(format!("{error}"), "write the 64 digits, or leave the key out"))
}

fn parse_time(text: &str) -> Result<Timestamp, Fault> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| {
        let is_naive = Timestamp::parse_rfc3339(&format!("{text}Z")).is_some();
        let message = if is_naive { "the time has no offset, so it names no instant" } else { "not an RFC 3339 time" };
        let fix = if is_naive {
            format!("write `{text}Z` for UTC, or the offset: `{text}+01:00`")
        } else {
            "write it as `2026-01-07T10:30:00Z`".to_owned()
        };
        Fault::new(message, fix)
    })
}

#[cfg(test)]
mod tests;
