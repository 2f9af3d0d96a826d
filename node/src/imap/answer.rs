//! Reading one answer of an IMAP server, as far as a reader of mailboxes needs it. Pure, and never deeper or longer than what
//! was heard: the server is not trusted.

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// `tag OK …`, `tag NO …`, `tag BAD …`.
    Done {
        /// Of the command that it answers.
        tag: &'a str,
        /// Whether it was done.
        is_ok: bool,
        /// The server's words.
        said: &'a str,
    },
    /// `+ …`.
    GoOn,
    /// `* OK …`, `* NO …` and the like.
    Status {
        /// In capitals as it came.
        word: &'a str,
        /// The server's words.
        said: &'a str,
    },
    /// `* CAPABILITY …`.
    Capabilities(Vec<&'a str>),
    /// `* SEARCH …`.
    Found(Vec<u32>),
    /// `* n EXISTS`.
    Exists,
    /// `* n FETCH …`.
    Mail(Fetched<'a>),
    /// Something that nobody asked for.
    Other,
}

/// What is told of a mail.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fetched<'a> {
    /// Its number in the folder, for good.
    pub uid: Option<u32>,
    /// Its length.
    pub size: Option<usize>,
    /// Its bytes, or those that were asked for.
    pub body: Option<&'a [u8]>,
}

/// A part of a list.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    /// As it stands: a name, a number, `NIL`.
    Word(&'a [u8]),
    /// Quoted, or of several lines.
    Text(&'a [u8]),
}

/// Reads an answer with the texts of several lines in it; none where it is no answer at all.
pub fn read(answer: &[u8]) -> Option<Answer<'_>> {
    if answer.first() == Some(&b'+') {
        return Some(Answer::GoOn);
    }
    let Some(rest) = answer.strip_prefix(b"* ") else { return done(answer) };
    let (first, after) = word(rest);
    if let Some(number) = text(first).and_then(|first| first.parse::<u32>().ok()) {
        let (what, list) = word(after);
        return Some(match text(what)?.to_ascii_uppercase().as_str() {
            // An empty folder has none, also of the recent ones; a mail has a number.
            "EXISTS" => Answer::Exists,
            "FETCH" if number > 0 => Answer::Mail(fetched(list)?),
            "FETCH" => return None,
            _ => Answer::Other,
        });
    }
    Some(match text(first)?.to_ascii_uppercase().as_str() {
        "OK" | "NO" | "BAD" | "BYE" | "PREAUTH" => Answer::Status { word: text(first)?, said: line(after) },
        "CAPABILITY" => Answer::Capabilities(line(after).split_ascii_whitespace().collect()),
        "SEARCH" => Answer::Found(line(after).split_ascii_whitespace().filter_map(|uid| uid.parse().ok()).collect()),
        _ => Answer::Other,
    })
}

/// The number of `[NAME n]` in a server's words.
pub fn code(said: &str, name: &str) -> Option<u32> {
    let inside = said.strip_prefix('[')?.split(']').next()?;
    let (found, number) = inside.split_once(' ')?;
    found.eq_ignore_ascii_case(name).then(|| number.trim().parse().ok())?
}

fn done(answer: &[u8]) -> Option<Answer<'_>> {
    let (tag, rest) = word(answer);
    let (status, said) = word(rest);
    let (tag, status) = (text(tag)?, text(status)?);
    let is_ok = status.eq_ignore_ascii_case("OK");
    let is_status = is_ok || status.eq_ignore_ascii_case("NO") || status.eq_ignore_ascii_case("BAD");
    is_status.then(|| Answer::Done { tag, is_ok, said: line(said) })
}

/// The attributes of a mail; whatever else the server tells of it is passed over. None where the list does not end.
fn fetched(list: &[u8]) -> Option<Fetched<'_>> {
    let mut tokens = Tokens(list);
    (tokens.next()? == Token::Open).then_some(())?;
    let mut mail = Fetched::default();
    loop {
        let name = match tokens.next()? {
            Token::Close => return Some(mail),
            Token::Open => return None,
            Token::Word(name) | Token::Text(name) => text(name)?.to_ascii_uppercase(),
        };
        match tokens.next()? {
            Token::Close => return None,
            Token::Open => tokens.skip_list()?,
            Token::Word(value) => match name.as_str() {
                "UID" => mail.uid = text(value)?.parse().ok(),
                "RFC822.SIZE" => mail.size = text(value)?.parse().ok(),
                _ => {}
            },
            Token::Text(value) if name == "RFC822" || name == "BODY[]" || name.starts_with("BODY[]<") => {
                mail.body = Some(value);
            }
            Token::Text(_) => {}
        }
    }
}

struct Tokens<'a>(&'a [u8]);

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.0.trim_ascii_start();
        let token = match rest.first()? {
            b'(' => (Token::Open, &rest[1..]),
            b')' => (Token::Close, &rest[1..]),
            b'"' => quoted(&rest[1..])?,
            b'{' => literal(rest)?,
            _ => {
                // `BODY[HEADER.FIELDS (FROM)]` is one word.
                let mut depth = 0_usize;
                let ends = |byte: &u8| {
                    match byte {
                        b'[' => depth += 1,
                        b']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    depth == 0 && (byte.is_ascii_whitespace() || b"()".contains(byte))
                };
                let end = rest.iter().position(ends).unwrap_or(rest.len());
                (Token::Word(&rest[..end]), &rest[end..])
            }
        };
        self.0 = token.1;
        Some(token.0)
    }

    /// Up to the end of a list that has begun, however deep it is.
    fn skip_list(&mut self) -> Option<()> {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next()? {
                Token::Open => depth += 1,
                Token::Close => depth -= 1,
                Token::Word(_) | Token::Text(_) => {}
            }
        }
        Some(())
    }
}

fn quoted(rest: &[u8]) -> Option<(Token<'_>, &[u8])> {
    let mut is_escaped = false;
    let end = rest.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })?;
    Some((Token::Text(&rest[..end]), &rest[end + 1..]))
}

fn literal(rest: &[u8]) -> Option<(Token<'_>, &[u8])> {
    let end = rest.iter().position(|byte| *byte == b'\n')? + 1;
    let length = announced(&rest[..end])?;
    let after = &rest[end..];
    (after.len() >= length).then(|| (Token::Text(&after[..length]), &after[length..]))
}

/// The length of the text that a line announces at its end.
pub(super) fn announced(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"\r\n")?.strip_suffix(b"}")?;
    let begin = line.iter().rposition(|byte| *byte == b'{')? + 1;
    text(&line[begin..])?.parse().ok()
}

fn word(rest: &[u8]) -> (&[u8], &[u8]) {
    let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
    (&rest[..end], rest[end..].trim_ascii_start())
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Words of the server; of what is no UTF-8 nothing.
fn line(bytes: &[u8]) -> &str {
    text(bytes).unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_servers_say_is_read() {
        let done = |tag, is_ok, said| Some(Answer::Done { tag, is_ok, said });
        assert_eq!(read(b"a1 OK [READ-ONLY] open\r\n"), done("a1", true, "[READ-ONLY] open"));
        assert_eq!(read(b"a2 no\r\n"), done("a2", false, ""));
        assert_eq!(read(b"+ idling\r\n"), Some(Answer::GoOn));
        assert_eq!(read(b"* CAPABILITY IMAP4rev1 IDLE\r\n"), Some(Answer::Capabilities(vec!["IMAP4rev1", "IDLE"])));
        assert_eq!(read(b"* SEARCH 7 9\r\n"), Some(Answer::Found(vec![7, 9])));
        assert_eq!(read(b"* 7 exists\r\n"), Some(Answer::Exists));
        // Of an empty folder, and of one in which nothing is new.
        assert_eq!(read(b"* 0 EXISTS\r\n"), Some(Answer::Exists));
        assert_eq!(read(b"* 0 RECENT\r\n"), Some(Answer::Other));
        assert_eq!(read(b"* LIST () \"/\" x\r\n"), Some(Answer::Other));
        let Some(Answer::Status { word: "OK", said }) = read(b"* OK [UIDVALIDITY 17] valid\r\n") else {
            panic!("a status")
        };
        assert_eq!((code(said, "uidvalidity"), code(said, "UIDNEXT")), (Some(17), None));
        for nothing in [&b""[..], b"\r\n", b"what is this\r\n", b"* 0 FETCH (UID 9)\r\n", b"a1\r\n"] {
            assert_eq!(read(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_mail_is_read_whatever_else_is_told_of_it() {
        let answer = b"* 3 FETCH (FLAGS (\\Seen (x)) UID 9 BODY[HEADER.FIELDS (FROM)] \"a \\\" (b\" RFC822.SIZE 5 BODY[]<0> {5}\r\na)\r\n( MODSEQ (7))\r\n";
        let mail = Fetched { uid: Some(9), size: Some(5), body: Some(b"a)\r\n(") };
        assert_eq!(read(answer), Some(Answer::Mail(mail)));
        let nil = Fetched { uid: Some(9), size: None, body: None };
        assert_eq!(read(b"* 3 FETCH (UID 9 BODY[] NIL)\r\n"), Some(Answer::Mail(nil)));
        for cut in 1..answer.len() - 2 {
            assert!(!matches!(read(&answer[..cut]), Some(Answer::Mail(_))), "{cut}");
        }
        let deep = [&b"* 1 FETCH (BODYSTRUCTURE "[..], &b"(".repeat(1 << 20)].concat();
        assert_eq!(read(&deep), None);
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd(answer in proptest::collection::vec(any::<u8>(), 0..200), begin in 0..4_usize) {
            let begins: [&[u8]; 4] = [b"", b"* 1 FETCH (", b"* OK [", b"a1 OK "];
            let answer = [begins[begin], &answer].concat();
            read(&answer);
            announced(&answer);
        }
    }
}
