//! Access tokens for a mailbox whose provider lets nobody in by password: renewed before each login, and kept nowhere.

use std::{collections::BTreeMap, time::Duration};

use aiemp_keys::Secret;
use reqwest::{Client, Url, header};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    config::{EnvValue, Imap, Oauth2},
    core::mail::inert,
    executor::http::{cause_of, client_to, read},
    hands::ServerAddress,
    home::Home,
    imap::{ImapError, LOGIN},
    shell::cloud_secrets::{self, Purpose},
};

/// How long the provider may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Words of the provider that are kept.
const REASON_BYTES_MAX: usize = 300;

/// What gives out access tokens, with what it asks for.
#[derive(Debug)]
pub(super) struct Renewal {
    client: Client,
    address: ServerAddress,
    client_id: String,
    client_secret: Option<Secret<String>>,
    refresh_token: Secret<String>,
}

impl Renewal {
    /// As the settings say, where they say that it is needed.
    pub(super) fn of(home: &Home, settings: &Imap, refresh_token: &Secret<String>) -> Result<Option<Self>, String> {
        let Some(Oauth2 { token_url, client_id, client_secret }) = &settings.oauth2 else { return Ok(None) };
        let address = ServerAddress::parse(token_url, &BTreeMap::new(), settings.ca_file.clone())
            .map_err(|why| format!("`token_url` of `[mail_in.imap.oauth2]`: {why}"))?;
        let client = client_to(address.scheme, address.port, address.ca_file.as_deref(), PATIENCE)?;
        let client_secret = client_secret.as_ref().map(|value| match value {
            EnvValue::Plain(text) => Ok(Secret::new(text.clone())),
            EnvValue::Secret(name) => cloud_secrets::value(home, name, Purpose::MailIn),
        });
        Ok(Some(Self {
            client,
            address,
            client_id: client_id.clone(),
            client_secret: client_secret.transpose().map_err(|error| error.to_string())?,
            refresh_token: Secret::new(refresh_token.expose().clone()),
        }))
    }

    /// A token for one login. It opens all that was granted: nothing less is asked for, so that what is tried for sending
    /// is what Cloud holds.
    pub(super) async fn access_token(&self) -> Result<Secret<String>, ImapError> {
        let asking = self.ask();
        let late = || ImapError::Connection(format!("{} gave no token within {} s", self.place(), PATIENCE.as_secs()));
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(late()))
    }

    async fn ask(&self) -> Result<Secret<String>, ImapError> {
        let request = self
            .client
            .post(&self.address.url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(self.form());
        let failed = |why: &str| ImapError::Connection(format!("{} gave no token: {why}", self.place()));
        let response = request.send().await.map_err(|error| failed(&cause_of(&error)))?;
        let status = response.status();
        let (body, is_whole) = read(response, ANSWER_BYTES_MAX).await;
        let body = Secret::new(body);
        let answer: Value = match is_whole {
            true => serde_json::from_slice(body.expose()).unwrap_or_default(),
            false => return Err(failed("its answer is too long or broke off")),
        };
        if let Some(token) = answer["access_token"].as_str().filter(|token| status.is_success() && !token.is_empty()) {
            return Ok(Secret::new(token.to_owned()));
        }
        let said = format!("{} {}", status.as_u16(), self.words(&answer));
        // RFC 6749 section 5.2: the token or the application is turned away, and the same again is of no use.
        if matches!(status.as_u16(), 400 | 401 | 403) {
            let said = format!("{} gives no token: {said}", self.place());
            return Err(ImapError::Refused { step: LOGIN, said });
        }
        Err(failed(&said))
    }

    fn form(&self) -> Vec<u8> {
        // An address writes its query as forms are written.
        let Ok(mut form) = Url::parse("http://localhost") else { return Vec::new() };
        {
            let mut pairs = form.query_pairs_mut();
            pairs.append_pair("grant_type", "refresh_token");
            pairs.append_pair("refresh_token", self.refresh_token.expose());
            pairs.append_pair("client_id", &self.client_id);
            if let Some(client_secret) = &self.client_secret {
                pairs.append_pair("client_secret", client_secret.expose());
            }
        }
        form.query().unwrap_or_default().as_bytes().to_vec()
    }

    /// Why, in the provider's words.
    fn words(&self, answer: &Value) -> String {
        let words = ["error", "error_description"].map(|key| answer[key].as_str().unwrap_or_default()).join(" ");
        let secrets = self.client_secret.iter().chain([&self.refresh_token]);
        let words = secrets.fold(words, |words, secret| words.replace(secret.expose().as_str(), "***"));
        inert::one_line(words.trim(), REASON_BYTES_MAX)
    }

    fn place(&self) -> String {
        format!("{}:{}", self.address.host, self.address.port)
    }
}
