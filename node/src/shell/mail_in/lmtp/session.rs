//! What is said to a mail server that hands mails in: LMTP (RFC 2033), or SMTP (RFC 5321). Pure: commands and the outcome of
//! a delivery go in, replies come out.

use smtp_proto::{Error, MailFrom, Request};

use crate::core::mail::RAW_BYTES_MAX;

/// Recipients of one mail; RFC 5321 asks for a hundred at least.
const RECIPIENTS_MAX: usize = 100;
/// Commands that were none, after which the connection ends.
const ERRORS_MAX: u32 = 20;
/// Commands without a mail, after which the connection ends.
const COMMANDS_MAX: u32 = 300;
/// What is told to be the largest mail: below that line ends may be added on the way.
const SIZE_TOLD: usize = RAW_BYTES_MAX - 1024;
/// Mails in one connection.
const MAILS_MAX: u32 = 1000;

/// What to do after a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Say this, and go on.
    Say(String),
    /// Say this, and take the mail.
    Take(String),
    /// Say this, and encrypt.
    Encrypt(String),
    /// Say this, and end.
    End(String),
}

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// It is on disk.
    Taken,
    /// It has more bytes than any that is taken.
    TooLarge,
    /// There is no room for it now.
    Full,
    /// It could not be put on disk.
    Failed,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    recipients: Vec<String>,
    offers_tls: bool,
    is_encrypted: bool,
    /// Whether the other side said who it is.
    is_greeted: bool,
    /// LMTP: each recipient is answered.
    is_lmtp: bool,
    has_sender: bool,
    accepted: usize,
    mails: u32,
    errors: u32,
    commands: u32,
}

impl Session {
    pub(super) fn new(recipients: &[String], offers_tls: bool) -> Self {
        Self {
            recipients: recipients.to_vec(),
            offers_tls,
            is_encrypted: false,
            is_greeted: false,
            is_lmtp: false,
            has_sender: false,
            accepted: 0,
            mails: 0,
            errors: 0,
            commands: 0,
        }
    }

    pub(super) fn greeting() -> String {
        // No name: which machine this is, is nobody's business.
        "220 localhost ESMTP LMTP aiemp-node\r\n".to_owned()
    }

    /// The connection is encrypted: what was said before counts no more (RFC 3207).
    pub(super) fn encrypted(&mut self) {
        *self = Self {
            is_encrypted: true,
            errors: self.errors,
            commands: self.commands,
            ..Self::new(&self.recipients, self.offers_tls)
        };
    }

    /// Answers a command, or what is none. `has_room` says whether another mail is taken in this hour.
    pub(super) fn answer<T: AsRef<str>>(&mut self, command: Result<Request<T>, Error>, has_room: bool) -> Next {
        self.commands += 1;
        if self.commands > COMMANDS_MAX {
            return Next::End("421 4.7.0 Too many commands\r\n".to_owned());
        }
        let said = match command {
            Ok(Request::Ehlo { .. } | Request::Helo { .. }) => return self.greeted(false),
            Ok(Request::Lhlo { .. }) => return self.greeted(true),
            Ok(Request::Mail { from }) => self.sender(&from, has_room),
            Ok(Request::Rcpt { to }) => self.recipient(to.address.as_ref()),
            Ok(Request::Data) if self.accepted > 0 => {
                return Next::Take("354 Go on, and end with a dot on a line of its own\r\n".to_owned());
            }
            Ok(Request::Data) => self.wrong("503 5.5.1 Name a recipient first"),
            Ok(Request::StartTls) if self.offers_tls && !self.is_encrypted => {
                return Next::Encrypt("220 2.0.0 Go on\r\n".to_owned());
            }
            Ok(Request::Rset) => {
                self.reset();
                "250 2.0.0 Forgotten".to_owned()
            }
            Ok(Request::Noop { .. }) => "250 2.0.0 Here".to_owned(),
            Ok(Request::Vrfy { .. }) => "252 2.0.0 Hand the mail in, and see".to_owned(),
            Ok(Request::Quit) => return Next::End("221 2.0.0 Bye\r\n".to_owned()),
            Ok(
                Request::Bdat { .. }
                | Request::Auth { .. }
                | Request::Expn { .. }
                | Request::Help { .. }
                | Request::Etrn { .. }
                | Request::Atrn { .. }
                | Request::Burl { .. }
                | Request::StartTls,
            ) => self.wrong("502 5.5.1 Not offered here"),
            Err(_) => self.wrong("500 5.5.2 No such command"),
        };
        if self.errors > ERRORS_MAX {
            return Next::End("421 4.7.0 Too many errors\r\n".to_owned());
        }
        Next::Say(format!("{said}\r\n"))
    }

    /// The replies to a mail.
    pub(super) fn delivered(&mut self, what: Delivered) -> String {
        let said = match what {
            Delivered::Taken => "250 2.0.0 Taken",
            Delivered::TooLarge => "552 5.3.4 Larger than any mail that is taken",
            Delivered::Full => "452 4.3.1 No room now",
            Delivered::Failed => "451 4.3.0 It cannot be stored now",
        };
        let times = if self.is_lmtp { self.accepted } else { 1 };
        self.mails += 1;
        self.commands = 0;
        self.reset();
        format!("{said}\r\n").repeat(times)
    }

    fn greeted(&mut self, is_lmtp: bool) -> Next {
        self.reset();
        self.is_greeted = true;
        self.is_lmtp = is_lmtp;
        let tls = if self.offers_tls && !self.is_encrypted { "250-STARTTLS\r\n" } else { "" };
        Next::Say(format!(
            "250-localhost\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n{tls}250 SIZE \
             {SIZE_TOLD}\r\n"
        ))
    }

    fn sender<T>(&mut self, from: &MailFrom<T>, has_room: bool) -> String {
        if !self.is_greeted {
            return self.wrong("503 5.5.1 Say who you are first");
        }
        if self.has_sender {
            return self.wrong("503 5.5.1 One mail after the other");
        }
        if from.size > SIZE_TOLD {
            return "552 5.3.4 Larger than any mail that is taken".to_owned();
        }
        if !has_room || self.mails >= MAILS_MAX {
            return "451 4.7.1 More mails than are taken now; come later".to_owned();
        }
        self.has_sender = true;
        "250 2.1.0 Go on".to_owned()
    }

    fn recipient(&mut self, address: &str) -> String {
        if !self.has_sender {
            return self.wrong("503 5.5.1 Name the sender first");
        }
        if self.accepted >= RECIPIENTS_MAX {
            return "452 4.5.3 Too many recipients".to_owned();
        }
        if !self.recipients.iter().any(|taken| taken.eq_ignore_ascii_case(address)) {
            return "550 5.1.1 Nobody of that name here".to_owned();
        }
        self.accepted += 1;
        "250 2.1.5 Go on".to_owned()
    }

    fn wrong(&mut self, said: &str) -> String {
        self.errors += 1;
        said.to_owned()
    }

    const fn reset(&mut self) {
        self.has_sender = false;
        self.accepted = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn session() -> Session {
        Session::new(&["agent@example.org".to_owned()], false)
    }

    fn say(session: &mut Session, line: &str) -> Next {
        let line = format!("{line}\r\n");
        let command: Result<Request<Cow<'_, str>>, Error> = Request::parse(&mut line.as_bytes().iter());
        session.answer(command.map(Request::into_owned), true)
    }

    fn says(session: &mut Session, line: &str, begins: &str) {
        let (Next::Say(said) | Next::Take(said) | Next::Encrypt(said) | Next::End(said)) = say(session, line);
        assert!(said.starts_with(begins), "{line}: {said}");
        assert!(said.ends_with("\r\n") && !said.contains("\n\n"), "{said:?}");
    }

    #[test]
    fn lmtp_answers_for_each_recipient_and_smtp_once() {
        for (hello, replies) in [("LHLO mx.example.org", 2), ("EHLO mx.example.org", 1)] {
            let mut session = session();
            says(&mut session, hello, "250-localhost");
            says(&mut session, "MAIL FROM:<> SIZE=100", "250 2.1.0");
            says(&mut session, "RCPT TO:<agent@example.org>", "250 2.1.5");
            says(&mut session, "RCPT TO:<other@example.org>", "550 5.1.1");
            says(&mut session, "RCPT TO:<Agent@Example.org>", "250 2.1.5");
            assert!(matches!(say(&mut session, "DATA"), Next::Take(_)));
            assert_eq!(session.delivered(Delivered::Taken), "250 2.0.0 Taken\r\n".repeat(replies));
            says(&mut session, "DATA", "503 5.5.1");
            assert!(matches!(say(&mut session, "QUIT"), Next::End(_)));
        }
    }

    #[test]
    fn what_comes_out_of_turn_or_exceeds_a_bound_is_told() {
        let mut session = session();
        says(&mut session, "MAIL FROM:<a@b.test>", "503 5.5.1 Say who");
        says(&mut session, "EHLO mx", "250-");
        says(&mut session, "RCPT TO:<agent@example.org>", "503 5.5.1 Name the sender");
        says(&mut session, "MAIL FROM:<a@b.test> SIZE=99999999", "552 5.3.4");
        says(&mut session, "MAIL FROM:<a@b.test>", "250");
        says(&mut session, "MAIL FROM:<a@b.test>", "503 5.5.1 One mail");
        for _ in 0..RECIPIENTS_MAX {
            says(&mut session, "RCPT TO:<agent@example.org>", "250");
        }
        says(&mut session, "RCPT TO:<agent@example.org>", "452 4.5.3");
        says(&mut session, "RSET", "250");
        says(&mut session, "STARTTLS", "502");
        says(&mut session, "AUTH PLAIN AGEAYg==", "502");
        says(&mut session, "WHATEVER", "500");
        for _ in 0..ERRORS_MAX {
            say(&mut session, "WHATEVER");
        }
        let mut session = self::session();
        (0..COMMANDS_MAX).for_each(|_| says(&mut session, "NOOP", "250"));
        assert!(matches!(say(&mut session, "NOOP"), Next::End(said) if said.starts_with("421")));
        let mut session = self::session();
        (0..ERRORS_MAX).for_each(|_| says(&mut session, "WHATEVER", "500"));
        assert!(matches!(say(&mut session, "WHATEVER"), Next::End(said) if said.starts_with("421")));
    }

    #[test]
    fn an_hour_that_is_full_and_a_connection_without_end_are_told_to_come_later() {
        let mut session = session();
        says(&mut session, "LHLO mx", "250-");
        let from = || Ok(Request::Mail { from: MailFrom { address: "a@b.test", ..MailFrom::default() } });
        assert!(matches!(session.answer(from(), false), Next::Say(said) if said.starts_with("451 4.7.1")));
        for _ in 0..MAILS_MAX {
            assert!(matches!(session.answer(from(), true), Next::Say(said) if said.starts_with("250")));
            session.delivered(Delivered::Taken);
        }
        assert!(matches!(session.answer(from(), true), Next::Say(said) if said.starts_with("451 4.7.1")));
    }

    #[test]
    fn after_tls_begins_everything_is_said_anew_and_tls_is_offered_no_more() {
        let mut session = Session::new(&["agent@example.org".to_owned()], true);
        assert!(matches!(say(&mut session, "EHLO mx"), Next::Say(said) if said.contains("STARTTLS")));
        says(&mut session, "MAIL FROM:<a@b.test>", "250");
        assert!(matches!(say(&mut session, "STARTTLS"), Next::Encrypt(_)));
        session.encrypted();
        says(&mut session, "RCPT TO:<agent@example.org>", "503");
        assert!(matches!(say(&mut session, "EHLO mx"), Next::Say(said) if !said.contains("STARTTLS")));
        says(&mut session, "STARTTLS", "502");
    }
}
