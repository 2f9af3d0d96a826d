//! Webhooks: programs of others post what happened, signed with a secret that both know.
//!
//! Two forms are known. *Standard Webhooks* (standardwebhooks.com, as of 1.0.0): an id, a time and the signatures of both
//! with the body; what is older than five minutes is refused. The *WhatsApp Business Cloud API*: the signature of the raw
//! body, and a question when the address is set up. What is refused gets a 4xx, and is not to come again; what cannot be
//! taken now a 503, and the sender tries again. Where one of several messages of a post was taken before, it is one task.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use aiemp_keys::Secret;
use aiemp_protocol::time::Timestamp;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

use self::{standard::Standard, whatsapp::Whatsapp};
use super::door::{Door, NotTaken};
use crate::{
    config::{Hook, HookForm, Webhooks},
    home::Home,
    shell::{
        clock,
        cloud_secrets::{self, Purpose},
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
/// Bodies that are read and taken at once.
const BODIES_MAX: usize = 8;
/// So many refusals in a row are told.
const REFUSALS_TOLD: u32 = 10;
/// How soon it is tried again to listen.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// Why a post is not taken: what its sender is told.
#[derive(Debug, PartialEq, Eq)]
struct Refusal(StatusCode, &'static str);

const NOT_NOW: Refusal = Refusal(StatusCode::SERVICE_UNAVAILABLE, "it cannot be taken now; send it again");
const UNSIGNED: Refusal = Refusal(StatusCode::UNAUTHORIZED, "the signature is missing, or not of this secret");

/// One sender, with its secrets.
enum Form {
    Standard(Standard),
    Whatsapp(Whatsapp),
}

impl Form {
    fn of(home: &Home, hook: &Hook) -> Result<Self, String> {
        let secret = |name: &str| cloud_secrets::value(home, name, Purpose::Webhook).map_err(|error| error.to_string());
        let signed_with = secret(&hook.secret)?;
        Ok(match hook.form {
            HookForm::Standard => {
                Self::Standard(Standard::new(&signed_with).map_err(|why| format!("the secret {}: {why}", hook.secret))?)
            }
            HookForm::Whatsapp => {
                let verify = hook.verify_secret.as_deref().unwrap_or(&hook.secret);
                Self::Whatsapp(Whatsapp::new(&signed_with, secret(verify)?))
            }
        })
    }

    /// Whether it says that it is signed; the rest is not read otherwise.
    fn claims_to_be_signed(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Standard(_) => {
                !header(headers, "webhook-id").is_empty() && !header(headers, "webhook-signature").is_empty()
            }
            Self::Whatsapp(_) => header(headers, "x-hub-signature-256").starts_with("sha256="),
        }
    }
}

/// One sender, and how it fares.
struct Known {
    hook: Hook,
    form: Form,
    /// Posts in a row that were refused.
    refused: AtomicU32,
}

/// All senders whose secrets are there.
pub(super) struct Hooks(Vec<Known>);

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|known| &known.hook)).finish()
    }
}

/// Why webhooks could not be taken as they are set: the first secret that is missing or cannot be one.
pub(super) fn objection(home: &Home, settings: &Webhooks) -> Option<String> {
    settings.hook.iter().find_map(|hook| Form::of(home, hook).err())
}

impl Hooks {
    /// With the secrets that they name. Of one that is missing it is told.
    pub(super) fn of(home: &Home, settings: &Webhooks, door: &Door) -> Self {
        let of = |hook: &Hook| match Form::of(home, hook) {
            Ok(form) => Some(Known { hook: hook.clone(), form, refused: AtomicU32::new(0) }),
            Err(why) => {
                let what = format!("the webhook {} takes nothing: {why}", hook.name);
                let fix = "Store the secret, and start the node again.".to_owned();
                door.tell(&sense(&hook.name), Some(WireTrouble { is_error: true, what, fix }));
                None
            }
        };
        Self(settings.hook.iter().filter_map(of).collect())
    }

    fn find(&self, name: &str) -> Result<&Known, Refusal> {
        let found = self.0.iter().find(|known| known.hook.name == name);
        found.ok_or(Refusal(StatusCode::NOT_FOUND, "there is no such webhook"))
    }
}

fn sense(name: &str) -> String {
    format!("webhook {name}")
}

impl Known {
    /// What a post says, if it is of who it says it is.
    fn read(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Vec<WireArrival>, Refusal> {
        let mut arrivals = match &self.form {
            Form::Standard(standard) => standard.read(headers, body, now)?,
            Form::Whatsapp(whatsapp) => whatsapp.read(headers, body)?,
        };
        if arrivals.len() > MESSAGES_MAX {
            return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, "too many messages in one post"));
        }
        for arrival in &mut arrivals {
            arrival.source.clone_from(&self.hook.name);
            self.hook.domain().clone_into(&mut arrival.domain);
        }
        Ok(arrivals)
    }

    /// A post was refused; strangers try, and a sender whose secret or clock is another is refused each time.
    fn was_refused(&self, door: &Door, refusal: &Refusal) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if refused >= REFUSALS_TOLD {
            let what =
                format!("{refused} posts in a row to the webhook {} were refused: {}", self.hook.name, refusal.1);
            let fix = "Compare the secret and the clocks of both sides. Somebody may also be trying.".to_owned();
            door.tell(&sense(&self.hook.name), Some(WireTrouble { is_error: false, what, fix }));
        }
    }
}

/// A header that is text, or nothing.
fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

struct Shared {
    hooks: Hooks,
    door: Door,
    bodies: Semaphore,
}

/// Takes posts until it is dropped. Where it cannot listen it says so, and tries again.
pub(super) async fn serve(hooks: Hooks, listen: SocketAddr, door: Door) {
    let shared = Arc::new(Shared { hooks, door: door.clone(), bodies: Semaphore::new(BODIES_MAX) });
    let app = Router::new().route("/hooks/{name}", get(asked).post(posted)).with_state(shared);
    loop {
        let ended = match TcpListener::bind(listen).await {
            Ok(listener) => {
                door.tell("webhooks", None);
                axum::serve(listener, app.clone()).await
            }
            Err(error) => Err(error),
        };
        let why = ended.err().map(|error| format!(": {error}")).unwrap_or_default();
        let what = format!("no webhook is taken at {listen}{why}");
        let fix = "End what listens there, or change `[webhooks] listen`; it is tried again.".to_owned();
        door.tell("webhooks", Some(WireTrouble { is_error: true, what, fix }));
        sleep(LISTEN_AGAIN).await;
    }
}

/// WhatsApp asks once, when the address is set up.
async fn asked(State(shared): State<Arc<Shared>>, Path(name): Path<String>, request: Request) -> Response {
    match shared.hooks.find(&name).map(|known| &known.form) {
        Ok(Form::Whatsapp(whatsapp)) => match whatsapp.challenge(request.uri().query().unwrap_or_default()) {
            Some(challenge) => challenge.into_response(),
            None => told(&Refusal(StatusCode::FORBIDDEN, "the verify token is another one")),
        },
        Ok(Form::Standard(_)) => told(&Refusal(StatusCode::METHOD_NOT_ALLOWED, "messages are posted here")),
        Err(refusal) => told(&refusal),
    }
}

async fn posted(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match take(&shared, &name, &headers, body).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refusal) => {
            tracing::debug!(%name, why = refusal.1, "a post to a webhook is not taken");
            told(&refusal)
        }
    }
}

/// What a stranger sends is read no further than it says that it is signed, and of a few at once.
async fn take(shared: &Shared, name: &str, headers: &HeaderMap, body: Body) -> Result<(), Refusal> {
    let (known, door) = (shared.hooks.find(name)?, &shared.door);
    if !known.form.claims_to_be_signed(headers) {
        known.was_refused(door, &UNSIGNED);
        return Err(UNSIGNED);
    }
    let Ok(_turn) = shared.bodies.try_acquire() else { return Err(NOT_NOW) };
    let body = timeout(BODY_TIME_MAX, to_bytes(body, BODY_BYTES_MAX)).await;
    let body = body.map_err(|_| Refusal(StatusCode::REQUEST_TIMEOUT, "the body took too long"))?;
    let body = body.map_err(|_| Refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 4 MiB, or was cut"))?;
    let arrivals = known.read(headers, &body, clock::now());
    let arrivals = arrivals.inspect_err(|refusal| known.was_refused(door, refusal))?;
    for arrival in arrivals {
        match door.give(arrival).await {
            Ok(_) => {}
            Err(NotTaken::NotNow(why)) => {
                tracing::debug!(%name, why, "a message cannot be taken now");
                return Err(NOT_NOW);
            }
            Err(NotTaken::Refused(why)) => {
                let what = format!("a message of the webhook {name} became no task: {why}");
                let fix = "The sender sends it again; doctor and the node's log may say more.".to_owned();
                door.tell(&sense(name), Some(WireTrouble { is_error: true, what, fix }));
                return Err(NOT_NOW);
            }
        }
    }
    known.refused.store(0, Ordering::Relaxed);
    door.tell(&sense(name), None);
    Ok(())
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
