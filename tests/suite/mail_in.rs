//! Mails come in from a real mailbox, once each, and nothing there is changed.

mod dovecot;
mod postfix;
mod provider;
pub(crate) mod tokens;

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use self::{
    dovecot::{Dovecot, PASSWORD, USER},
    postfix::Postfix,
};
use crate::{
    node::{Node, Pair, Refusal, free_port, text},
    smtp::{Behaviour, Security, Server},
};

/// A mesh whose Cloud reads a mailbox.
struct Office {
    pair: Pair,
    dovecot: Dovecot,
}

impl Office {
    /// The two are paired and do not run. `port` is where Cloud is told that the mailbox is.
    fn with(port: impl FnOnce(&Dovecot) -> u16) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dovecot = Dovecot::start_in(dir.path())?;
        let pair = Pair::strangers_in(dir, &["--unprotected-keys"]);
        let port = port(&dovecot);
        let listen = format!("listen = [\"/ip4/127.0.0.1/tcp/{}\"]\n", free_port());
        pair.cloud.configure(&format!("{listen}{}", settings(&dovecot, port)));
        let stored = add_secret(&pair.cloud, PASSWORD, &[]);
        assert!(stored.code == Some(0), "{}", stored.said);
        let mut office = Self { pair, dovecot };
        office.pair.pair(&[]);
        office.pair.cloud.stop();
        Some(office)
    }

    fn open() -> Option<Self> {
        Self::with(|dovecot| dovecot.port)
    }

    fn tasks(&self) -> Vec<String> {
        self.pair.cloud.named("Needs_Action/email", "EMAIL_", ".md")
    }

    fn subjects(&self) -> Vec<String> {
        let mut subjects: Vec<_> = self
            .tasks()
            .iter()
            .filter_map(|name| self.pair.cloud.read(name))
            .filter_map(|note| text(&note).lines().find_map(|line| line.strip_prefix("subject: ").map(str::to_owned)))
            .collect();
        subjects.sort();
        subjects
    }
}

fn settings(dovecot: &Dovecot, port: u16) -> String {
    format!(
        "[mail_in.imap]\nhost = \"localhost\"\nport = {port}\nusername = \"{USER}\"\npassword_secret = \"mailbox\"\nca_file = {:?}\n\
         submission = \"none\"\n",
        dovecot.authority()
    )
}

fn add_secret(node: &Node, value: &str, extra: &[&str]) -> Refusal {
    let args = [&["secrets", "add", "mailbox", "--use", "mail-in"][..], extra].concat();
    Refusal::of(&node.with_input(&args, value))
}

fn mail(number: usize) -> Vec<u8> {
    format!(
        "From: Client <client{number}@client.test>\r\nTo: me@example.test\r\nSubject: Mail {number:05}\r\nDate: Wed, 07 Jan \
         2026 10:30:00 +0000\r\nMessage-ID: <mail-{number}@client.test>\r\n\r\nHello, this is mail {number}.\r\n"
    )
    .into_bytes()
}

#[test]
fn mails_of_a_mailbox_become_tasks_as_they_come_and_lie_there_as_before() {
    let Some(mut office) = Office::open() else { return };
    // What lies there before the node looks, also what is no mail or too large.
    for number in 0..3 {
        office.dovecot.deliver(&mail(number));
    }
    let large = [&mail(3)[..], &b"a line of a very long mail\r\n".repeat(1_100_000)].concat();
    office.dovecot.deliver(&large);
    office.pair.cloud.start();
    office.pair.wait("what lay there is taken up", |_| office.tasks().len() == 4);
    // The server tells of what comes: nobody waits for a minute.
    let begun = Instant::now();
    office.dovecot.deliver(&mail(4));
    office.pair.wait("what comes is taken up", |_| office.tasks().len() == 5);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let expected: Vec<_> = (0..5).map(|number| format!("\"Mail {number:05}\"")).collect();
    assert_eq!(office.subjects(), expected);
    // Twice the same mail is one task; and after a restart nothing comes again.
    office.dovecot.deliver(&mail(4));
    office.dovecot.deliver(&mail(5));
    office.pair.wait("the next is taken up", |_| office.tasks().len() == 6);
    office.pair.cloud.stop();
    office.dovecot.deliver(&mail(6));
    office.pair.cloud.start();
    office.pair.wait("what came meanwhile is taken up", |_| office.tasks().len() == 7);
    office.pair.wait("Inbox is empty", |pair| pair.cloud.files("Inbox").is_empty());
    // Read-only: no mail was marked as seen or moved.
    let names = office.dovecot.mailbox();
    assert_eq!(names.len(), 8);
    assert!(
        names.iter().all(|name| !name.split_once(":2,").is_some_and(|(_, flags)| flags.contains('S'))),
        "{names:?}"
    );
}

#[test]
fn a_mailbox_that_cannot_be_read_is_told_and_read_as_soon_as_it_can() {
    let Some(mut office) = Office::with(|_| free_port()) else { return };
    office.dovecot.deliver(&mail(1));
    let before = office.pair.cloud.log().len();
    office.pair.cloud.start();
    let trouble =
        |office: &Office| office.pair.cloud.json(&["status", "--json"])["mail_in"]["what"].as_str().map(str::to_owned);
    office
        .pair
        .wait("nobody listens there", |_| trouble(&office).is_some_and(|what| what.contains("Connection refused")));
    let doctor = text(&office.pair.cloud.run(&["doctor"]).stdout);
    assert!(doctor.contains("no mails are taken up"), "{doctor}");
    office.pair.cloud.stop();
    // A wrong password: told, and not tried again and again.
    let stored = add_secret(&office.pair.cloud, "a wrong password", &[]);
    assert_eq!(stored.code, Some(0), "{}", stored.said);
    let config = office.pair.cloud.home.join("config.toml");
    let written = fs::read_to_string(&config).expect("settings");
    let port = written.lines().find(|line| line.starts_with("port = ")).expect("a port").to_owned();
    fs::write(&config, written.replace(&port, &format!("port = {}", office.dovecot.port))).expect("written");
    office.pair.cloud.start();
    office.pair.wait("the login is refused", |_| trouble(&office).is_some_and(|what| what.contains("logging in")));
    let log = office.pair.cloud.log();
    assert_eq!(log[before..].matches("no mails are taken up").count(), 2, "once for each trouble: {log}");
    office.pair.cloud.stop();
    add_secret(&office.pair.cloud, PASSWORD, &[]);
    office.pair.cloud.start();
    office.pair.wait("the mail is taken up", |_| office.tasks().len() == 1);
    office.pair.wait("nothing is the matter", |_| trouble(&office).is_none());
    let log = office.pair.cloud.log();
    assert!(!log.contains(PASSWORD) && !log.contains("a wrong password"), "{log}");
}

#[test]
fn a_connection_that_is_cut_again_and_again_loses_no_mail_and_brings_none_twice() {
    let cuts = Cuts::new();
    let Some(mut office) = Office::with(|dovecot| cuts.serve(dovecot.port)) else { return };
    let rounds = if std::env::var_os("AIEMP_TEST_ALL").is_some() { 100 } else { 6 };
    office.pair.cloud.start();
    let mut delivered = 0;
    for round in 0..rounds {
        for _ in 0..5 {
            office.dovecot.deliver(&mail(delivered));
            delivered += 1;
        }
        // In the middle of the answers that bring them, or while it waits for the next ones.
        if round % 2 == 0 {
            cuts.after(200 + round * 97 % 4000);
        } else {
            office.pair.wait("all are taken up", |_| office.tasks().len() == delivered);
            cuts.now();
        }
    }
    cuts.never();
    office.pair.wait("all are taken up", |_| office.tasks().len() == delivered);
    let subjects: BTreeSet<_> = office.subjects().into_iter().collect();
    assert_eq!(subjects.len(), delivered);
    assert!(cuts.count() >= rounds / 2, "{} cuts", cuts.count());
}

#[test]
fn a_password_that_could_send_is_refused_on_cloud_unless_the_person_wants_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let Some(mut server) = Server::in_folder(dir.path(), Security::Starttls) else { return };
    server.start(Behaviour::Accept);
    let cloud = Node::init(dir.path(), "cloud", &[]);
    let nowhere = add_secret(&cloud, crate::smtp::PASSWORD, &[]);
    nowhere.assert(78, &["no mailbox of config.toml uses a secret named mailbox", "[mail_in.imap]"]);
    let mailbox = |submission: &str| {
        format!(
            "[mail_in.imap]\nhost = \"localhost\"\nusername = \"{}\"\npassword_secret = \"mailbox\"\nca_file = {:?}\n{submission}",
            crate::smtp::USER,
            server.authority()
        )
    };
    let plain = fs::read_to_string(cloud.home.join("config.toml")).expect("settings");
    let set = |submission: &str| {
        fs::write(cloud.home.join("config.toml"), format!("{plain}\n{}", mailbox(submission))).expect("written");
    };
    set(&format!("submission = \"localhost:{}\"\n", server.port));
    let sends = add_secret(&cloud, crate::smtp::PASSWORD, &[]);
    sends.assert(78, &["can send mails", "docs/mail-in.md", "--accept-cloud-can-send"]);
    assert!(!cloud.must(&["secrets", "list"]).contains("mailbox"));
    let receives = add_secret(&cloud, "opens the mailbox alone", &[]);
    assert_eq!(receives.code, Some(0), "{}", receives.said);
    set(&format!("submission = \"localhost:{}\"\n", free_port()));
    add_secret(&cloud, crate::smtp::PASSWORD, &[]).assert(78, &["cannot be told whether", "submission = "]);
    set(&format!("submission = \"localhost:{}\"\n", server.port));
    let accepted = add_secret(&cloud, crate::smtp::PASSWORD, &["--accept-cloud-can-send"]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.said);
    assert!(cloud.must(&["secrets", "list"]).contains("could send"));
    assert!(server.mails().is_empty(), "nothing is sent to try it");
}

/// Hands mails in with Python's own client; what the server said, one line for each step.
fn hand_in(python: &str, port: u16, script: &str) -> Vec<String> {
    let output =
        std::process::Command::new(python).args(["-c", script]).arg(port.to_string()).output().expect("python runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

const HAND_IN: &str = r#"
import smtplib, ssl, sys
port = int(sys.argv[1])
def mail(n): return f"From: c{n}@client.test\r\nTo: agent@example.org\r\nSubject: Handed in {n}\r\nDate: Wed, 07 Jan 2026 10:30:00 +0000\r\nMessage-ID: <handed-{n}@client.test>\r\n\r\nHello\r\n.dot\r\n"
with smtplib.LMTP("127.0.0.1", port) as lmtp:
    print(lmtp.sendmail("c@client.test", ["agent@example.org", "nobody@example.org"], mail(1)))
    print(lmtp.sendmail("c@client.test", ["agent@example.org"], mail(1)))
with smtplib.SMTP("127.0.0.1", port) as smtp:
    context = ssl.create_default_context(cafile=None); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
    print(smtp.starttls(context=context)[0])
    print(smtp.sendmail("c@client.test", ["Agent@Example.org"], mail(2)))
    for n, bad in enumerate([lambda: smtp.sendmail("c@client.test", ["nobody@example.org"], mail(3)),
                lambda: smtp.sendmail("c@client.test", ["agent@example.org"], mail(3) + "x" * (27 << 20))]):
        try: print(bad())
        except smtplib.SMTPException as error: print(type(error).__name__)
with smtplib.SMTP("127.0.0.1", port) as smtp:
    print(smtp.sendmail("c@client.test", ["agent@example.org"], mail(4)))
    try: print(smtp.sendmail("c@client.test", ["agent@example.org"], mail(5)))
    except smtplib.SMTPException as error: print(type(error).__name__)
"#;

#[test]
fn mails_that_servers_hand_in_are_taken_for_the_named_recipients_within_their_bounds() {
    let Ok(python) = std::env::var("AIEMP_TEST_PYTHON") else {
        return crate::deploy::skip("AIEMP_TEST_PYTHON is not set, so no server handed mails in");
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    crate::smtp::make_certificates(dir.path());
    let (listen, port) = (free_port(), free_port());
    let certificates = dir.path().to_owned();
    let mut pair = Pair::strangers_in(dir, &[]);
    pair.cloud.configure(&format!(
        "listen = [\"/ip4/127.0.0.1/tcp/{listen}\"]\n[mail_in.lmtp]\nlisten = \"127.0.0.1:{port}\"\n\
         recipients = [\"agent@example.org\"]\nper_hour = 4\ncertificate = {:?}\nkey = {:?}\n",
        certificates.join("server.pem"),
        certificates.join("server.key")
    ));
    pair.pair(&[]);
    let said = hand_in(&python, port, HAND_IN);
    let expected = [
        "{'nobody@example.org': (550, b'5.1.1 Nobody of that name here')}",
        "{}",
        "220",
        "{}",
        "SMTPRecipientsRefused",
        "SMTPSenderRefused",
        "{}",
        "SMTPSenderRefused",
    ];
    assert_eq!(said, expected, "{}", pair.cloud.log());
    pair.wait("each mail is one task", |pair| pair.cloud.named("Needs_Action/email", "EMAIL_", ".md").len() == 3);
    let mails = pair.cloud.named("Needs_Action/email", "EMAIL_", ".eml");
    let first = mails.iter().filter_map(|path| pair.cloud.read(path)).map(|mail| text(&mail));
    let first = first.filter(|mail| mail.contains("Subject: Handed in 2")).collect::<String>();
    assert!(first.contains("\r\n.dot\r\n"), "dots are what they were: {first}");
}

const FORWARD: &str = r#"
import smtplib, sys
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as smtp:
    for n in range(3):
        mail = f"From: c@client.test\\r\\nTo: watch@agent.example.org\\r\\nSubject: Forwarded {n}\\r\\nMessage-ID: <f{n}@client.test>\\r\\n\\r\\nHello\\r\\n"
        print(smtp.sendmail("c@client.test", ["watch@agent.example.org"], mail))
    try: smtp.sendmail("c@client.test", ["nobody@agent.example.org"], mail)
    except smtplib.SMTPException as error: print(type(error).__name__)
"#;

#[test]
fn postfix_hands_mails_in_as_the_documentation_tells_it_also_those_that_came_while_the_node_was_off() {
    let Ok(python) = std::env::var("AIEMP_TEST_PYTHON") else {
        return crate::deploy::skip("AIEMP_TEST_PYTHON is not set, so no server handed mails in");
    };
    let mut pair = Pair::strangers();
    let (listen, port) = (free_port(), free_port());
    let Some(postfix) = Postfix::start_in(pair.dir(), port) else { return };
    pair.cloud.configure(&format!(
        "listen = [\"/ip4/127.0.0.1/tcp/{listen}\"]\n[mail_in.lmtp]\nlisten = \"127.0.0.1:{port}\"\n\
         recipients = [\"watch@agent.example.org\"]\n"
    ));
    assert_eq!(hand_in(&python, postfix.port, FORWARD), ["{}", "{}", "{}", "SMTPRecipientsRefused"]);
    pair.pair(&[]);
    pair.wait("what waited is taken", |pair| pair.cloud.named("Needs_Action/email", "EMAIL_", ".md").len() == 3);
}

#[test]
fn a_door_for_mails_that_cannot_be_opened_is_told() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut cloud = Node::init(dir.path(), "cloud", &[]);
    for (settings, code, why) in [
        ("listen = \"127.0.0.1:2424\"\nrecipients = []\n", 78, "recipients` is empty"),
        ("listen = \"127.0.0.1:2424\"\nrecipients = [\"a@b.test\"]\nkey = \"/nonexistent\"\n", 78, "needs both"),
        (
            "listen = \"127.0.0.1:2424\"\nrecipients = [\"a@b.test\"]\nkey = \"/nonexistent\"\ncertificate = \"/nonexistent\"\n",
            78,
            "cannot use /nonexistent",
        ),
    ] {
        cloud.configure(&format!("[mail_in.lmtp]\n{settings}"));
        let before = cloud.log().len();
        cloud.spawn();
        assert_eq!(cloud.ended(), Some(code), "{}", cloud.log());
        assert!(cloud.log()[before..].contains(why), "{}", cloud.log());
    }
}

#[test]
fn a_mailbox_of_local_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut local = Node::init(dir.path(), "local", &[]);
    local.configure("[mail_in.imap]\nhost = \"localhost\"\nusername = \"me\"\npassword_secret = \"mailbox\"\n");
    local.spawn();
    assert_eq!(local.ended(), Some(78), "{}", local.log());
    assert!(local.log().contains("is for a Cloud node"), "{}", local.log());
}

/// Stands between a node and its mailbox, and cuts connections.
#[derive(Clone)]
struct Cuts {
    /// Bytes after which the connections that are open are cut; 0 for never.
    left: Arc<std::sync::atomic::AtomicUsize>,
    is_now: Arc<AtomicBool>,
    made: Arc<AtomicU16>,
}

impl Cuts {
    fn new() -> Self {
        Self { left: Arc::default(), is_now: Arc::default(), made: Arc::default() }
    }

    /// The port on which it stands for another one.
    fn serve(&self, to: u16) -> u16 {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let cuts = self.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { return };
                let cuts = cuts.clone();
                thread::spawn(move || cuts.pass(client, server));
            }
        });
        port
    }

    fn pass(&self, mut client: TcpStream, mut server: TcpStream) {
        // What was asked for while nobody was connected is no cut.
        self.is_now.store(false, Ordering::Relaxed);
        let (mut from, mut to) = (client.try_clone().expect("cloned"), server.try_clone().expect("cloned"));
        let up = thread::spawn(move || {
            std::io::copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Both).ok();
        });
        server.set_read_timeout(Some(Duration::from_millis(20))).expect("set");
        let mut room = [0; 512];
        loop {
            if self.is_now.swap(false, Ordering::Relaxed) {
                break;
            }
            match server.read(&mut room) {
                Ok(0) => break,
                Ok(read) => {
                    let left = self.left.load(Ordering::Relaxed);
                    if left > 0 && read >= left {
                        self.left.store(0, Ordering::Relaxed);
                        client.write_all(&room[..left]).ok();
                        break;
                    }
                    self.left.store(left.saturating_sub(read), Ordering::Relaxed);
                    if client.write_all(&room[..read]).is_err() {
                        break;
                    }
                }
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                }
                Err(_) => break,
            }
        }
        self.made.fetch_add(1, Ordering::Relaxed);
        client.shutdown(Shutdown::Both).ok();
        server.shutdown(Shutdown::Both).ok();
        up.join().ok();
    }

    fn after(&self, bytes: usize) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    fn now(&self) {
        self.is_now.store(true, Ordering::Relaxed);
    }

    fn never(&self) {
        self.after(0);
        self.is_now.store(false, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        self.made.load(Ordering::Relaxed).into()
    }
}
