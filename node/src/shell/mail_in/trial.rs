//! Whether the password of a mailbox could send mails: tried where its provider takes them, before it is stored.

use std::time::Duration;

use aiemp_keys::Secret;
use futures::future::join_all;

use super::mailbox::credential;
use crate::{
    config::Imap,
    executor::smtp::{self, LetIn, Security, SmtpSettings},
    home::Home,
};

/// How long each place may take for each answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a name begins with that serves mailboxes alone.
const IMAP_NAMES: [&str; 3] = ["imap.", "imaps.", "mail."];
/// Names whose provider takes mails elsewhere.
const ELSEWHERE: [(&str, &str); 2] =
    [("outlook.office365.com", "smtp.office365.com"), ("imap-mail.outlook.com", "smtp-mail.outlook.com")];
/// Where mails are handed in, encrypted from the first byte or after a word.
const PORTS: [u16; 2] = [465, 587];

/// What came of the trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It was let in here, so it could send.
    CanSend(String),
    /// It was turned away wherever something listens.
    CannotSend,
    /// These places do not say.
    Untold(Vec<String>),
    /// The settings say that there is no such place.
    NotTried,
}

/// Tries to log in wherever mails might be handed in, by what opens the mailbox. Nothing is sent.
pub async fn can_send(home: &Home, settings: &Imap, stored: &Secret<String>) -> Result<Trial, String> {
    let places = match settings.submission.as_deref() {
        Some("none") => return Ok(Trial::NotTried),
        Some(place) => vec![parse(place)?],
        None => usual(&settings.host),
    };
    let stored = credential(home, settings, Secret::new(stored.expose().clone()))?;
    let shown = stored.shown().await.map_err(|error| error.to_string())?;
    let shown = &shown;
    let tries = places.iter().map(|(host, port)| async move {
        let settings = SmtpSettings {
            host: host.clone(),
            port: *port,
            security: if *port == 465 { Security::Tls } else { Security::Starttls },
            username: Some(settings.username.clone()),
            shown: Some(shown.again()),
            timeout: PATIENCE,
            ca_file: settings.ca_file.clone(),
        };
        smtp::lets_in(&settings).await
    });
    let let_in = join_all(tries).await;
    let named = || places.iter().map(|(host, port)| format!("{host}:{port}"));
    if let Some((place, _)) = named().zip(&let_in).find(|(_, let_in)| **let_in == LetIn::Yes) {
        return Ok(Trial::CanSend(place));
    }
    if let_in.contains(&LetIn::No) && !let_in.contains(&LetIn::Untold) {
        return Ok(Trial::CannotSend);
    }
    let silent = named().zip(&let_in).filter(|(_, let_in)| **let_in != LetIn::No).map(|(place, _)| place);
    Ok(Trial::Untold(silent.collect()))
}

fn parse(place: &str) -> Result<(String, u16), String> {
    let parsed = place.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parsed
        .filter(|(host, port)| !host.is_empty() && *port > 0)
        .ok_or_else(|| format!("`[mail_in.imap] submission` is `HOST:PORT` or `none`, and not {place:?}"))
}

fn usual(host: &str) -> Vec<(String, u16)> {
    let host = host.to_ascii_lowercase();
    let host = host.as_str();
    let elsewhere =
        ELSEWHERE.iter().find(|(imap, _)| imap.eq_ignore_ascii_case(host)).map(|(_, smtp)| (*smtp).to_owned());
    let domain = IMAP_NAMES.iter().find_map(|begin| host.strip_prefix(begin));
    let beside = elsewhere.or_else(|| domain.map(|domain| format!("smtp.{domain}")));
    let hosts = std::iter::once(host.to_owned()).chain(beside);
    hosts.flat_map(|host| PORTS.map(|port| (host.clone(), port))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_where_providers_take_mails() {
        let tried = |host| usual(host).into_iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>();
        assert_eq!(
            tried("imap.example.org"),
            ["imap.example.org:465", "imap.example.org:587", "smtp.example.org:465", "smtp.example.org:587"]
        );
        assert_eq!(tried("192.0.2.7"), ["192.0.2.7:465", "192.0.2.7:587"]);
        assert!(tried("outlook.office365.com").contains(&"smtp.office365.com:587".to_owned()));
    }

    #[test]
    fn a_place_is_a_host_and_a_port() {
        assert_eq!(parse("smtp.example.org:587"), Ok(("smtp.example.org".to_owned(), 587)));
        assert_eq!(parse("[2001:db8::7]:465"), Ok(("[2001:db8::7]".to_owned(), 465)));
        for wrong in ["", "smtp.example.org", ":25", "smtp.example.org:0", "smtp.example.org:70000", "None"] {
            assert!(parse(wrong).unwrap_err().contains("`HOST:PORT` or `none`"), "{wrong}");
        }
    }
}
