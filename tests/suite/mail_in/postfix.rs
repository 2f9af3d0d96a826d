//! A real mail server (Postfix) that hands mails on by LMTP, as docs/mail-in.md tells it to.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::getuid;

use super::dovecot::{NOBODY, RUN, SUBMISSION_LOGINS, USER, give_away};
use crate::{
    deploy::skip,
    node::{becomes, free_port},
};

/// Who the provider is for, and somebody else who has a mailbox there.
pub(super) const PERSON: &str = "me@example.org";
pub(super) const CLIENT: &str = "client@client.test";

/// The server; it ends with the test.
pub(super) struct Postfix {
    dir: PathBuf,
    /// Where it takes mails.
    pub(super) port: u16,
}

impl Postfix {
    /// Starts it in a folder, for a node whose LMTP port is this; none, said, where it cannot be had.
    pub(super) fn start_in(dir: &Path, lmtp: u16) -> Option<Self> {
        let handed_on = format!(
            "relay_domains = agent.example.org\nrelay_recipient_maps = inline:{{ watch@agent.example.org=ok }}\n\
             transport_maps = inline:{{ agent.example.org=lmtp:inet:127.0.0.1:{lmtp} }}\n"
        );
        Self::start_with(dir, &handed_on, "")
    }

    /// A provider beside a Dovecot of the same folder, and the port at which it takes mails for sending: what comes for
    /// [`PERSON`] is forwarded to the watched mailbox, what goes to [`CLIENT`] lies in `client/new`.
    pub(super) fn start_provider_in(dir: &Path) -> Option<(Self, u16)> {
        fs::create_dir_all(dir.join("client")).expect("made");
        give_away(&dir.join("client"));
        let (place, submission) = (dir.display(), free_port());
        let mailboxes = format!(
            "virtual_alias_domains = example.org\nvirtual_alias_maps = inline:{{ {PERSON}={USER}@agent.example.org }}\n\
             virtual_mailbox_domains = agent.example.org, client.test\nvirtual_mailbox_base = {place}\n\
             virtual_mailbox_maps = inline:{{ {USER}@agent.example.org=dovecot/mail/, {CLIENT}=client/ }}\n\
             virtual_uid_maps = static:{NOBODY}\nvirtual_gid_maps = static:{NOBODY}\nsmtpd_tls_cert_file = {place}/dovecot/server.pem\n\
             smtpd_tls_key_file = {place}/dovecot/server.key\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {place}/{RUN}/{SUBMISSION_LOGINS}\n"
        );
        let service = format!(
            "127.0.0.1:{submission} inet n - n - - smtpd\n  -o smtpd_tls_security_level=encrypt\n  -o smtpd_sasl_auth_enable=yes\n  \
             -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n"
        );
        Some((Self::start_with(dir, &mailboxes, &service)?, submission))
    }

    fn start_with(dir: &Path, more: &str, services_more: &str) -> Option<Self> {
        if !getuid().is_root() || Command::new("postconf").arg("mail_version").output().is_err() {
            skip("not root, or postfix is not installed, so no mail server handed mails in");
            return None;
        }
        let (dir, port) = (dir.join("postfix"), free_port());
        for folder in ["etc", "queue", "data"] {
            fs::create_dir_all(dir.join(folder)).expect("made");
        }
        fs::set_permissions(dir.parent().expect("a folder"), fs::Permissions::from_mode(0o755)).expect("opened");
        let owned = Command::new("chown").arg("postfix").arg(dir.join("data")).status().expect("chown runs");
        assert!(owned.success());
        fs::write(dir.join("etc/main.cf"), settings(&dir) + more).expect("written");
        fs::write(dir.join("etc/master.cf"), services(port) + services_more).expect("written");
        let postfix = Self { dir, port };
        let started = postfix.run("start");
        assert!(started, "{}", fs::read_to_string(postfix.dir.join("said")).unwrap_or_default());
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(becomes(Duration::from_secs(30), is_up), "postfix listens: {}", postfix.log());
        Some(postfix)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// What was delivered to [`CLIENT`].
    pub(super) fn mails_of_client(&self) -> Vec<String> {
        let folder = self.dir.with_file_name("client").join("new");
        let mails = fs::read_dir(folder).into_iter().flatten().flatten();
        mails.map(|mail| fs::read_to_string(mail.path()).expect("a mail")).collect()
    }

    /// Whether it did that. Its daemon keeps what it was started with, so that is no pipe.
    fn run(&self, what: &str) -> bool {
        let said = File::create(self.dir.join("said")).expect("a file");
        let mut command = Command::new("postfix");
        command.arg("-c").arg(self.dir.join("etc")).arg(what).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        command.status().expect("postfix runs").success()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.run("stop");
    }
}

fn settings(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "compatibility_level = 3.6\nqueue_directory = {dir}/queue\ndata_directory = {dir}/data\nmail_owner = postfix\n\
         setgid_group = postdrop\ncommand_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\n\
         myhostname = mx.example.org\nmydestination =\ninet_interfaces = loopback-only\ninet_protocols = ipv4\nmynetworks =\n\
         message_size_limit = 60000000\nvirtual_mailbox_limit = 60000000\nminimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n\
         smtpd_peername_lookup = no\nmaillog_file = {dir}/log\nmaillog_file_prefixes = {dir}\n"
    )
}

fn services(port: u16) -> String {
    let inside = [
        ("pickup", "pickup"),
        ("cleanup", "cleanup"),
        ("qmgr", "qmgr"),
        ("rewrite", "trivial-rewrite"),
        ("bounce", "bounce"),
        ("defer", "bounce"),
        ("trace", "bounce"),
        ("proxymap", "proxymap"),
        ("error", "error"),
        ("retry", "error"),
        ("smtp", "smtp"),
        ("lmtp", "lmtp"),
        ("anvil", "anvil"),
        ("tlsmgr", "tlsmgr"),
        ("virtual", "virtual"),
    ];
    let inside = inside.iter().map(|(service, program)| {
        let wakes = if ["pickup", "qmgr"].contains(service) { "1" } else { "-" };
        let processes = if ["cleanup", "bounce", "defer", "trace"].contains(service) { "0" } else { "-" };
        let processes = if ["pickup", "qmgr", "anvil", "tlsmgr"].contains(service) { "1" } else { processes };
        let is_unprivileged = if *service == "virtual" { "n" } else { "-" };
        let is_private = if ["pickup", "qmgr", "cleanup"].contains(service) { "n" } else { "-" };
        format!("{service} unix {is_private} {is_unprivileged} n {wakes} {processes} {program}\n")
    });
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\n{}",
        inside.collect::<String>()
    )
}
