//! Standard Webhooks: the signature is over `id.timestamp.body`.

use std::time::Duration;

use aiemp_keys::Secret;
use aiemp_protocol::time::Timestamp;
use axum::http::{HeaderMap, StatusCode};
use data_encoding::{BASE64, BASE64_NOPAD};
use ring::hmac;
use serde_json::Value;

use super::{Refusal, UNSIGNED, header, key};
use crate::shell::control::WireArrival;

/// How far the sender's clock and this one may be apart.
const TOLERANCE: Duration = Duration::from_secs(300);
/// Secrets of this form are the base64 of the key.
const PREFIX: &str = "whsec_";
/// A longer body is shown as it came: nested deeply, it would grow a hundredfold.
const PRETTY_BYTES_MAX: usize = 64 << 10;
/// Signatures of one post: one for each key while a sender changes its key.
const SIGNATURES_MAX: usize = 8;

pub(super) struct Standard(hmac::Key);

impl Standard {
    pub(super) fn new(secret: &Secret<String>) -> Result<Self, &'static str> {
        let text = secret.expose().trim();
        let Some(encoded) = text.strip_prefix(PREFIX) else { return Ok(Self(key(text.as_bytes()))) };
        let bytes = BASE64_NOPAD.decode(encoded.trim_end_matches('=').as_bytes());
        let bytes = bytes.map(Secret::new).map_err(|_| "behind `whsec_` stands no base64")?;
        Ok(Self(key(bytes.expose())))
    }

    pub(super) fn read(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Vec<WireArrival>, Refusal> {
        let (id, time) = (header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
        if id.is_empty() || id.len() > 256 {
            return Err(Refusal(StatusCode::BAD_REQUEST, "`webhook-id` is missing, or too long"));
        }
        let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
        let is_signed = |signature: &str| {
            let bytes = signature.strip_prefix("v1,").and_then(|text| BASE64.decode(text.as_bytes()).ok());
            bytes.is_some_and(|bytes| hmac::verify(&self.0, &signed, &bytes).is_ok())
        };
        if !header(headers, "webhook-signature").split(' ').take(SIGNATURES_MAX).any(is_signed) {
            return Err(UNSIGNED);
        }
        let seconds: u64 =
            time.parse().map_err(|_| Refusal(StatusCode::BAD_REQUEST, "`webhook-timestamp` is no time"))?;
        let sent = Timestamp::from_millis(seconds.saturating_mul(1000));
        if sent + TOLERANCE < now || now + TOLERANCE < sent {
            return Err(Refusal(
                StatusCode::BAD_REQUEST,
                "it was sent more than five minutes ago, or a clock is wrong",
            ));
        }
        Ok(vec![arrival(id, sent, body)])
    }
}

/// Where the body is JSON with words for them, sender, subject and text are taken from there; all of the body follows.
fn arrival(id: &str, sent: Timestamp, body: &[u8]) -> WireArrival {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |key: &str| {
        let of = |value: &Value| value.get(key).and_then(Value::as_str).map(str::to_owned);
        of(&json).or_else(|| json.get("data").and_then(of))
    };
    let whole = || {
        let is_shown = body.len() <= PRETTY_BYTES_MAX && !json.is_null();
        let pretty = is_shown.then(|| serde_json::to_string_pretty(&json).ok()).flatten();
        pretty.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
    };
    WireArrival {
        id: id.to_owned(),
        kind: "webhook".to_owned(),
        from: word("from").unwrap_or_default(),
        subject: word("subject").or_else(|| word("type")).unwrap_or_default(),
        received: Some(sent.to_string()),
        text: word("text").map_or_else(whole, |text| format!("{text}\n\n{}", whole())),
        ..WireArrival::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SENT: &str = "1614265330";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn headers(id: &str, sent: &str, signature: &str) -> HeaderMap {
        let pairs = [("webhook-id", id), ("webhook-timestamp", sent), ("webhook-signature", signature)];
        pairs
            .into_iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    fn read(headers: &HeaderMap, body: &[u8], after_s: u64) -> Result<Vec<WireArrival>, Refusal> {
        let now = Timestamp::from_millis(1_614_265_330_000) + Duration::from_secs(after_s);
        Standard::new(&Secret::new(SECRET.to_owned())).expect("a secret").read(headers, body, now)
    }

    #[test]
    fn the_example_of_the_specification_is_taken_within_five_minutes() {
        let arrival = read(&headers(ID, SENT, SIGNATURE), BODY, 299).expect("taken").remove(0);
        assert_eq!((arrival.id.as_str(), arrival.received.as_deref()), (ID, Some("2021-02-25T15:02:10Z")));
        assert_eq!(arrival.text, "{\n  \"test\": 2432232314\n}");
        let among = format!("v1,AAAA v2,x {SIGNATURE}");
        assert!(read(&headers(ID, SENT, &among), BODY, 0).is_ok(), "while a key is changed there are two");
        assert_eq!(read(&headers(ID, SENT, SIGNATURE), BODY, 301).expect_err("replayed").0, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_secret_that_cannot_be_meant_is_refused() {
        let is_taken = |text: &str| Standard::new(&Secret::new(text.to_owned())).is_ok();
        assert!(is_taken("whsec_AAA=") && is_taken("whsec_AAA") && is_taken("plain words\n"));
        assert!(!is_taken("whsec_no base64"));
    }

    #[test]
    fn what_is_signed_otherwise_is_refused() {
        assert_eq!(read(&headers("msg_other", SENT, SIGNATURE), BODY, 0), Err(UNSIGNED));
        assert_eq!(read(&headers(ID, "1614265331", SIGNATURE), BODY, 0), Err(UNSIGNED));
        assert_eq!(read(&headers(ID, SENT, SIGNATURE), b"{\"test\": 2432232315}", 0), Err(UNSIGNED));
        assert_eq!(read(&headers(ID, SENT, ""), BODY, 0), Err(UNSIGNED));
        let unnamed = read(&headers("", SENT, SIGNATURE), BODY, 0).expect_err("refused");
        assert_eq!(unnamed.0, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn words_of_the_body_become_those_of_the_task() {
        let body = br#"{"type":"order.paid","data":{"from":"Ann","text":"Order 7"}}"#;
        let taken = arrival("1", Timestamp::from_millis(0), body);
        assert_eq!((taken.from.as_str(), taken.subject.as_str()), ("Ann", "order.paid"));
        assert!(taken.text.starts_with("Order 7\n\n{\n") && taken.text.contains("\"data\""), "{}", taken.text);
        assert_eq!(arrival("1", Timestamp::from_millis(0), b"plain").text, "plain");
    }
}
