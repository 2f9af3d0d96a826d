//! A mailbox whose provider lets nobody in by password: access tokens open it, and are tried for sending as passwords are.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};

use super::{
    Cuts, add_secret,
    dovecot::{Dovecot, USER},
    mail, settings,
};
use crate::{
    http,
    node::{Node, Pair, collect, free_port},
    smtp::{Behaviour, Security, Server},
};

/// A provider that lets nobody in by password. What its client was asked for and gave it.
pub(crate) struct Provider {
    port: u16,
    renewals: Arc<AtomicU16>,
    /// Whether the stored token is good still.
    is_good: Arc<AtomicBool>,
}

pub(crate) const REFRESH: &str = "a refresh+token/of a test";
pub(crate) const CLIENT_SECRET: &str = "the application's secret";
pub(crate) const ACCESS: &str = "ya29.access-token_of-a-test";

impl Provider {
    pub(crate) fn start() -> Self {
        let (renewals, is_good) = (Arc::new(AtomicU16::new(0)), Arc::new(AtomicBool::new(true)));
        let (count, good) = (renewals.clone(), is_good.clone());
        let port = http::serve(move |asked, stream| {
            let answer = match asked.head.lines().next().unwrap_or_default() {
                "POST /token HTTP/1.1"
                    if asked.body
                        == format!(
                            "grant_type=refresh_token&refresh_token=a+refresh%2Btoken%2Fof+a+test&client_id=app&client_secret={}",
                            "the+application%27s+secret"
                        )
                        && good.load(Ordering::Relaxed) =>
                {
                    count.fetch_add(1, Ordering::Relaxed);
                    http::json(
                        "200 OK",
                        &format!(r#"{{"access_token":"{ACCESS}","expires_in":1,"token_type":"Bearer"}}"#),
                    )
                }
                "POST /token HTTP/1.1" => {
                    let why = format!(r#"{{"error":"invalid_grant","error_description":"{REFRESH} was revoked"}}"#);
                    http::json("400 Bad Request", &why)
                }
                line if line.contains(ACCESS) => {
                    http::json("200 OK", &format!(r#"{{"email":"{USER}","active":"yes"}}"#))
                }
                _ => http::json("400 Bad Request", r#"{"error":"invalid_token"}"#),
            };
            stream.write_all(answer.as_bytes()).ok();
        });
        Self { port, renewals, is_good }
    }

    /// The person takes the access back.
    pub(crate) fn end(&self) {
        self.is_good.store(false, Ordering::Relaxed);
    }

    /// And gives it again.
    pub(crate) fn begin(&self) {
        self.is_good.store(true, Ordering::Relaxed);
    }

    /// Of the settings in this table.
    pub(crate) fn settings(&self, table: &str) -> String {
        format!(
            "[{table}.oauth2]\ntoken_url = \"http://127.0.0.1:{}/token\"\nclient_id = \"app\"\n\
             client_secret = \"${{secret:application}}\"\n",
            self.port
        )
    }
}

#[test]
fn a_mailbox_is_read_by_access_tokens_that_are_renewed_and_lie_nowhere() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a temporary folder"));
    let Some(dovecot) = Dovecot::start_for_tokens_in(dir.path(), provider.port) else { return };
    let cuts = Cuts::new();
    let port = cuts.serve(dovecot.port);
    let mut pair = Pair::strangers_in(dir, &["--unprotected-keys"]);
    let listen = format!("listen = [\"/ip4/127.0.0.1/tcp/{}\"]\n", free_port());
    pair.cloud.configure(&format!("{listen}{}{}", settings(&dovecot, port), provider.settings("mail_in.imap")));
    pair.cloud.store_secret("application", &["--use", "mail-in"], CLIENT_SECRET);
    pair.cloud.store_secret("mailbox", &["--use", "mail-in"], REFRESH);
    pair.pair(&[]);
    let tasks = |pair: &Pair| pair.cloud.named("Needs_Action/email", "EMAIL_", ".md").len();
    dovecot.deliver(&mail(1));
    pair.wait("the mail is taken up", |pair| tasks(pair) == 1);
    // A token is shown for half of the time that it lasts.
    let before = provider.renewals.load(Ordering::Relaxed);
    cuts.now();
    dovecot.deliver(&mail(2));
    pair.wait("it is taken up again", |pair| tasks(pair) == 2);
    assert!(provider.renewals.load(Ordering::Relaxed) > before);
    // The person took the access back.
    provider.end();
    cuts.now();
    let trouble = |pair: &Pair| pair.cloud.json(&["status", "--json"])["mail_in"]["what"].as_str().map(str::to_owned);
    pair.wait("it is told", |pair| {
        trouble(pair).is_some_and(|what| what.contains("400 invalid_grant *** was revoked"))
    });
    pair.cloud.stop();
    let mut kept = BTreeMap::new();
    collect(pair.dir(), "", &mut kept);
    let holders = |needle: &str| -> Vec<&String> {
        let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
        kept.iter()
            .filter(|(path, bytes)| !path.starts_with("/dovecot") && holds(bytes))
            .map(|(path, _)| path)
            .collect()
    };
    assert_eq!(holders(ACCESS), Vec::<&String>::new());
    assert_eq!(holders(REFRESH), ["/cloud-home/cloud-secrets/mailbox"]);
    assert_eq!(holders(CLIENT_SECRET), ["/cloud-home/cloud-secrets/application"]);
}

#[test]
fn a_token_that_could_send_is_refused_on_cloud() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a temporary folder"));
    let Some(mut server) = Server::in_folder(dir.path(), Security::Starttls) else { return };
    let cloud = Node::init(dir.path(), "cloud", &[]);
    let mailbox = format!(
        "[mail_in.imap]\nhost = \"localhost\"\nusername = \"{}\"\npassword_secret = \"mailbox\"\nca_file = {:?}\n\
         submission = \"localhost:{}\"\n",
        crate::smtp::USER,
        server.authority(),
        server.port
    );
    // Tried as a password it says nothing of what it can do as a token.
    server.token = Some(ACCESS);
    server.start(Behaviour::Accept);
    cloud.configure(&mailbox);
    let stored = add_secret(&cloud, REFRESH, &[]);
    assert_eq!(stored.code, Some(0), "{}", stored.said);
    cloud.configure(&format!("{mailbox}{}", provider.settings("mail_in.imap")));
    cloud
        .refused(&["--role", "cloud"])
        .assert(78, &["one for mail-in by token is needed", "secrets add mailbox --use mail-in"]);
    add_secret(&cloud, REFRESH, &[]).assert(78, &["there is no secret named application", "--use mail-in"]);
    cloud.store_secret("application", &["--use", "mail-in"], CLIENT_SECRET);
    add_secret(&cloud, REFRESH, &[]).assert(78, &["can send mails", "--accept-cloud-can-send"]);
    add_secret(&cloud, "another refresh token", &[]).assert(78, &["400 invalid_grant"]);
    server.token = None;
    server.start(Behaviour::Accept);
    let stored = add_secret(&cloud, REFRESH, &[]);
    assert_eq!(stored.code, Some(0), "{}", stored.said);
    for (url, why) in [
        ("http://oauth2.example.org/token", "nothing leaves this one unencrypted"),
        ("oauth2.example.org", "does not begin with https://"),
        ("https://oauth2.example.org/token?x=1", "without a query"),
    ] {
        let settings =
            provider.settings("mail_in.imap").replace(&format!("http://127.0.0.1:{}/token", provider.port), url);
        cloud.configure(&format!("{mailbox}{settings}"));
        add_secret(&cloud, REFRESH, &[]).assert(78, &["token_url", why]);
    }
}
