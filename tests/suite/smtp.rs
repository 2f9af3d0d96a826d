//! Approved mails go to a real SMTP server, over TLS and with a password: once, or visibly not.
//!
//! The keys are protected by a passphrase that lies in a file, which makes the mesh unattended; sending to this machine
//! is allowed then.

mod server;

use std::{fs, path::PathBuf, process::Output};

use serde_json::Value;

pub(crate) use self::server::{Behaviour, PASSWORD, Security, Server, USER, make_certificates};
use crate::{
    mail_in::tokens::{ACCESS, CLIENT_SECRET, Provider, REFRESH},
    node::{Pair, text},
};

/// A mesh whose Local sends by SMTP, and the server.
struct Post {
    pair: Pair,
    server: Server,
    passphrase: PathBuf,
}

impl Post {
    /// Everything but the server runs. None where a server cannot be had.
    fn office(security: Security) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let server = Server::in_folder(dir.path(), security)?;
        let passphrase = dir.path().join("passphrase");
        fs::write(&passphrase, "a passphrase for tests\n").expect("written");
        let shown = passphrase.to_string_lossy().into_owned();
        let mut pair = Pair::strangers_in(dir, &["--passphrase-file", &shown]);
        let ca_file = Value::from(server.authority().to_string_lossy().into_owned());
        pair.local.configure(&format!(
            "[mail]\nhand = \"smtp\"\nfrom = \"Me Myself <{USER}>\"\n\n[smtp]\nhost = \"localhost\"\nport = {}\n\
             security = \"{}\"\nusername = \"{USER}\"\npassword_secret = \"smtp\"\ntimeout_s = 10\nca_file = {ca_file}\n",
            server.port,
            security.as_str()
        ));
        pair.local.store_secret("smtp", &["--passphrase-file", &shown], PASSWORD);
        pair.pair(&["--passphrase-file", &shown]);
        pair.local.start();
        Some(Self { pair, server, passphrase })
    }

    fn shown(&self) -> String {
        self.passphrase.to_string_lossy().into_owned()
    }

    /// A draft of Cloud's, ready to be approved; its ID.
    fn draft(&self, name: &str) -> String {
        let mail = format!(
            "From: Client <{name}@client.test>\r\nTo: {USER}\r\nSubject: About {name}\r\nDate: Wed, 07 Jan 2026 10:30:00 \
             +0000\r\nMessage-ID: <{name}@client.test>\r\n\r\nHello\r\n"
        );
        self.pair.cloud.drop_mail(&format!("{name}.eml"), mail.as_bytes());
        self.pair.wait("the draft arrives", |_| self.item_for(name).is_some());
        self.item_for(name).expect("the draft is listed")["id"].as_str().expect("an ID").to_owned()
    }

    fn item_for(&self, name: &str) -> Option<Value> {
        let about = |item: &Value| item["summary"].as_str().is_some_and(|summary| summary.contains(name));
        self.pair.local.approvals().into_iter().find(about)
    }

    fn approve(&self, id: &str) {
        self.pair.local.must(&["approvals", "approve", id, "--passphrase-file", &self.shown()]);
    }

    fn settle(&self, id: &str, how: &str) {
        self.pair.local.must(&["approvals", "settle", id, how, "--passphrase-file", &self.shown()]);
    }

    fn state_of(&self, id: &str) -> Vec<String> {
        let items = self.pair.local.approvals().into_iter().filter(|item| item["id"] == id);
        items.map(|item| item["state"].as_str().expect("a state").to_owned()).collect()
    }

    fn wait_for_state(&self, id: &str, state: &str) {
        self.pair.wait(&format!("{id} becomes {state}"), |_| self.state_of(id).iter().any(|found| found == state));
    }

    /// Waits until the draft of an action that failed lies among the drafts again.
    fn wait_until_back(&self, id: &str) {
        self.wait_for_state(id, "failed");
        self.pair.wait("the draft is back", |pair| {
            let waits = |item: &Value| item["id"] == id && item["path"].as_str().is_some_and(|at| at.contains(".md"));
            pair.local.approvals().iter().any(waits)
        });
    }

    /// Waits until the answer lies under `Done/` in both vaults and the listing says that it was sent.
    fn wait_until_filed(&self, id: &str) {
        self.wait_for_state(id, "sent");
        self.pair.wait_same("the answer is filed", |files| {
            files.keys().any(|path| path.starts_with("Done/email/REPLY_"))
                && !files.keys().any(|path| path.starts_with("Pending_Approval/email/"))
        });
    }
}

fn said(output: &Output) -> String {
    text(&output.stderr)
}

fn header<'a>(mail: &'a Value, name: &str) -> &'a str {
    let content = mail["content"].as_str().expect("a message");
    let head = content.split("\r\n\r\n").next().expect("a head");
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {head}"))
}

#[test]
fn an_approved_mail_goes_by_starttls_with_password_exactly_once() {
    let Some(mut post) = Post::office(Security::Starttls) else { return };
    post.server.start(Behaviour::Accept);
    let id = post.draft("order");
    post.approve(&id);
    post.wait_until_filed(&id);
    let mails = post.server.mails();
    assert_eq!(mails.len(), 1, "{mails:?}");
    let mail = &mails[0];
    assert_eq!((&mail["tls"], &mail["user"], &mail["from"]), (&true.into(), &USER.into(), &USER.into()), "{mail}");
    assert_eq!(mail["to"], serde_json::json!(["order@client.test"]));
    assert_eq!(header(mail, "Subject"), "Re: About order");
    assert_eq!(header(mail, "In-Reply-To"), "<order@client.test>");
    assert!(mail["content"].as_str().is_some_and(|text| text.contains("your message about \"About order\"")), "{mail}");
    let message_id = header(mail, "Message-ID");
    assert!(message_id.starts_with('<') && message_id.ends_with("@example.test>"), "{message_id}");
    // The same approval again is refused, and so is the same work without a word.
    let passphrase = post.shown();
    let again = post.pair.local.run(&["approvals", "approve", &id, "--passphrase-file", &passphrase]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(said(&again).contains("already sent") && said(&again).contains("--again"), "{}", said(&again));
    // Nothing is sent again after a restart.
    post.pair.local.stop();
    post.pair.local.start();
    post.pair.wait("the executor runs", |pair| pair.local.log().matches("executor started").count() == 2);
    assert_eq!(post.server.mails().len(), 1);
}

#[test]
fn where_the_provider_takes_no_password_a_mail_goes_by_an_access_token() {
    let provider = Provider::start();
    let Some(mut post) = Post::office(Security::Starttls) else { return };
    post.server.token = Some(ACCESS);
    post.server.start(Behaviour::Accept);
    post.pair.local.stop();
    let config = post.pair.local.home.join("config.toml");
    let written = fs::read_to_string(&config).expect("settings");
    fs::write(&config, format!("{written}\n{}", provider.settings("smtp"))).expect("written");
    let passphrase = post.shown();
    for (name, value) in [("smtp", REFRESH), ("application", CLIENT_SECRET)] {
        post.pair.local.store_secret(name, &["--passphrase-file", &passphrase], value);
    }
    post.pair.local.start();
    // What ended at the provider is told, and the mail waits for another approval.
    provider.end();
    let refused = post.draft("refused");
    post.approve(&refused);
    post.wait_until_back(&refused);
    let item = post.item_for("refused").expect("it is listed");
    assert!(item.to_string().contains("400 invalid_grant *** was revoked"), "{item}");
    assert!(post.server.mails().is_empty());
    provider.begin();
    let id = post.draft("order");
    post.approve(&id);
    post.wait_for_state(&id, "sent");
    let mails = post.server.mails();
    let [mail] = &mails[..] else { panic!("{mails:?}") };
    assert_eq!((&mail["user"], &mail["by_token"], &mail["tls"]), (&USER.into(), &true.into(), &true.into()), "{mail}");
    let log = post.pair.local.log();
    assert!(![ACCESS, REFRESH, CLIENT_SECRET].iter().any(|secret| log.contains(secret)), "{log}");
}

#[test]
fn a_filed_draft_is_sent_a_second_time_once_it_is_put_back_as_the_message_says() {
    let Some(mut post) = Post::office(Security::Starttls) else { return };
    post.server.start(Behaviour::Accept);
    let id = post.draft("twice");
    post.pair.local.must(&["approvals", "show", &id]);
    post.approve(&id);
    post.wait_until_filed(&id);
    let passphrase = post.shown();
    let refused = post.pair.local.run(&["approvals", "approve", &id, "--again", "--passphrase-file", &passphrase]);
    let told = said(&refused);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    let (from, rest) = told.split_once("copy ").and_then(|(_, rest)| rest.split_once(" back to ")).expect(&told);
    let (to, _) = rest.split_once(", then").expect(&told);
    let vault = &post.pair.local.vault;
    fs::copy(vault.join(from), vault.join(to)).expect("the draft is put back");
    let back = || post.pair.local.approvals().into_iter().find(|item| item["path"] == to);
    post.pair.wait("the draft is listed", |_| back().is_some());
    let id = back().expect("a draft")["id"].as_str().expect("an ID").to_owned();
    let once = post.pair.local.run(&["approvals", "approve", &id, "--passphrase-file", &passphrase]);
    assert!(said(&once).contains("approve with --again"), "{}", said(&once));
    post.pair.local.must(&["approvals", "approve", &id, "--again", "--passphrase-file", &passphrase]);
    post.pair.wait("it is sent again", |_| post.server.mails().len() == 2);
}

#[test]
fn a_server_that_comes_up_after_the_approval_gets_the_mail_once() {
    let Some(mut post) = Post::office(Security::Tls) else { return };
    let id = post.draft("late");
    post.approve(&id);
    post.wait_for_state(&id, "approved");
    assert!(post.server.mails().is_empty());
    post.server.start(Behaviour::Accept);
    post.wait_until_filed(&id);
    let mails = post.server.mails();
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert_eq!((&mails[0]["tls"], &mails[0]["user"]), (&true.into(), &USER.into()), "{mails:?}");
}

#[test]
fn a_mail_whose_recipient_is_refused_failed_and_can_be_approved_again() {
    let Some(mut post) = Post::office(Security::Starttls) else { return };
    post.server.start(Behaviour::RefuseRecipients);
    let id = post.draft("nobody");
    post.approve(&id);
    post.wait_until_back(&id);
    assert!(post.server.mails().is_empty());
    post.pair.wait_same("the draft is back", |files| {
        files.keys().any(|path| path.starts_with("Pending_Approval/email/REPLY_"))
            && !files.keys().any(|path| path.starts_with("Approved/email/"))
    });
    let listed = post.pair.local.must(&["approvals"]);
    assert!(listed.contains("failed") && listed.contains("no such mailbox here"), "{listed}");
    post.server.start(Behaviour::Accept);
    post.approve(&id);
    post.wait_until_filed(&id);
    assert_eq!(post.server.mails().len(), 1);
}

#[test]
fn a_draft_that_failed_and_was_edited_is_filed_as_it_was_approved_then_and_stays_so() {
    let Some(mut post) = Post::office(Security::Starttls) else { return };
    post.server.start(Behaviour::RefuseRecipients);
    let id = post.draft("typo");
    post.approve(&id);
    post.wait_until_back(&id);
    let path = post.pair.local.named("Pending_Approval", "REPLY_", ".md").remove(0);
    let text = text(&post.pair.local.read(&path).expect("the draft")).replace("typo@client.test", "type@client.test");
    post.pair.local.save(&path, &text);
    let edited = |post: &Post| post.item_for("typo").filter(|item| item["state"] == "pending");
    post.pair.wait("the edit is listed", |_| edited(&post).is_some());
    let second = edited(&post).expect("it is listed")["id"].as_str().expect("an ID").to_owned();
    assert_ne!(second, id);
    post.server.start(Behaviour::Accept);
    post.approve(&second);
    post.wait_until_filed(&second);
    let assert_filed = |post: &Post| {
        let done = post.pair.cloud.named("Done", "REPLY_", ".md");
        assert_eq!(done.len(), 1, "{done:?}");
        assert_eq!(post.pair.cloud.read(&done[0]).as_deref(), Some(text.as_bytes()));
        assert!(post.pair.local.named("Pending_Approval", "REPLY_", ".md").is_empty());
        assert_eq!(post.server.mails().len(), 1);
    };
    assert_filed(&post);
    post.pair.local.stop();
    post.pair.local.start();
    post.pair.local.save("Plans/after.md", "after\n");
    post.pair.wait_same("what is saved after the restart arrives", |files| files.contains_key("Plans/after.md"));
    assert_filed(&post);
}

#[test]
fn a_mail_whose_end_nobody_knows_waits_for_a_person_and_is_sent_again_if_it_was_not() {
    let Some(mut post) = Post::office(Security::Starttls) else { return };
    post.server.start(Behaviour::DieAfterData);
    let id = post.draft("lost");
    post.approve(&id);
    post.wait_for_state(&id, "unknown");
    assert_eq!(post.server.mails().len(), 1);
    // Neither time nor a restart nor another approval sends it again.
    post.server.start(Behaviour::Accept);
    let passphrase = post.shown();
    let again = post.pair.local.run(&["approvals", "approve", &id, "--passphrase-file", &passphrase]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    post.pair.local.stop();
    post.pair.local.start();
    post.wait_for_state(&id, "unknown");
    assert_eq!(post.server.mails().len(), 1);
    post.settle(&id, "--not-sent");
    post.wait_until_back(&id);
    post.approve(&id);
    post.wait_until_filed(&id);
    let mails = post.server.mails();
    assert_eq!(mails.len(), 2, "{mails:?}");
    assert_ne!(header(&mails[0], "Message-ID"), header(&mails[1], "Message-ID"));
}

#[test]
fn a_mail_whose_end_nobody_knows_is_filed_when_the_person_says_it_was_sent() {
    let Some(mut post) = Post::office(Security::Starttls) else { return };
    post.server.start(Behaviour::DieAfterData);
    let id = post.draft("arrived");
    post.approve(&id);
    post.wait_for_state(&id, "unknown");
    post.server.start(Behaviour::Accept);
    post.settle(&id, "--sent");
    post.wait_until_filed(&id);
    assert_eq!(post.server.mails().len(), 1);
    let passphrase = post.shown();
    let refused =
        post.pair.local.refused(&["approvals", "settle", &id, "--not-sent", "--passphrase-file", &passphrase]);
    refused.assert(1, &["waits to be settled"]);
}
