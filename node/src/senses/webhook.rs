//! Webhooks: programs of others post what happened, signed with a secret that both know.
//!
//! Two forms are known. *Standard Webhooks* (standardwebhooks.com, as of 1.0.0): an id, a time and the signatures of both
//! with the body; what is older than five minutes is refused. The *WhatsApp Business Cloud API*: the signature of the raw
//! body, and a question when the address is set up. What is refused gets a 4xx, and is not to come again; what cannot be
//! taken now a 503, and the sender tries again. Where one of several messages of a post was taken before, it is one task.

use std::{sync::Arc, time::Duration};

use aiemp_keys::Secret;
use aiemp_protocol::time::Timestamp;
use anyhow::{Context, Result};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::{net::TcpListener, time::timeout};

use self::{standard::Standard, whatsapp::Whatsapp};
use super::door::{Door, NotTaken};
use crate::{
    config::{Hook, HookForm, Webhooks},
    fault::Fault,
    home::Home,
    shell::{
        clock,
        cloud_secrets::{self, CloudSecretError, Purpose},
        control::{WireArrival, WireTrouble},
    },
};

mod standard;
mod whatsapp;

/// The largest post: WhatsApp sends up to 3 MB, others far less.
const BODY_BYTES_MAX: usize = 4 << 20;
/// How long a post may take to come.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// Messages of one post.
const MESSAGES_MAX: usize = 1000;

/// Why a post is not taken: what its sender is told.
#[derive(Debug, PartialEq, Eq)]
struct Refusal(StatusCode, &'static str);

const UNSIGNED: Refusal = Refusal(StatusCode::UNAUTHORIZED, "the signature is missing, or not of this secret");

/// One sender, with its secrets.
enum Form {
    Standard(Standard),
    Whatsapp(Whatsapp),
}

/// All senders.
pub(super) struct Hooks(Vec<(Hook, Form)>);

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(hook, _)| hook)).finish()
    }
}

impl Hooks {
    /// With the secrets that they name, which must be stored.
    pub(super) fn of(home: &Home, settings: &Webhooks) -> Result<Self, Fault> {
        let refused = |error: CloudSecretError| Fault::refused("webhooks", error.to_string(), "See [[webhooks.hook]].");
        let secret = |name: &str| cloud_secrets::value(home, name, Purpose::Webhook).map_err(refused);
        let of = |hook: &Hook| {
            let signed_with = secret(&hook.secret)?;
            let form = match hook.form {
                HookForm::Standard => Form::Standard(Standard::new(signed_with)),
                HookForm::Whatsapp => {
                    let verify = hook.verify_secret.as_deref().unwrap_or(&hook.secret);
                    Form::Whatsapp(Whatsapp::new(&signed_with, secret(verify)?))
                }
            };
            Ok((hook.clone(), form))
        };
        settings.hook.iter().map(of).collect::<Result<_, _>>().map(Self)
    }

    fn find(&self, name: &str) -> Option<&(Hook, Form)> {
        self.0.iter().find(|(hook, _)| hook.name == name)
    }

    /// What a post says, if it is of who it says it is.
    fn read(&self, name: &str, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Vec<WireArrival>, Refusal> {
        let (hook, form) = self.find(name).ok_or(Refusal(StatusCode::NOT_FOUND, "there is no such webhook"))?;
        let mut arrivals = match form {
            Form::Standard(standard) => standard.read(headers, body, now)?,
            Form::Whatsapp(whatsapp) => whatsapp.read(headers, body)?,
        };
        if arrivals.len() > MESSAGES_MAX {
            return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, "too many messages in one post"));
        }
        for arrival in &mut arrivals {
            arrival.source.clone_from(&hook.name);
            hook.domain().clone_into(&mut arrival.domain);
        }
        Ok(arrivals)
    }
}

/// A header that is text, or nothing.
fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

pub(super) async fn listen(settings: &Webhooks) -> Result<TcpListener, Fault> {
    TcpListener::bind(settings.listen).await.map_err(|error| {
        let fix = "End what listens there, or change `[webhooks] listen`.";
        Fault::operator("webhooks", format!("cannot listen on {} for webhooks: {error}", settings.listen), fix)
    })
}

struct Shared {
    hooks: Hooks,
    door: Door,
}

/// Takes posts until it is dropped.
pub(super) async fn serve(hooks: Hooks, listener: TcpListener, door: Door) {
    let shared = Arc::new(Shared { hooks, door: door.clone() });
    let app = Router::new().route("/hooks/{name}", get(asked).post(posted)).with_state(shared);
    let ended = axum::serve(listener, app).await.context("the web server ended");
    if let Err(error) = ended {
        let what = format!("webhooks are not taken: {error:#}");
        door.tell("webhooks", Some(WireTrouble { is_error: true, what, fix: "Restart the node.".to_owned() }));
    }
}

/// WhatsApp asks once, when the address is set up.
async fn asked(State(shared): State<Arc<Shared>>, Path(name): Path<String>, request: Request) -> Response {
    match shared.hooks.find(&name) {
        Some((_, Form::Whatsapp(whatsapp))) => match whatsapp.challenge(request.uri().query().unwrap_or_default()) {
            Some(challenge) => challenge.into_response(),
            None => told(&Refusal(StatusCode::FORBIDDEN, "the verify token is another one")),
        },
        Some((_, Form::Standard(_))) => told(&Refusal(StatusCode::METHOD_NOT_ALLOWED, "messages are posted here")),
        None => told(&Refusal(StatusCode::NOT_FOUND, "there is no such webhook")),
    }
}

async fn posted(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = match timeout(BODY_TIME_MAX, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return told(&Refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 4 MiB, or was cut")),
        Err(_) => return told(&Refusal(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    };
    let arrivals = match shared.hooks.read(&name, &headers, &body, clock::now()) {
        Ok(arrivals) => arrivals,
        Err(refusal) => {
            tracing::debug!(%name, why = refusal.1, "a post to a webhook is refused");
            return told(&refusal);
        }
    };
    let sense = format!("webhook {name}");
    for arrival in arrivals {
        match shared.door.give(arrival).await {
            Ok(_) => {}
            Err(NotTaken::NotNow(why)) => {
                tracing::debug!(%name, why, "a message cannot be taken now");
                return told(&Refusal(StatusCode::SERVICE_UNAVAILABLE, "it cannot be taken now; send it again"));
            }
            Err(NotTaken::Refused(why)) => {
                let what = format!("a message of the webhook {name} became no task: {why}");
                let fix = "Look at its `domain` in config.toml; the sender sends it again.".to_owned();
                shared.door.tell(&sense, Some(WireTrouble { is_error: true, what, fix }));
                return told(&Refusal(StatusCode::SERVICE_UNAVAILABLE, "it cannot be taken now; send it again"));
            }
        }
    }
    shared.door.tell(&sense, None);
    StatusCode::OK.into_response()
}

fn told(refusal: &Refusal) -> Response {
    (refusal.0, format!("{}\n", refusal.1)).into_response()
}

/// A secret as a key of HMAC-SHA-256.
fn key(secret: &[u8]) -> ring::hmac::Key {
    ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret)
}

/// Compares two secrets by their digests, so that the time it takes says nothing of them.
fn is_same(secret: &Secret<String>, given: &str) -> bool {
    let of = |text: &str| aiemp_keys::Hash::of_content(text.as_bytes());
    of(secret.expose()) == of(given)
}
