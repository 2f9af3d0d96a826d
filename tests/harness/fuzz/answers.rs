//! What a mail server answers.

use aiemp_node::imap::answer::{self, Answer};

/// Whatever a server says, what is read of it lies within that, and a mail has a body only where its list ends.
pub fn imap(bytes: &[u8]) {
    let is_within = |part: &[u8]| part.is_empty() || bytes.as_ptr_range().contains(&part.as_ptr());
    match answer::read(bytes) {
        Some(Answer::Mail(mail)) => {
            assert!(mail.body.is_none_or(|body| is_within(body) && body.len() < bytes.len()));
            assert!(bytes.contains(&b')'), "its list ends");
        }
        Some(Answer::Done { said, .. } | Answer::Status { said, .. }) => {
            assert!(is_within(said.as_bytes()));
            let number = answer::code(said, "UIDVALIDITY");
            assert!(number.is_none_or(|number| said.contains(&number.to_string())), "{said:?}");
        }
        Some(Answer::Capabilities(names)) => assert!(names.iter().all(|name| is_within(name.as_bytes()))),
        Some(Answer::Found(uids)) => assert!(uids.len() <= bytes.len()),
        Some(Answer::GoOn | Answer::Exists | Answer::Other) | None => {}
    }
}
