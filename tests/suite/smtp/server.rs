//! A real submission server beside the test, with a certificate authority of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    deploy::skip,
    node::{free_port, text},
};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/suite/smtp/server.py");
pub(crate) const USER: &str = "me@example.test";
pub(crate) const PASSWORD: &str = "correct-horse-battery-staple";

/// What the server does with a mail.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behaviour {
    Accept,
    RefuseRecipients,
    /// Takes the message and breaks off before it says so.
    DieAfterData,
}

/// How the server wants to be spoken to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Security {
    Starttls,
    Tls,
}

impl Security {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Starttls => "starttls",
            Self::Tls => "tls",
        }
    }
}

/// The server's place: its port, its keys and its mailbox stay while it comes and goes.
#[derive(Debug)]
pub(crate) struct Server {
    python: PathBuf,
    dir: PathBuf,
    pub(crate) port: u16,
    pub(crate) security: Security,
    /// An access token that it lets the user in by as well.
    pub(crate) token: Option<&'static str>,
    running: Option<(Child, ChildStdin)>,
}

impl Server {
    /// A server that does not run yet; none, said, where it cannot be had.
    pub(crate) fn in_folder(dir: &Path, security: Security) -> Option<Self> {
        let Some(python) = std::env::var_os("AIEMP_TEST_PYTHON") else {
            skip("AIEMP_TEST_PYTHON is not set, so no mail went to a real SMTP server");
            return None;
        };
        if Command::new("openssl").arg("version").output().is_err() {
            skip("openssl is not installed, so there was no certificate for an SMTP server");
            return None;
        }
        let dir = dir.join("smtp");
        fs::create_dir_all(dir.join("mailbox")).expect("a mailbox");
        make_certificates(&dir);
        Some(Self { python: python.into(), dir, port: free_port(), security, token: None, running: None })
    }

    /// The certificate of the authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Starts the server; it is ready when this returns.
    pub(crate) fn start(&mut self, behaviour: Behaviour) {
        self.stop();
        let behaviour = match behaviour {
            Behaviour::Accept => "accept",
            Behaviour::RefuseRecipients => "refuse_rcpt",
            Behaviour::DieAfterData => "die_after_data",
        };
        let settings = json!({ "port": self.port, "security": self.security.as_str(), "behaviour": behaviour,
            "certificate": self.dir.join("server.pem"), "key": self.dir.join("server.key"), "user": USER,
            "password": PASSWORD, "token": self.token, "mailbox": self.dir.join("mailbox") });
        let mut child = Command::new(&self.python)
            .arg(SERVER)
            .arg(settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter of AIEMP_TEST_PYTHON starts");
        let stdin = child.stdin.take().expect("a pipe");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the server speaks");
        assert_eq!(line.trim(), "ready");
        // Read to the end, so that the server never waits for a reader.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).count());
        self.running = Some((child, stdin));
    }

    /// Ends the server.
    pub(crate) fn stop(&mut self) {
        if let Some((mut child, stdin)) = self.running.take() {
            drop(stdin);
            child.wait().expect("the server ends with its stdin");
        }
    }

    /// The messages that the server has taken, in order.
    pub(crate) fn mails(&self) -> Vec<Value> {
        let files = fs::read_dir(self.dir.join("mailbox")).expect("a mailbox").flatten();
        let mut paths: Vec<_> = files.map(|file| file.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.iter().map(|path| serde_json::from_slice(&fs::read(path).expect("a mail")).expect("JSON")).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new("openssl").current_dir(dir).args(args).output().expect("openssl runs");
    assert!(output.status.success(), "openssl {args:?}: {}", text(&output.stderr));
}

/// An authority, and a certificate of it for this machine.
pub(crate) fn make_certificates(dir: &Path) {
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = ["-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(dir, &[&["req"][..], &curve, &authority].concat());
    let request = ["-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"];
    openssl(dir, &[&["req"][..], &curve, &request].concat());
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n";
    fs::write(dir.join("names"), names).expect("written");
    let sign = ["x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
    openssl(dir, &[&sign[..], &["-CAcreateserial", "-extfile", "names", "-out", "server.pem"]].concat());
}
