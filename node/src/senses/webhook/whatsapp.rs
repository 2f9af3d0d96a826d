//! The WhatsApp Business Cloud API: posts are signed over their raw bytes, and hold messages, and words about messages that
//! were sent, which are passed over. Shaped after Meta's documentation; not run against its servers.

use aiemp_keys::Secret;
use aiemp_protocol::time::Timestamp;
use axum::http::{HeaderMap, StatusCode};
use data_encoding::HEXLOWER_PERMISSIVE;
use ring::hmac;
use serde::Deserialize;
use serde_json::Value;

use super::{Refusal, UNSIGNED, header, is_same, key};
use crate::shell::control::WireArrival;

pub(super) struct Whatsapp {
    key: hmac::Key,
    verify: Secret<String>,
}

/// What is read of a post; the rest may be anything.
#[derive(Debug, Deserialize)]
struct Post {
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(default)]
    changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Change {
    #[serde(default)]
    value: Messages,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Messages {
    contacts: Vec<Contact>,
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Contact {
    #[serde(default)]
    profile: Profile,
    wa_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Profile {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Message {
    id: String,
    from: String,
    #[serde(default)]
    timestamp: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

impl Whatsapp {
    pub(super) fn new(secret: &Secret<String>, verify: Secret<String>) -> Self {
        Self { key: key(secret.expose().as_bytes()), verify }
    }

    /// What is answered when the address is set up, where the question knows the token.
    pub(super) fn challenge(&self, query: &str) -> Option<String> {
        let url = reqwest::Url::parse(&format!("http://localhost/?{query}")).ok()?;
        let of = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let knows = of("hub.mode")? == "subscribe" && is_same(&self.verify, &of("hub.verify_token")?);
        of("hub.challenge").filter(|_| knows)
    }

    pub(super) fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<Vec<WireArrival>, Refusal> {
        let signature = header(headers, "x-hub-signature-256").strip_prefix("sha256=").unwrap_or_default();
        let signature = HEXLOWER_PERMISSIVE.decode(signature.as_bytes()).unwrap_or_default();
        hmac::verify(&self.key, body, &signature).map_err(|_| UNSIGNED)?;
        let post: Post = serde_json::from_slice(body)
            .map_err(|_| Refusal(StatusCode::BAD_REQUEST, "the body is not of the form of WhatsApp"))?;
        let changes = post.entry.into_iter().flat_map(|entry| entry.changes);
        Ok(changes.flat_map(|Change { value }| value.arrivals()).collect())
    }
}

impl Messages {
    fn arrivals(self) -> impl Iterator<Item = WireArrival> {
        let Self { contacts, messages } = self;
        messages.into_iter().filter(|message| !message.id.is_empty()).map(move |message| {
            let contact = contacts.iter().find(|contact| contact.wa_id == message.from);
            let name = contact.map(|contact| contact.profile.name.as_str()).filter(|name| !name.is_empty());
            let number = &message.from;
            message.arrival(name.map_or_else(|| format!("+{number}"), |name| format!("{name} (+{number})")))
        })
    }
}

impl Message {
    fn arrival(&self, from: String) -> WireArrival {
        let seconds: Option<u64> = self.timestamp.parse().ok();
        let sent = seconds.map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000)).to_string());
        WireArrival {
            id: self.id.clone(),
            kind: "whatsapp".to_owned(),
            subject: format!("WhatsApp message from {from}"),
            from,
            received: sent,
            text: self.text(),
            ..WireArrival::default()
        }
    }

    /// What it says; of pictures and the like that they are there.
    fn text(&self) -> String {
        let at = |path: &str| {
            self.rest.get(self.kind.as_str()).and_then(|value| value.pointer(path)).and_then(Value::as_str)
        };
        let said = ["/body", "/text", "/emoji", "/button_reply/title", "/list_reply/title", "/caption", "/name"];
        let said = said.into_iter().find_map(at);
        match (self.kind.as_str(), said) {
            ("text" | "button" | "interactive", Some(said)) => said.to_owned(),
            (kind, Some(said)) => format!("({kind}) {said}"),
            (kind, None) => format!("({kind}, which is not shown here)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &str = r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{
        "messaging_product":"whatsapp","metadata":{"display_phone_number":"1","phone_number_id":"2"},
        "contacts":[{"profile":{"name":"Ann"},"wa_id":"4479"}],
        "messages":[{"from":"4479","id":"wamid.1","timestamp":"1614265330","type":"text","text":{"body":"hello"}},
                    {"from":"4480","id":"wamid.2","timestamp":"x","type":"image","image":{"id":"9","caption":"a cat"}},
                    {"from":"4479","id":"wamid.3","type":"sticker","sticker":{"id":"9"}}]}},
        {"field":"messages","value":{"statuses":[{"id":"wamid.0","status":"read"}]}}]}]}"#;

    fn whatsapp() -> Whatsapp {
        Whatsapp::new(&Secret::new("app secret".to_owned()), Secret::new("verify me".to_owned()))
    }

    fn signed(body: &[u8], with: &str) -> HeaderMap {
        let tag = hmac::sign(&key(with.as_bytes()), body);
        let value = format!("sha256={}", data_encoding::HEXLOWER.encode(tag.as_ref()));
        [("x-hub-signature-256".parse().expect("a name"), value.parse().expect("a value"))].into_iter().collect()
    }

    #[test]
    fn each_message_of_a_signed_post_is_one_arrival() {
        let body = POST.as_bytes();
        let taken = whatsapp().read(&signed(body, "app secret"), body).expect("taken");
        let told: Vec<_> = taken.iter().map(|one| (one.id.as_str(), one.from.as_str(), one.text.as_str())).collect();
        assert_eq!(
            told,
            [
                ("wamid.1", "Ann (+4479)", "hello"),
                ("wamid.2", "+4480", "(image) a cat"),
                ("wamid.3", "Ann (+4479)", "(sticker, which is not shown here)"),
            ]
        );
        assert_eq!(taken[0].received.as_deref(), Some("2021-02-25T15:02:10Z"));
        assert_eq!(taken[1].received, None);
    }

    #[test]
    fn another_body_or_secret_is_refused() {
        let body = POST.as_bytes();
        assert_eq!(whatsapp().read(&signed(body, "another"), body), Err(UNSIGNED));
        assert_eq!(whatsapp().read(&signed(body, "app secret"), &body[1..]), Err(UNSIGNED));
        assert_eq!(whatsapp().read(&HeaderMap::new(), body), Err(UNSIGNED));
        let no_json = b"hello";
        let refused = whatsapp().read(&signed(no_json, "app secret"), no_json).expect_err("refused");
        assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn the_question_of_the_setup_is_answered_to_who_knows_the_token() {
        let ask = |token: &str| {
            whatsapp().challenge(&format!("hub.mode=subscribe&hub.challenge=11%2B5&hub.verify_token={token}"))
        };
        assert_eq!(ask("verify+me").as_deref(), Some("11+5"));
        assert_eq!(ask("guess"), None);
        assert_eq!(whatsapp().challenge("hub.mode=subscribe"), None);
    }
}
