//! `[mail_in.imap.oauth2]` and `[smtp.oauth2]`: accounts whose provider lets nobody in by password.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::EnvValue;
use crate::hands::ServerAddress;

/// A login by XOAUTH2: the refresh token of an application of one's own, for which the provider gives out access tokens
/// (RFC 6749 section 6).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Oauth2 {
    /// Where it gives them out, such as `https://oauth2.googleapis.com/token`.
    pub token_url: String,
    /// The application, as the provider calls it.
    pub client_id: String,
    /// Of the application, where it has one: `${secret:NAME}`.
    pub client_secret: Option<EnvValue>,
}

impl Oauth2 {
    /// Where tokens are given out; `ca_file` is trusted there as well.
    pub fn address(&self, ca_file: Option<&Path>) -> Result<ServerAddress, String> {
        ServerAddress::parse(&self.token_url, &BTreeMap::new(), ca_file.map(Path::to_owned))
            .map_err(|why| format!("`token_url`: {}", why.trim_start_matches("url: ")))
    }

    /// Name of the secret of the application, where it has one.
    pub fn application(&self) -> Option<&str> {
        self.client_secret.as_ref()?.secret()
    }

    /// What is wrong with it.
    pub fn objection(&self) -> Option<String> {
        if self.client_id.is_empty() {
            return Some("`client_id` is empty: it is how the provider calls your application".to_owned());
        }
        if self.client_secret.as_ref().is_some_and(|value| !value.is_secret()) {
            return Some(
                "`client_secret` is written `${secret:NAME}`, and stored with `aiemp-node secrets add`".to_owned(),
            );
        }
        self.address(None).err()
    }
}
