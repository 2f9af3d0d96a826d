//! A real IMAP server (Dovecot) beside the test, over TLS, with a mailbox as a folder of files.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::{
    fs::{Gid, Uid},
    process::{Signal, getuid},
};

use crate::{
    deploy::skip,
    node::{becomes, free_port, signal},
    smtp::make_certificates,
};

pub(super) const USER: &str = "watched";
pub(super) const PASSWORD: &str = "correct-horse-battery";
/// Where a mail server asks who may send, in [`RUN`].
pub(super) const SUBMISSION_LOGINS: &str = "auth-submission";
/// Where the server's sockets are, in its folder.
pub(super) const RUN: &str = "dovecot/run";
/// `nobody`: mailboxes are never root's.
pub(super) const NOBODY: u32 = 65_534;

/// The server; it ends with the test.
pub(super) struct Dovecot {
    dir: PathBuf,
    pub(super) port: u16,
    child: Child,
}

impl Dovecot {
    /// Starts it in a folder; none, said, where it cannot be had.
    pub(super) fn start_in(dir: &Path) -> Option<Self> {
        let password = format!("passdb {{\n  driver = static\n  args = user={USER} password={PASSWORD}\n}}\n");
        Self::start_with(dir, &password)
    }

    /// The same, where nobody is let in by password: a service on this port is asked about tokens.
    pub(super) fn start_for_tokens_in(dir: &Path, service: u16) -> Option<Self> {
        fs::write(
            dir.join("oauth2.conf"),
            format!(
                "tokeninfo_url = http://127.0.0.1:{service}/tokeninfo?access_token=\nintrospection_mode = auth\n\
                 username_attribute = email\nactive_attribute = active\nactive_value = yes\n"
            ),
        )
        .expect("written");
        let tokens = format!(
            "auth_mechanisms = xoauth2\npassdb {{\n  driver = oauth2\n  mechanisms = xoauth2\n  args = {}\n}}\n",
            dir.join("oauth2.conf").display()
        );
        Self::start_with(dir, &tokens)
    }

    /// The same, where the user of the mailbox may read and this one may send: a mail server asks here who it is.
    pub(super) fn start_for_submission_in(dir: &Path, sender: &str, sender_password: &str) -> Option<Self> {
        for (service, user, password) in [("imap", USER, PASSWORD), ("smtp", sender, sender_password)] {
            fs::write(dir.join(format!("users.{service}")), format!("{user}:{{PLAIN}}{password}\n")).expect("written");
        }
        let users = dir.join("users.%s");
        let logins = format!(
            "auth_mechanisms = plain login\npassdb {{\n  driver = passwd-file\n  args = {}\n}}\nservice auth {{\n  \
             unix_listener {} {{\n    mode = 0666\n  }}\n}}\n",
            users.display(),
            SUBMISSION_LOGINS
        );
        Self::start_with(dir, &logins)
    }

    fn start_with(dir: &Path, logins: &str) -> Option<Self> {
        if !getuid().is_root() {
            skip("not root, so no mail was taken up from Dovecot");
            return None;
        }
        if Command::new("dovecot").arg("--version").output().is_err() {
            skip("dovecot-imapd is not installed, so no mail was taken up from Dovecot");
            return None;
        }
        // The mailbox is another user's.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("opened");
        let dir = dir.join("dovecot");
        for folder in ["new", "cur", "tmp"] {
            let folder = dir.join("mail").join(folder);
            fs::create_dir_all(&folder).expect("made");
            give_away(&folder);
        }
        give_away(&dir.join("mail"));
        make_certificates(&dir);
        let port = free_port();
        fs::write(dir.join("dovecot.conf"), settings(&dir, port) + logins).expect("written");
        let child = Command::new("dovecot")
            .args(["-F", "-c"])
            .arg(dir.join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("dovecot starts");
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let server = Self { dir, port, child };
        assert!(becomes(Duration::from_secs(30), is_up), "dovecot listens: {}", server.log());
        Some(server)
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Delivers a mail, as a mail server does.
    pub(super) fn deliver(&self, mail: &[u8]) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("1767781800.{}.test", COUNT.fetch_add(1, Ordering::Relaxed));
        let made = self.dir.join("mail/tmp").join(&name);
        fs::write(&made, mail).expect("written");
        give_away(&made);
        fs::rename(made, self.dir.join("mail/new").join(name)).expect("delivered");
    }

    /// The mails that lie there, by name: their flags are part of it.
    pub(super) fn mailbox(&self) -> Vec<String> {
        let listed = ["new", "cur"].map(|folder| fs::read_dir(self.dir.join("mail").join(folder)).expect("a folder"));
        let names =
            listed.into_iter().flatten().map(|entry| entry.expect("read").file_name().to_string_lossy().into_owned());
        names.collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        signal(self.child.id(), Signal::TERM);
        self.child.wait().ok();
    }
}

pub(super) fn give_away(path: &Path) {
    rustix::fs::chown(path, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))).expect("given to nobody");
}

fn settings(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "base_dir = {dir}/run\nstate_dir = {dir}/state\nlog_path = {dir}/log\nprotocols = imap\nlisten = 127.0.0.1\n\
         ssl = required\nssl_cert = <{dir}/server.pem\nssl_key = <{dir}/server.key\n\
         mail_location = maildir:{dir}/mail\nmail_max_userip_connections = 200\nauth_failure_delay = 0\n\
         userdb {{\n  driver = static\n  args = uid={NOBODY} gid={NOBODY} home={dir}/mail\n}}\n\
         service imap-login {{\n  inet_listener imap {{\n    port = 0\n  }}\n  inet_listener imaps {{\n    port = {port}\n    ssl = yes\n  }}\n}}\n"
    )
}
