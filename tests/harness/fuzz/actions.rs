//! From a note to an action, and from an action to what a person reads.

use aiemp_protocol::{
    action::{
        self, Action, AttachmentInfo, Content, DeriveContext, Draft, DraftFields, EmailProposal, Marks, Proposal,
        Refusal,
    },
    ids::ContentHash,
};

use super::{assert_one_line, seeds, text_of};

/// Refusals that are told of one note.
const REFUSALS_MAX: usize = 100;

/// A note gives an action that reads back, or reasons; and what a brain fills in stays what it is.
pub fn draft_format(bytes: &[u8]) {
    match derive(bytes) {
        Ok(draft) => {
            assert_eq!(derive(bytes).as_ref(), Ok(&draft));
            assert_eq!(draft.attachments.len(), draft.action.content.attachments().len());
            check_action(&draft.action);
        }
        Err(refusals) => {
            assert!((1..=REFUSALS_MAX).contains(&refusals.len()), "{} reasons", refusals.len());
            for refusal in &refusals {
                assert_one_line(&refusal.message);
                assert_one_line(&refusal.fix);
            }
        }
    }
    written(&text_of(bytes));
}

/// Bytes of an action have one encoding, and everything in it is shown.
pub fn renderer(bytes: &[u8]) {
    let Ok(action) = Action::from_bytes(bytes) else { return };
    assert_eq!(action.to_bytes(), bytes, "{action:?}");
    check_action(&action);
}

pub(super) fn derive(note: &[u8]) -> Result<Draft, Vec<Refusal>> {
    let found =
        AttachmentInfo { length: 9, hash: ContentHash::of(b"attached"), media_type: "application/pdf".to_owned() };
    let context = DeriveContext {
        file: seeds::file(),
        fallback_work: seeds::work(),
        default_hand: "outbox",
        default_from: Some("Me <me@example.test>"),
        attachment: &|path| (!path.contains("absent")).then(|| found.clone()),
    };
    action::derive(note, &context)
}

fn check_action(action: &Action) {
    assert_eq!(Action::from_bytes(&action.to_bytes()).as_ref(), Ok(action));
    assert_one_line(&action.summary());
    let marked = Marks { first_time: action.marked_values(), ..Marks::default() };
    for marks in [Marks::default(), marked] {
        let shown = action::render(action, &marks);
        assert_eq!(shown, action::render(action, &marks));
        assert!(shown.text.ends_with('\n') && shown.text.contains(&action.work.to_string()));
        shown.text.lines().for_each(check_line);
    }
}

fn check_line(line: &str) {
    assert_one_line(line);
    let hidden = |c: char| matches!(u32::from(c), 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFEFF | 0xE0000..=0xE0FFF);
    assert!(!line.contains(hidden), "something hidden in {line:?}");
    assert!(line.chars().count() <= 80 || !line.contains(' '), "too long: {line:?}");
}

fn written(text: &str) {
    let email = EmailProposal {
        to: vec!["a@client.test".to_owned()],
        subject: text.chars().take(200).collect(),
        in_reply_to: Some(text.chars().take(60).collect()),
        references: vec!["<1@client.test>".to_owned()],
        ..EmailProposal::default()
    };
    let note = action::write_draft(&DraftFields {
        proposal: Proposal::Email(email),
        work: seeds::work(),
        created: seeds::NOW,
        expires: Some(seeds::NOW),
        body: text,
        extra: &[("source", text), ("brain", "template")],
    });
    let draft = match derive(note.as_bytes()) {
        Ok(draft) => draft,
        // The one thing that a body may not hold: an instruction to the approver.
        Err(refusals) => {
            let other = refusals.iter().find(|refusal| !refusal.message.contains("an instruction to the approver"));
            assert_eq!(other, None, "{note}");
            return;
        }
    };
    let Content::Email(email) = &draft.action.content else { panic!("a mail became {:?}", draft.action) };
    assert_eq!(email.to, ["a@client.test"]);
    assert!(email.cc.is_empty() && email.bcc.is_empty() && email.attachments.is_empty());
    assert_eq!((draft.action.work, draft.expires), (seeds::work(), Some(seeds::NOW)));
}
