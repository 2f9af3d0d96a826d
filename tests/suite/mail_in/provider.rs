//! Postfix and Dovecot as the provider of a person: a forward into a mailbox that can only receive, and a door for sending.

use std::fs;

use super::{
    add_secret,
    dovecot::{Dovecot, PASSWORD, USER},
    hand_in,
    postfix::{PERSON, Postfix},
    settings,
};
use crate::node::{Pair, free_port};

const TO_PERSON: &str = r#"
import smtplib, sys
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as smtp:
    mail = "From: A Client <client@client.test>\r\nTo: me@example.org\r\nSubject: The invoice\r\nDate: Wed, 07 Jan 2026 10:30:00 +0000\r\nMessage-ID: <order-7@client.test>\r\n\r\nPlease send it.\r\n"
    print(smtp.sendmail("client@client.test", ["me@example.org"], mail))
"#;

#[test]
fn a_mail_goes_through_a_real_provider_both_ways_and_the_answer_leaves_once() {
    const MINE: &str = "the person's own password";
    let Ok(python) = std::env::var("AIEMP_TEST_PYTHON") else {
        return crate::deploy::skip("AIEMP_TEST_PYTHON is not set, so no mail went through a provider");
    };
    let provider = tempfile::tempdir().expect("a temporary folder");
    let Some(dovecot) = Dovecot::start_for_submission_in(provider.path(), PERSON, MINE) else { return };
    let Some((postfix, submission)) = Postfix::start_provider_in(provider.path()) else { return };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let passphrase = dir.path().join("passphrase");
    fs::write(&passphrase, "a passphrase for tests\n").expect("written");
    let unlock = ["--passphrase-file", &passphrase.to_string_lossy()].map(str::to_owned);
    let unlock: Vec<_> = unlock.iter().map(String::as_str).collect();
    let mut pair = Pair::strangers_in(dir, &unlock);
    let listen = format!("listen = [\"/ip4/127.0.0.1/tcp/{}\"]\n", free_port());
    let door = format!("submission = \"localhost:{submission}\"\n");
    let mailbox = settings(&dovecot, dovecot.port).replace("submission = \"none\"\n", &door);
    // The account that sends is none for Cloud, as the provider itself says.
    pair.cloud.configure(&format!("{listen}{}", mailbox.replace(USER, PERSON)));
    add_secret(&pair.cloud, MINE, &[]).assert(78, &["can send mails", PERSON]);
    pair.cloud.configure(&format!("{listen}{mailbox}[brain]\nkind = \"template\"\n"));
    let stored = add_secret(&pair.cloud, PASSWORD, &[]);
    assert_eq!(stored.code, Some(0), "{}", stored.said);
    pair.local.configure(&format!(
        "[mail]\nhand = \"smtp\"\nfrom = \"Me <{PERSON}>\"\n[smtp]\nhost = \"localhost\"\nport = {submission}\nsecurity = \
         \"starttls\"\nusername = \"{PERSON}\"\npassword_secret = \"smtp\"\nca_file = {:?}\n",
        dovecot.authority()
    ));
    pair.local.store_secret("smtp", &unlock, MINE);
    pair.pair(&unlock);
    // Local is off while the mail comes.
    assert_eq!(hand_in(&python, postfix.port, TO_PERSON), ["{}"]);
    pair.wait("Cloud drafts", |pair| !pair.cloud.named("Pending_Approval/email", "REPLY_", ".md").is_empty());
    assert!(postfix.mails_of_client().is_empty());
    pair.local.start();
    pair.wait("the draft comes over", |pair| pair.local.approvals_in("pending").len() == 1);
    let id = pair.local.approvals_in("pending").remove(0);
    pair.local.must(&[&["approvals", "approve", &id][..], &unlock].concat());
    pair.wait("it is sent", |pair| pair.local.approvals_in("sent") == [id.clone()]);
    pair.wait("the client has it", |_| !postfix.mails_of_client().is_empty());
    let mails = postfix.mails_of_client();
    let [mail] = &mails[..] else { panic!("{mails:?}") };
    for piece in [
        "From: Me <me@example.org>",
        "To: ",
        "Subject: Re: The invoice",
        "In-Reply-To: <order-7@client.test>",
        "with ESMTPSA",
    ] {
        assert!(mail.contains(piece), "no {piece} in {mail}");
    }
    pair.wait_same("the task is done", |files| files.keys().any(|path| path.starts_with("Done/email/EMAIL_")));
}
