//! What opens an account at a mail provider: a password, or a refresh token, for which the provider gives an access token
//! for its logins (RFC 6749 section 6). That one is written nowhere.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aiemp_keys::Secret;
use reqwest::{Client, header};
use serde_json::Value;
use thiserror::Error;
use tokio::time::{Instant, timeout};

use crate::{
    config::Oauth2,
    core::mail::inert,
    executor::http::{cause_of, client_to, read},
    hands::ServerAddress,
};

/// How long the provider may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest that a token is believed to last; it is shown for half of that time.
const HELD_MAX: Duration = Duration::from_secs(3_600);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Words of the provider that are kept.
const REASON_BYTES_MAX: usize = 300;

/// What is stored for an account.
#[derive(Debug)]
pub(crate) enum Credential {
    /// It is shown as it is.
    Password(Secret<String>),
    /// A token is shown that is got for it.
    RefreshToken(Box<Renewal>),
}

/// What is shown in one login.
#[derive(Debug)]
pub enum Shown {
    /// The password of the account.
    Password(Secret<String>),
    /// An access token, by XOAUTH2.
    Token(Secret<String>),
}

/// Why the provider gives no token.
#[derive(Debug, Error)]
pub(crate) enum NoToken {
    /// It turned away what it was asked with: the same again is of no use.
    #[error("{0}")]
    Refused(String),
    /// It could not be asked, or says that it cannot for now.
    #[error("{0}")]
    Failed(String),
}

impl Credential {
    /// As the settings say, of what is stored; `secret` reads the others that they name.
    pub(crate) fn of(
        stored: Secret<String>,
        oauth2: Option<&Oauth2>,
        ca_file: Option<&Path>,
        secret: impl FnOnce(&str) -> Result<Secret<String>, String>,
    ) -> Result<Self, String> {
        let Some(oauth2) = oauth2 else { return Ok(Self::Password(stored)) };
        let address = oauth2.address(ca_file)?;
        let client = client_to(address.scheme, address.port, ca_file, PATIENCE)?;
        let client_secret = oauth2.application().map(secret);
        Ok(Self::RefreshToken(Box::new(Renewal {
            client,
            address,
            client_id: oauth2.client_id.clone(),
            client_secret: client_secret.transpose()?,
            refresh_token: stored,
            held: Mutex::default(),
        })))
    }

    /// What was shown was turned away: it is not shown again.
    pub(crate) fn forget(&self) {
        match self {
            Self::Password(_) => {}
            Self::RefreshToken(renewal) => drop(renewal.held().take()),
        }
    }

    /// What is shown in the next login.
    pub(crate) async fn shown(&self) -> Result<Shown, NoToken> {
        match self {
            Self::Password(password) => Ok(Shown::Password(Secret::new(password.expose().clone()))),
            Self::RefreshToken(renewal) => renewal.access_token().await.map(Shown::Token),
        }
    }
}

impl Shown {
    /// The same, for one more login.
    pub(crate) fn again(&self) -> Self {
        let again = |secret: &Secret<String>| Secret::new(secret.expose().clone());
        match self {
            Self::Password(password) => Self::Password(again(password)),
            Self::Token(token) => Self::Token(again(token)),
        }
    }

    /// Its text.
    pub(crate) const fn secret(&self) -> &Secret<String> {
        let (Self::Password(secret) | Self::Token(secret)) = self;
        secret
    }
}

/// What gives out access tokens, with what it asks for.
#[derive(Debug)]
pub(crate) struct Renewal {
    client: Client,
    address: ServerAddress,
    client_id: String,
    client_secret: Option<Secret<String>>,
    refresh_token: Secret<String>,
    /// The last one, and until when it is shown again.
    held: Mutex<Option<(Secret<String>, Instant)>>,
}

impl Renewal {
    /// A token for one login. It opens all that was granted: nothing less is asked for, so that what is tried for sending
    /// is what Cloud holds.
    async fn access_token(&self) -> Result<Secret<String>, NoToken> {
        let now = Instant::now();
        if let Some((token, until)) = &*self.held()
            && now < *until
        {
            return Ok(Secret::new(token.expose().clone()));
        }
        let late = || NoToken::Failed(format!("{} gave no token within {} s", self.place(), PATIENCE.as_secs()));
        let (token, lasts) = timeout(PATIENCE, self.ask()).await.unwrap_or_else(|_| Err(late()))?;
        *self.held() = lasts.map(|lasts| (Secret::new(token.expose().clone()), now + lasts.min(HELD_MAX) / 2));
        Ok(token)
    }

    fn held(&self) -> MutexGuard<'_, Option<(Secret<String>, Instant)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token, and how long it lasts, where the provider says so.
    async fn ask(&self) -> Result<(Secret<String>, Option<Duration>), NoToken> {
        let request = self
            .client
            .post(&self.address.url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(self.form());
        let failed = |why: &str| NoToken::Failed(format!("{} gave no token: {why}", self.place()));
        let response = request.send().await.map_err(|error| failed(&cause_of(&error)))?;
        let status = response.status();
        let (body, is_whole) = read(response, ANSWER_BYTES_MAX).await;
        let body = Secret::new(body);
        if !is_whole {
            return Err(failed("its answer is too long or broke off"));
        }
        let answer: Value = serde_json::from_slice(body.expose()).unwrap_or_default();
        let is_token = |token: &&str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if status.is_success() {
            let token = answer["access_token"].as_str().filter(is_token).map(|token| Secret::new(token.to_owned()));
            let lasts = answer["expires_in"].as_u64().map(Duration::from_secs);
            return token
                .map(|token| (token, lasts))
                .ok_or_else(|| failed("there is none in its answer; is that `token_url` right?"));
        }
        if status.is_redirection() {
            return Err(failed("it points to another address, which is never followed; is that `token_url` right?"));
        }
        let said = format!("{} {}", status.as_u16(), self.words(&answer));
        let said = said.trim_end();
        // RFC 6749 section 5.2: the token or the application is turned away, and the same again is of no use.
        if matches!(status.as_u16(), 400 | 401 | 403) {
            return Err(NoToken::Refused(format!("{} gives no token: {said}", self.place())));
        }
        Err(failed(said))
    }

    fn form(&self) -> Vec<u8> {
        let secret = self.client_secret.as_ref().map(|secret| ("client_secret", secret.expose().as_str()));
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", self.refresh_token.expose()),
            ("client_id", &self.client_id),
        ];
        let fields = fields.into_iter().chain(secret).map(|(name, value)| format!("{name}={}", form_urlencoded(value)));
        fields.collect::<Vec<_>>().join("&").into_bytes()
    }

    /// Why, in the provider's words.
    fn words(&self, answer: &Value) -> String {
        let words = ["error", "error_description"].map(|key| answer[key].as_str().unwrap_or_default()).join(" ");
        let secrets = self.client_secret.iter().chain([&self.refresh_token]);
        let words = secrets.filter(|secret| !secret.expose().is_empty()).fold(words, |words, secret| {
            // As it is, and as it was told in the form.
            let told = form_urlencoded(secret.expose());
            words.replace(secret.expose().as_str(), "***").replace(&told, "***")
        });
        inert::one_line(words.trim(), REASON_BYTES_MAX)
    }

    fn place(&self) -> String {
        format!("{}:{}", self.address.host, self.address.port)
    }
}

fn form_urlencoded(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
