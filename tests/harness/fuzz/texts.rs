//! Texts from outside: notes, mails, and what may leave.

use aiemp_crdt::{
    document::{self, Document},
    note::Note,
    shape::Shape,
    text_diff, vet,
};
use aiemp_keys::{FingerprintKey, Fingerprints};
use aiemp_node::core::mail::{self as mails, Mail};
use aiemp_protocol::{egress::Guard, ids::Audience, limits::NOTE_BYTES_MAX, vault_path::VaultPath};

use super::{actions, assert_one_line, seeds, text_of};

/// Longest texts that become documents here: automerge makes an operation of each character.
const DOCUMENT_BYTES_MAX: usize = 2_048;
/// Secrets that the guard knows, of two lengths.
const SECRETS: [(&str, &[u8]); 2] =
    [("mail", b"hunter2-hunter2!"), ("bank", b"sk_live_0123456789abcdefghijklmnopqrstuv")];

/// A text comes back byte for byte, and an edit leaves exactly the new text, here and at a peer.
///
/// The input is two texts, the second behind the first NUL.
pub fn note(bytes: &[u8]) {
    let text = text_of(bytes);
    let (old, new) = text.split_once('\0').unwrap_or((&text, ""));
    for text in [old, new, &text] {
        assert_eq!(Note::parse(text).to_text(), *text);
    }
    let splices = text_diff::splices(old, new);
    assert_eq!(text_diff::spliced(old, &splices), new);
    assert!(splices.windows(2).all(|pair| pair[0].at + pair[0].delete <= pair[1].at), "{splices:?}");
    if text.len() > DOCUMENT_BYTES_MAX {
        return;
    }
    let mut document = Document::import(old);
    assert_eq!(document.text(), old);
    let mut peer = document.clone();
    let (author, doc) = (seeds::node().node_id(), seeds::doc());
    let change = document.edit(new, document::actor(author, doc, 0, 0));
    assert_eq!(document.text(), new);
    assert_eq!(change.is_none(), old == new);
    if let Some(raw) = change {
        let change = vet::vet(&peer, doc, author, 0, &raw).expect("an honest edit passes");
        peer.apply(change).expect("what was vetted applies");
        assert_eq!(peer.text(), new);
    }
    for shape in [Shape::Lines, Shape::Array, Shape::State] {
        apart(shape, old, new);
    }
}

/// Two who save these over nothing show the same, whatever it is.
fn apart(shape: Shape, one: &str, other: &str) {
    let (author, doc) = (seeds::node().node_id(), seeds::doc());
    let texts = [one, other];
    let mut sides = texts.map(|_| Document::import_as("", shape));
    let raw = [0, 1].map(|side| sides[side].edit(texts[side], document::actor(author, doc, 0, side as u64)));
    for (side, saved) in sides.iter().zip(texts) {
        assert_eq!(side.text(), saved, "{shape:?}");
    }
    for (side, raw) in sides.iter_mut().zip(raw.iter().rev()) {
        if let Some(raw) = raw {
            let change = vet::vet(side, doc, author, 0, raw).expect("an honest edit passes");
            side.apply(change).expect("what was vetted applies");
        }
    }
    assert_eq!(sides[0].text(), sides[1].text(), "{shape:?}");
}

/// What a mail says stays one-line data in a note that is no draft.
pub fn mail(bytes: &[u8]) {
    let Ok(mail) = mails::read_mail(bytes) else { return };
    check_mail(&mail);
    let key = mails::source_key(&mail, bytes);
    assert_eq!(mails::source_key(&mail, bytes), key);
    let work = seeds::work();
    let note = mails::task_note(&mail, &work, seeds::NOW, "Inbox/x.eml");
    assert!(note.len() <= NOTE_BYTES_MAX, "{} bytes", note.len());
    assert_eq!(Note::parse(&note).to_text(), note);
    let read = mails::parse_task_note(&note).expect("a task note");
    assert_eq!((read.work_id, &read.subject, &read.message_id), (work, &mail.subject, &mail.message_id));
    assert_eq!((read.list_mail, &read.references), (mail.list_mail, &mail.references));
    assert!(actions::derive(note.as_bytes()).is_err(), "a mail became an action: {note}");
}

fn check_mail(mail: &Mail) {
    let lines = mail.message_id.iter().chain(&mail.in_reply_to).chain(&mail.references).chain([&mail.subject]);
    lines.for_each(|line| assert_one_line(line));
    for address in mail.from.iter().chain(&mail.reply_to).chain(&mail.to).chain(&mail.cc) {
        assert_one_line(&address.addr);
        address.name.iter().for_each(|name| assert_one_line(name));
    }
    for attachment in &mail.attachments {
        assert_one_line(&attachment.name);
        assert_one_line(&attachment.media_type);
    }
    assert!(mail.text.len() <= mails::TEXT_BYTES_MAX && mail.attachments.len() <= mails::ATTACHMENTS_MAX);
    assert!(!mail.text.contains('\r'), "{:?}", mail.text);
}

/// A known secret is held wherever it stands; what passes, passes as it is.
pub fn guard(bytes: &[u8]) {
    let mut fingerprints = Fingerprints::new(FingerprintKey::from_bytes([7; 32]));
    for (name, secret) in SECRETS {
        fingerprints.add(name, secret).expect("long enough");
    }
    let guard = Guard::new(fingerprints);
    let text = text_of(bytes).into_owned();
    let path = VaultPath::parse("Plans/x.md").expect("a path");
    let holds = |text: &[u8], secret: &[u8]| text.windows(secret.len()).any(|window| window == secret);
    let is_known = SECRETS.iter().any(|(_, secret)| holds(text.as_bytes(), secret));
    if let Ok(cleared) = guard.clear_text(text.clone()) {
        assert!(!is_known, "a secret passed in {text:?}");
        assert_eq!(*cleared.get(), text);
    }
    let is_known = SECRETS.iter().any(|(_, secret)| holds(bytes, secret));
    if let Ok(cleared) = guard.clear_file(&path, Audience::All, bytes.to_vec()) {
        assert!(!is_known, "a secret passed in {bytes:?}");
        assert_eq!(cleared.get(), bytes);
    }
    let at = bytes.first().map_or(0, |first| usize::from(*first) * bytes.len() / 256);
    for (_, secret) in SECRETS {
        let planted = [&bytes[..at], secret, &bytes[at..]].concat();
        // Where something else is found as well, that may be what is told.
        assert!(guard.clear_file(&path, Audience::All, planted).is_err(), "at {at}: {secret:?}");
    }
}
