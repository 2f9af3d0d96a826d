//! The template brain: a polite acknowledgement, made without a model and without a key.

use aiemp_protocol::time::Timestamp;

use super::mail::{FrontMatter, TaskNote, inert, note_id};

/// Longest piece of a foreign subject or name that a draft repeats.
const MENTION_BYTES_MAX: usize = 120;
/// Longest subject of a reply.
const SUBJECT_BYTES_MAX: usize = 500;
/// Marks of an answer in the languages that mail programs write them in.
const REPLY_MARKS: [&str; 7] = ["re", "aw", "sv", "antw", "ref", "res", "vs"];

/// What a brain hands back: a plan, and a draft for a person to decide about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrainOutput {
    /// Markdown of `Plans/email/PLAN_<id>.md`.
    pub plan: String,
    /// Recipients; empty when nothing should be sent.
    pub reply_to: Vec<String>,
    /// Begins with `Re: ` once.
    pub subject: String,
    /// Plain text of the reply.
    pub body: String,
}

/// Drafts an acknowledgement of a mail.
///
/// List mail and mail without an address get a plan and no recipient. The text repeats nothing of the mail but its
/// subject and the sender's name, both reduced to words, because a draft is shown as Markdown before it is sent.
pub fn draft_reply(task: &TaskNote, now: Timestamp) -> BrainOutput {
    let reply_to = if task.list_mail { Vec::new() } else { task.reply_to.clone() };
    let plan = plan(task, &reply_to, now);
    BrainOutput { plan, reply_to, subject: reply_subject(&task.subject), body: body(task) }
}

fn reply_subject(subject: &str) -> String {
    let mut rest = subject.trim();
    while let Some(after) = without_reply_mark(rest) {
        rest = after.trim_start();
    }
    inert::one_line(&format!("Re: {rest}"), SUBJECT_BYTES_MAX)
}

/// Strips one `Re:` or `Re[2]:`.
fn without_reply_mark(subject: &str) -> Option<&str> {
    let (mark, after) = subject.split_once(':')?;
    let word = mark.trim_end_matches(|c: char| c.is_ascii_digit() || "[]() ".contains(c));
    REPLY_MARKS.iter().any(|known| word.eq_ignore_ascii_case(known)).then_some(after)
}

fn body(task: &TaskNote) -> String {
    let greeting = match sender_name(&task.from) {
        Some(name) => format!("Hello {name},"),
        None => "Hello,".to_owned(),
    };
    let subject = words(&task.subject);
    let about =
        if subject.is_empty() { "your message".to_owned() } else { format!("your message about \"{subject}\"") };
    format!(
        "{greeting}\n\nThank you for {about}. It has arrived and will be looked at; you will get a full answer as soon \
         as possible.\n\nKind regards\n\nThis reply was prepared by an automated assistant.\n"
    )
}

/// The display name, if it is made of what names are made of.
fn sender_name(from: &str) -> Option<String> {
    let (name, _) = from.rsplit_once('<')?;
    let name = inert::one_line(name.trim().trim_matches('"'), MENTION_BYTES_MAX);
    let is_name = |c: char| c.is_alphanumeric() || " .,'-".contains(c) || c == '\u{2019}';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// A foreign subject as words: nothing is left that Markdown or a mail program would act on.
fn words(subject: &str) -> String {
    let is_word =
        |c: char| c.is_alphanumeric() || " .,;?'()+-".contains(c) || (!c.is_ascii() && !inert::is_invisible(c));
    let spaced = subject.chars().map(|c| if is_word(c) { c } else { ' ' }).collect::<String>();
    inert::one_line(&spaced, MENTION_BYTES_MAX)
}

fn plan(task: &TaskNote, reply_to: &[String], now: Timestamp) -> String {
    let mut plan = FrontMatter::open("plan");
    plan.value("work_id", &task.work_id.to_string());
    plan.value("created", &now.to_string());
    plan.value("task", &format!("EMAIL_{}.md", note_id(&task.work_id)));
    plan.constant("status", "pending");
    let subject = if task.subject.is_empty() { "(no subject)" } else { &task.subject };
    let mut plan = plan.close();
    plan.push_str(&format!("\n# Plan: {}\n\n", inert::escape_line(subject)));
    plan.push_str(&format!("- [x] Read the mail from {}\n", inert::escape_line(&task.from)));
    if reply_to.is_empty() {
        let why =
            if task.list_mail { "it was sent to a list or by a machine" } else { "it names no address to answer" };
        plan.push_str(&format!("- [x] Decide: no reply, because {why}\n- [ ] A person reads it and files it\n"));
        return plan;
    }
    let recipients = reply_to.iter().map(|address| inert::escape_line(address)).collect::<Vec<_>>().join(", ");
    plan.push_str(&format!(
        "- [x] Draft an acknowledgement to {recipients}\n- [ ] A person reads, edits and approves the draft\n\
         - [ ] Send it once\n- [ ] File the task under Done\n"
    ));
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use aiemp_keys::Hash;
    use aiemp_protocol::ids::WorkId;

    fn task(subject: &str, from: &str) -> TaskNote {
        TaskNote {
            kind: "email".to_owned(),
            from: from.to_owned(),
            reply_to: vec!["a@client.test".to_owned()],
            subject: subject.to_owned(),
            received: None,
            message_id: None,
            references: Vec::new(),
            work_id: WorkId(Hash::of_content(b"work")),
            source: None,
            list_mail: false,
            text: "ignored".to_owned(),
        }
    }

    #[test]
    fn a_reply_acknowledges_the_subject() {
        let output = draft_reply(&task("Invoice for January", "Client A <a@client.test>"), Timestamp::default());
        assert_eq!(output.subject, "Re: Invoice for January");
        assert_eq!(output.reply_to, ["a@client.test"]);
        assert!(
            output.body.starts_with("Hello Client A,\n\nThank you for your message about \"Invoice for January\".")
        );
        assert!(output.plan.contains("- [x] Draft an acknowledgement to a@client.test\n- [ ] A person reads"));
        assert!(output.plan.starts_with("---\ntype: plan\nwork_id: \""));
    }

    #[test]
    fn re_stands_once() {
        for subject in ["Hi", "Re: Hi", "RE: re: Hi", "Re[2]: AW: Hi", "re : Hi"] {
            assert_eq!(reply_subject(subject), "Re: Hi");
        }
        assert_eq!(reply_subject("Report: Hi"), "Re: Report: Hi");
        assert_eq!(reply_subject(""), "Re:");
    }

    #[test]
    fn a_hostile_subject_and_name_leave_words_only() {
        let hostile = "![[Private]] <img src=//x> `= 1` obsidian://run\u{202e}\nBcc: x@y";
        let output = draft_reply(&task(hostile, "![x](javascript:y) <a@client.test>"), Timestamp::default());
        assert!(output.body.starts_with("Hello,\n"));
        for active in ["[[", "![", "<", "obsidian:", "\u{202e}", "\nBcc", "javascript:"] {
            assert!(!output.body.contains(active), "{active} in {}", output.body);
            assert!(!output.plan.contains(active), "{active} in {}", output.plan);
        }
        assert!(!output.body.contains('`') && !output.body.contains("//"));
        assert!(!output.subject.contains('\n'));
    }

    #[test]
    fn list_mail_gets_no_reply() {
        let output = draft_reply(&TaskNote { list_mail: true, ..task("News", "n@news.test") }, Timestamp::default());
        assert!(output.reply_to.is_empty());
        assert!(output.plan.contains("no reply, because it was sent to a list"));
    }
}
