//! Cloud-grade secrets: what the Cloud node itself needs, such as a model key. They are made on Cloud, lie in a folder of
//! their own and are never synced.
//!
//! The machine they lie on is not trusted, so none of them may be able to send. A type of their own keeps them from being
//! taken for the executor's credentials, which are signed and lie on Local.

use std::{collections::BTreeMap, fmt, io, path::PathBuf, str::FromStr};

use aiemp_keys::{
    PrivacyError, Secret,
    cbor::{self, Fields},
    private_file,
};
use thiserror::Error;

use crate::{
    config::{Brain, EnvValue},
    executor::secrets::is_name,
    home::Home,
};

/// What a secret of Cloud is for. There is none for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Purpose {
    /// Asks a language model.
    Model,
    /// Fetches mail, and can send none.
    MailIn,
    /// Fetches mail, and could send some; stored only where the person said so.
    #[value(skip)]
    MailInThatSends,
    /// The same two, tried as what they are: a refresh token is no password, and either says nothing of the other.
    #[value(skip)]
    MailInToken,
    /// See [`Purpose::MailInThatSends`].
    #[value(skip)]
    MailInTokenThatSends,
    /// Of the application that a refresh token was given to; it opens nothing alone.
    #[value(skip)]
    MailInApplication,
    /// Tells a webhook's sender from others.
    Webhook,
    /// For a watcher, in its environment.
    Watcher,
}

impl Purpose {
    const EACH: [Self; 8] = [
        Self::Model,
        Self::MailIn,
        Self::MailInThatSends,
        Self::MailInToken,
        Self::MailInTokenThatSends,
        Self::MailInApplication,
        Self::Webhook,
        Self::Watcher,
    ];

    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::MailIn => "mail-in",
            Self::MailInThatSends => "mail-in, and could send",
            Self::MailInToken => "mail-in by token",
            Self::MailInTokenThatSends => "mail-in by token, and could send",
            Self::MailInApplication => "the application of mail-in",
            Self::Webhook => "webhook",
            Self::Watcher => "watcher",
        }
    }
}

impl Purpose {
    /// Whether what is stored for this could send mails.
    pub const fn can_send(self) -> bool {
        matches!(self, Self::MailInThatSends | Self::MailInTokenThatSends)
    }

    /// The word on the command line.
    const fn flag(self) -> &'static str {
        match self {
            Self::MailIn
            | Self::MailInThatSends
            | Self::MailInToken
            | Self::MailInTokenThatSends
            | Self::MailInApplication => "mail-in",
            Self::Model | Self::Webhook | Self::Watcher => self.as_str(),
        }
    }

    /// Whether what is stored for this serves that purpose.
    fn serves(self, needed: Self) -> bool {
        let plain = match self {
            Self::MailInThatSends => Self::MailIn,
            Self::MailInTokenThatSends => Self::MailInToken,
            Self::Model
            | Self::MailIn
            | Self::MailInToken
            | Self::MailInApplication
            | Self::Webhook
            | Self::Watcher => self,
        };
        plain == needed || self == needed
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Purpose {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::EACH.into_iter().find(|purpose| purpose.as_str() == text).ok_or(())
    }
}

/// A secret of Cloud. It opens nothing on Local, and nothing that takes a credential of Local takes it.
#[derive(Debug)]
pub struct CloudSecret {
    purpose: Purpose,
    value: Secret<String>,
}

impl CloudSecret {
    /// A secret for one purpose.
    pub const fn new(purpose: Purpose, value: Secret<String>) -> Self {
        Self { purpose, value }
    }

    /// What it is for.
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The value, for the one who asks for this purpose.
    pub fn expose_for(&self, purpose: Purpose) -> Option<&str> {
        self.purpose.serves(purpose).then(|| self.value.expose().as_str())
    }
}

/// Why a secret of Cloud cannot be stored or used; no text holds its value.
#[derive(Debug, Error)]
pub enum CloudSecretError {
    /// The name could leave the folder, or be mistaken.
    #[error("{name:?} is no name for a secret; use 1 to 64 ASCII letters, digits, `_` and `-`")]
    Name {
        /// As it was given.
        name: String,
    },
    /// There is none of this name.
    #[error("there is no secret named {name}; store it with `aiemp-node secrets add {name} --use {}`", needed.flag())]
    Missing {
        /// Its name.
        name: String,
        /// What it is needed for.
        needed: Purpose,
    },
    /// There is none of this name to remove.
    #[error("there is no secret named {name}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The file is not what `secrets add` writes under this name on Cloud.
    #[error("the secret {name} is damaged; store it anew (`aiemp-node secrets add {name} --use ...`)")]
    Form {
        /// Its name.
        name: String,
    },
    /// It is meant for something else.
    #[error(
        "the secret {name} was stored for {stored}, and one for {needed} is needed: `aiemp-node secrets add {name} --use {}` \
         tries and stores it anew; if it is needed for both, store it under another name too",
        needed.flag()
    )]
    OtherPurpose {
        /// Its name.
        name: String,
        /// What it is needed for.
        needed: Purpose,
        /// What it is for.
        stored: Purpose,
    },
    /// Others can read the file, or the operating system refused.
    #[error(transparent)]
    Private(#[from] PrivacyError),
}

/// Stores a secret, replacing one of the same name; mode 0600.
pub fn add(home: &Home, name: &str, secret: &CloudSecret) -> Result<(), CloudSecretError> {
    let path = path_of(home, name)?;
    private_file::create_private_dir(&home.cloud_secrets())?;
    let value = cbor::bytes(secret.value.expose().as_bytes());
    let fields = [cbor::text(name), cbor::text(secret.purpose.as_str()), value];
    Ok(private_file::write_private(&path, Secret::new(cbor::encode(&cbor::array(fields))).expose())?)
}

/// The value of a secret, for whoever needs it for this.
pub fn value(home: &Home, name: &str, needed: Purpose) -> Result<Secret<String>, CloudSecretError> {
    let secret = read(home, name)?.ok_or_else(|| CloudSecretError::Missing { name: name.to_owned(), needed })?;
    match secret.expose_for(needed) {
        Some(value) => Ok(Secret::new(value.to_owned())),
        None => Err(CloudSecretError::OtherPurpose { name: name.to_owned(), needed, stored: secret.purpose() }),
    }
}

fn read(home: &Home, name: &str) -> Result<Option<CloudSecret>, CloudSecretError> {
    let Some(bytes) = private_file::find_private(&path_of(home, name)?)? else { return Ok(None) };
    decode(bytes.expose(), name).map(Some).ok_or_else(|| CloudSecretError::Form { name: name.to_owned() })
}

fn decode(bytes: &[u8], name: &str) -> Option<CloudSecret> {
    let mut fields = Fields::decode(bytes, "cloud secret").ok()?;
    let stored = fields.text().ok()?;
    let purpose = fields.text().ok()?.parse().ok()?;
    let value = Secret::new(fields.bytes().ok()?);
    fields.end().ok()?;
    let value = std::str::from_utf8(value.expose()).ok()?.to_owned();
    (stored == name).then(|| CloudSecret::new(purpose, Secret::new(value)))
}

/// The stored secrets, by name; what cannot be read is an error of its own.
pub fn list(home: &Home) -> Result<BTreeMap<String, Result<Purpose, CloudSecretError>>, CloudSecretError> {
    let path = home.cloud_secrets();
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(PrivacyError::Io { path, source }.into()),
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    // One that was removed meanwhile is none.
    let named = |name: String| Some((name.clone(), read(home, &name).transpose()?.map(|secret| secret.purpose())));
    Ok(names.filter(|name| is_name(name)).filter_map(named).collect())
}

/// Removes a secret.
pub fn remove(home: &Home, name: &str) -> Result<(), CloudSecretError> {
    let path = path_of(home, name)?;
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(CloudSecretError::Unknown { name: name.to_owned() })
        }
        Err(source) => Err(PrivacyError::Io { path, source }.into()),
    }
}

/// What a brain that is a program finds in its environment.
pub fn environment(home: &Home, brain: &Brain) -> Result<Vec<(String, Secret<String>)>, CloudSecretError> {
    resolve(home, &brain.env, Purpose::Model)
}

/// Variables with the secrets that they name, each stored for this purpose.
pub fn resolve(
    home: &Home,
    env: &BTreeMap<String, EnvValue>,
    purpose: Purpose,
) -> Result<Vec<(String, Secret<String>)>, CloudSecretError> {
    let resolved = env.iter().map(|(variable, value)| {
        let value = match value {
            EnvValue::Plain(text) => Secret::new(text.clone()),
            EnvValue::Secret(name) => self::value(home, name, purpose)?,
        };
        Ok((variable.clone(), value))
    });
    resolved.collect()
}

fn path_of(home: &Home, name: &str) -> Result<PathBuf, CloudSecretError> {
    if is_name(name) {
        Ok(home.cloud_secrets().join(name))
    } else {
        Err(CloudSecretError::Name { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::Config;

    fn secret(purpose: Purpose, value: &str) -> CloudSecret {
        CloudSecret::new(purpose, Secret::new(value.to_owned()))
    }

    #[test]
    fn a_secret_comes_back_for_its_purpose_alone_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        assert!(list(&home).unwrap().is_empty());
        add(&home, "box", &secret(Purpose::MailIn, "correct horse")).unwrap();
        let stored = read(&home, "box").unwrap().expect("stored");
        assert_eq!(stored.expose_for(Purpose::MailIn), Some("correct horse"));
        assert_eq!(stored.expose_for(Purpose::Model), None);
        assert!(!stored.purpose().can_send());
        assert_eq!(format!("{stored:?}").matches("horse").count(), 0);
        add(&home, "sends", &secret(Purpose::MailInThatSends, "correct horse")).unwrap();
        assert!(read(&home, "sends").unwrap().expect("stored").purpose().can_send());
        assert!(
            value(&home, "sends", Purpose::MailInToken)
                .unwrap_err()
                .to_string()
                .contains("for mail-in by token is needed")
        );
        assert_eq!(value(&home, "sends", Purpose::MailIn).unwrap().expose(), "correct horse");
        remove(&home, "sends").unwrap();
        let path = home.cloud_secrets().join("box");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // Under another name it is another secret.
        std::fs::rename(&path, home.cloud_secrets().join("other")).unwrap();
        assert_eq!(
            read(&home, "other").unwrap_err().to_string(),
            "the secret other is damaged; store it anew (`aiemp-node secrets add other --use ...`)"
        );
        remove(&home, "other").unwrap();
        assert!(matches!(remove(&home, "other"), Err(CloudSecretError::Unknown { .. })));
        assert!(matches!(add(&home, "../x", &secret(Purpose::Model, "x")), Err(CloudSecretError::Name { .. })));
    }

    #[test]
    fn a_brain_gets_model_keys_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        let settings = "vault = \"/vault\"\n[brain]\nkind = \"command\"\ncommand = [\"/bin/true\"]\n\
                        env = { MODE = \"brief\", KEY = \"${secret:model}\" }\n";
        let brain = Config::parse(settings).unwrap().brain;
        let told = environment(&home, &brain).unwrap_err().to_string();
        assert_eq!(told, "there is no secret named model; store it with `aiemp-node secrets add model --use model`");
        add(&home, "model", &secret(Purpose::MailIn, "correct horse")).unwrap();
        let told = environment(&home, &brain).unwrap_err().to_string();
        assert!(told.contains("was stored for mail-in, and one for model is needed"), "{told}");
        add(&home, "model", &secret(Purpose::Model, "correct horse")).unwrap();
        let found = environment(&home, &brain).unwrap();
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect();
        assert_eq!(found, [("KEY", "correct horse"), ("MODE", "brief")]);
    }
}
