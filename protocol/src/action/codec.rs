//! The canonical bytes of an action: strict arrays, and the draft's rules for every value.

use aiemp_keys::cbor::{self, CborError, Fields, Value};

use super::{
    A2a, Action, ActionError, ActionKind, Attachment, Content, Email, Http, Payment, Post, Tool, field,
    field::{Fault, Rule},
    json, money,
};
use crate::{
    ids::{ContentHash, WorkId},
    limits::{ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX, PARAMS_MAX, RECIPIENTS_MAX, REFERENCES_MAX},
};

/// Raised when a field is added or changes its meaning.
const FORMAT_VERSION: u64 = 1;

pub(super) fn encode(action: &Action) -> Vec<u8> {
    let content = match &action.content {
        Content::Email(email) => email_value(email),
        Content::Post(post) => {
            let Post { hand, network, text, attachments } = post;
            cbor::array([cbor::text(hand), cbor::text(network), cbor::text(text), attachment_values(attachments)])
        }
        Content::Payment(payment) => {
            let Payment { hand, payee, account, amount_minor, currency, reference } = payment;
            cbor::array([
                cbor::text(hand),
                cbor::text(payee),
                cbor::text(account),
                cbor::uint(*amount_minor),
                cbor::text(currency),
                cbor::text(reference),
            ])
        }
        Content::Tool(Tool { server, tool, arguments, schema }) => cbor::array([
            cbor::text(server),
            cbor::text(tool),
            cbor::bytes(arguments),
            cbor::option(schema.map(|hash| hash.to_value())),
        ]),
        Content::Http(Http { connector, params }) => {
            let params = params.iter().map(|(name, value)| cbor::array([cbor::text(name), cbor::text(value)]));
            cbor::array([cbor::text(connector), cbor::array(params)])
        }
        Content::A2a(A2a { agent, card_key, message }) => {
            cbor::array([cbor::text(agent), card_key.to_value(), cbor::text(message)])
        }
    };
    cbor::encode(&cbor::array([
        cbor::uint(FORMAT_VERSION),
        action.file.to_value(),
        action.work.to_value(),
        cbor::uint(action.kind().code()),
        content,
    ]))
}

fn email_value(email: &Email) -> Value {
    let Email { hand, from, to, cc, bcc, subject, body, in_reply_to, references, attachments } = email;
    cbor::array([
        cbor::text(hand),
        cbor::text(from),
        text_values(to),
        text_values(cc),
        text_values(bcc),
        cbor::text(subject),
        cbor::text(body),
        cbor::option(in_reply_to.as_deref().map(cbor::text)),
        text_values(references),
        attachment_values(attachments),
    ])
}

fn text_values(texts: &[String]) -> Value {
    cbor::array(texts.iter().map(|text| cbor::text(text)))
}

fn attachment_values(attachments: &[Attachment]) -> Value {
    cbor::array(attachments.iter().map(|Attachment { name, media_type, length, hash }| {
        cbor::array([cbor::text(name), cbor::text(media_type), cbor::uint(*length), hash.to_value()])
    }))
}

pub(super) fn decode(bytes: &[u8]) -> Result<Action, ActionError> {
    let mut fields = Fields::decode(bytes, "action")?;
    match fields.uint()? {
        FORMAT_VERSION => {}
        found => return Err(ActionError::Version { found }),
    }
    let file = fields.hash()?;
    let work = WorkId::read(&mut fields)?;
    let kind = ActionKind::from_code(fields.uint()?).ok_or_else(|| fields.invalid())?;
    let content = fields.value()?;
    fields.end()?;
    Ok(Action { file, work, content: read_content(kind, content)? })
}

fn read_content(kind: ActionKind, value: Value) -> Result<Content, ActionError> {
    let mut fields = Fields::of(value, kind.as_str())?;
    let content = match kind {
        ActionKind::Email => Content::Email(read_email(&mut fields)?),
        ActionKind::Post => Content::Post(read_post(&mut fields)?),
        ActionKind::Payment => Content::Payment(read_payment(&mut fields)?),
        ActionKind::Tool => Content::Tool(read_tool(&mut fields)?),
        ActionKind::Http => Content::Http(read_http(&mut fields)?),
        ActionKind::A2a => Content::A2a(A2a {
            agent: checked(&mut fields, "agent", field::line)?,
            card_key: fields.hash()?,
            message: checked(&mut fields, "message", field::message)?,
        }),
    };
    fields.end()?;
    Ok(content)
}

fn read_email(fields: &mut Fields) -> Result<Email, ActionError> {
    let email = Email {
        hand: checked(fields, "hand", field::name)?,
        from: checked(fields, "from", field::address)?,
        to: checked_list(fields, "to", field::address)?,
        cc: checked_list(fields, "cc", field::address)?,
        bcc: checked_list(fields, "bcc", field::address)?,
        subject: checked(fields, "subject", field::any_line)?,
        body: checked(fields, "body", field::body)?,
        in_reply_to: match fields.optional()? {
            None => None,
            Some(value) => Some(checked_text(value, "in_reply_to", field::message_id)?),
        },
        references: checked_list(fields, "references", field::message_id)?,
        attachments: read_attachments(fields)?,
    };
    if email.to.is_empty() {
        return Err(ActionError::Value { field: "to", problem: "nobody".to_owned() });
    }
    at_most(RECIPIENTS_MAX, "to", email.recipients().len())?;
    at_most(REFERENCES_MAX, "references", email.references.len())?;
    Ok(email)
}

fn read_post(fields: &mut Fields) -> Result<Post, ActionError> {
    let post = Post {
        hand: checked(fields, "hand", field::name)?,
        network: checked(fields, "network", field::name)?,
        text: checked(fields, "text", field::body)?,
        attachments: read_attachments(fields)?,
    };
    if post.attachments.is_empty() {
        field::message(&post.text).map_err(|fault| value_error("text", fault))?;
    }
    Ok(post)
}

fn read_payment(fields: &mut Fields) -> Result<Payment, ActionError> {
    let payment = Payment {
        hand: checked(fields, "hand", field::name)?,
        payee: checked(fields, "payee", field::line)?,
        account: checked(fields, "account", field::line)?,
        amount_minor: fields.uint()?,
        currency: checked(fields, "currency", money::currency)?,
        reference: checked(fields, "reference", field::any_line)?,
    };
    if payment.amount_minor == 0 {
        return Err(ActionError::Value { field: "amount", problem: "nothing".to_owned() });
    }
    Ok(payment)
}

fn read_tool(fields: &mut Fields) -> Result<Tool, ActionError> {
    let tool = Tool {
        server: checked(fields, "server", field::name)?,
        tool: checked(fields, "tool", field::name)?,
        arguments: fields.bytes()?,
        schema: fields.optional_of(Fields::hash)?,
    };
    let text = std::str::from_utf8(&tool.arguments)
        .map_err(|_| ActionError::Value { field: "arguments", problem: "not UTF-8".to_owned() })?;
    json::object(text).map_err(|fault| value_error("arguments", fault))?;
    Ok(tool)
}

fn read_http(fields: &mut Fields) -> Result<Http, ActionError> {
    let connector = checked(fields, "connector", field::name)?;
    let params: Vec<_> = fields.list_of(|value| {
        let mut fields = Fields::of(value, "param")?;
        let name = checked(&mut fields, "params", field::name)?;
        let value = checked(&mut fields, "params", field::any_line)?;
        fields.end()?;
        Ok::<_, ActionError>((name, value))
    })?;
    at_most(PARAMS_MAX, "params", params.len())?;
    if !params.is_sorted_by(|(before, _), (after, _)| before < after) {
        return Err(ActionError::Value { field: "params", problem: "not sorted by name, or a name twice".to_owned() });
    }
    Ok(Http { connector, params })
}

fn read_attachments(fields: &mut Fields) -> Result<Vec<Attachment>, ActionError> {
    let attachments: Vec<_> = fields.list_of(read_attachment)?;
    at_most(ATTACHMENTS_MAX, "attachment", attachments.len())?;
    let total = attachments.iter().fold(0u64, |total, one| total.saturating_add(one.length));
    if total > ATTACHMENT_BYTES_MAX {
        let problem = format!("more than {ATTACHMENT_BYTES_MAX} bytes together");
        return Err(ActionError::Value { field: "attachment", problem });
    }
    Ok(attachments)
}

fn at_most(max: usize, field: &'static str, count: usize) -> Result<(), ActionError> {
    if count <= max {
        return Ok(());
    }
    Err(ActionError::Value { field, problem: format!("{count} of them, and {max} are the most") })
}

fn read_attachment(value: Value) -> Result<Attachment, ActionError> {
    let mut fields = Fields::of(value, "attachment")?;
    let attachment = Attachment {
        name: checked(&mut fields, "attachment", field::line)?,
        media_type: checked(&mut fields, "attachment", field::media_type)?,
        length: fields.uint()?,
        hash: ContentHash::read(&mut fields)?,
    };
    fields.end()?;
    Ok(attachment)
}

fn checked(fields: &mut Fields, name: &'static str, rule: Rule) -> Result<String, ActionError> {
    checked_text(fields.value()?, name, rule)
}

fn checked_list(fields: &mut Fields, name: &'static str, rule: Rule) -> Result<Vec<String>, ActionError> {
    fields.list_of(|value| checked_text(value, name, rule))
}

fn checked_text(value: Value, name: &'static str, rule: Rule) -> Result<String, ActionError> {
    let text = value.into_text().map_err(|_| CborError::Field { what: name, index: 0 })?;
    rule(&text).map_err(|fault| value_error(name, fault))?;
    Ok(text)
}

fn value_error(field: &'static str, fault: Fault) -> ActionError {
    ActionError::Value { field, problem: fault.message }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::action::fixtures;

    #[test]
    fn a_line_break_in_an_address_is_refused() {
        let mut action = fixtures::invoice_mail();
        let Content::Email(email) = &mut action.content else { panic!("an email") };
        email.to = vec!["a@client.test\r\nBcc: b@x.test".to_owned()];
        let read = Action::from_bytes(&action.to_bytes());
        assert!(matches!(read, Err(ActionError::Value { field: "to", .. })), "{read:?}");
    }

    #[test]
    fn unsorted_params_and_a_newer_version_are_refused() {
        let params = vec![("b".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        let content = Content::Http(Http { connector: "crm".to_owned(), params });
        let action = Action { content, ..fixtures::invoice_mail() };
        assert!(matches!(Action::from_bytes(&action.to_bytes()), Err(ActionError::Value { field: "params", .. })));

        let mut bytes = fixtures::invoice_mail().to_bytes();
        bytes[1] = 2;
        assert_eq!(Action::from_bytes(&bytes), Err(ActionError::Version { found: 2 }));
    }

    #[test]
    fn lists_that_are_too_long_are_refused() {
        let refused = |change: &dyn Fn(&mut Email)| {
            let mut action = fixtures::invoice_mail();
            let Content::Email(email) = &mut action.content else { panic!("an email") };
            change(email);
            match Action::from_bytes(&action.to_bytes()) {
                Err(ActionError::Value { field, .. }) => Some(field),
                Ok(_) | Err(_) => None,
            }
        };
        let addresses = |count: usize| vec!["a@client.test".to_owned(); count];
        assert_eq!(refused(&|email| email.bcc = addresses(RECIPIENTS_MAX - 2)), None);
        assert_eq!(refused(&|email| email.bcc = addresses(RECIPIENTS_MAX - 1)), Some("to"));
        assert_eq!(refused(&|email| email.references = addresses(REFERENCES_MAX)), None);
        assert_eq!(refused(&|email| email.references = addresses(REFERENCES_MAX + 1)), Some("references"));
        let files = |count, length| vec![Attachment { length, ..fixtures::invoice() }; count];
        assert_eq!(refused(&|email| email.attachments = files(ATTACHMENTS_MAX, 1)), None);
        assert_eq!(refused(&|email| email.attachments = files(ATTACHMENTS_MAX + 1, 1)), Some("attachment"));
        assert_eq!(refused(&|email| email.attachments = files(2, ATTACHMENT_BYTES_MAX / 2)), None);
        assert_eq!(refused(&|email| email.attachments = files(2, ATTACHMENT_BYTES_MAX / 2 + 1)), Some("attachment"));
        assert_eq!(refused(&|email| email.attachments = files(2, u64::MAX)), Some("attachment"));

        let params = (0..=PARAMS_MAX).map(|n| (format!("{n:03}"), String::new())).collect();
        let content = Content::Http(Http { connector: "crm".to_owned(), params });
        let read = Action::from_bytes(&Action { content, ..fixtures::invoice_mail() }.to_bytes());
        assert!(matches!(read, Err(ActionError::Value { field: "params", .. })), "{read:?}");
    }

    proptest! {
        #[test]
        fn every_action_comes_back(action in fixtures::actions()) {
            prop_assert_eq!(Action::from_bytes(&action.to_bytes()), Ok(action));
        }

        #[test]
        fn a_flipped_byte_is_another_action_or_none(
            action in fixtures::actions(),
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let mut bytes = action.to_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(read) = Action::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes);
                prop_assert_ne!(read.hash(), action.hash());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            if let Ok(action) = Action::from_bytes(&bytes) {
                prop_assert_eq!(action.to_bytes(), bytes);
            }
        }
    }
}
