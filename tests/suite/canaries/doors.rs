//! The ways out of Local, each with what a person, a peer or a program does so that something takes it.

use aiemp_keys::Hash;
use aiemp_node::core::{BrainRun, Input, Question};
use aiemp_protocol::{
    a2a::binding::{Operation, encode_call},
    action::ActionKind,
    approval::{Outcome, Receipt},
    ids::{ActionHash, WorkId},
    limits::PATH_NAME_BYTES_MAX,
    vault_path::VaultPath,
};
use aiemp_tests::world::{Way, World};

use super::{Try, pass, settle};
use Cost::{File, Merge, Work};

/// What a try costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// A look where it is held; where it is not, a new file that has room for a canary in all spellings.
    File,
    /// A look where it is held; where it is not, a merge or more.
    Merge,
    /// A merge or more in any case, for something has to happen before.
    Work,
}

/// One way out.
pub(crate) struct Door {
    pub(crate) name: &'static str,
    pub(crate) put: fn(&mut World, &[Try]),
    /// Whether it takes such a text at all.
    pub(crate) takes: fn(&str) -> bool,
    pub(crate) cost: Cost,
    /// Whether the canaries are in Local's log before its guard learns of them.
    pub(crate) before_known: bool,
    /// Whether the canaries come from Cloud, and what counts is that they get no further.
    pub(crate) from_cloud: bool,
    /// Whether a program drafts on Local.
    pub(crate) brain: bool,
}

const PLAIN: Door =
    Door { name: "", put: notes, takes: |_| true, cost: File, before_known: false, from_cloud: false, brain: false };

pub(crate) const DOORS: &[Door] = &[
    Door { name: "a new note", put: notes, ..PLAIN },
    Door { name: "an edit of a note that Cloud has", put: edits, cost: Merge, ..PLAIN },
    Door { name: "a value in front matter", put: front_matter, ..PLAIN },
    Door { name: "a file that is no text", put: blobs, ..PLAIN },
    Door { name: "a name", put: names, takes: is_name, cost: Merge, ..PLAIN },
    Door { name: "a folder", put: folders, takes: is_name, cost: Merge, ..PLAIN },
    Door { name: "a mail", put: mails, cost: Merge, ..PLAIN },
    Door { name: "a header of a mail", put: headers, cost: Work, ..PLAIN },
    Door { name: "a private note that is moved", put: moved, ..PLAIN },
    Door { name: "a save in the way of an edit", put: in_the_way_of_an_edit, cost: Work, ..PLAIN },
    Door { name: "a save in the way of a new note", put: in_the_way_of_a_note, cost: Work, ..PLAIN },
    Door { name: "a save in the way of a removal", put: in_the_way_of_a_removal, cost: Work, ..PLAIN },
    Door { name: "the reason of a rejection", put: reasons, cost: Work, ..PLAIN },
    Door { name: "the copy of what was approved", put: receipts, cost: Work, ..PLAIN },
    Door { name: "what a program drafted", put: drafts, cost: Work, brain: true, ..PLAIN },
    Door { name: "a prompt", put: prompts, cost: Work, from_cloud: true, brain: true, ..PLAIN },
    Door { name: "an answer to a call", put: calls, cost: Merge, from_cloud: true, ..PLAIN },
    Door { name: "a payload that was logged before", put: blobs, before_known: true, ..PLAIN },
    Door { name: "payloads that do not fit their entry", put: large, cost: Work, before_known: true, ..PLAIN },
    Door { name: "a note that was logged before", put: notes, cost: Work, before_known: true, ..PLAIN },
];

fn path(text: &str) -> VaultPath {
    VaultPath::parse(text).expect("a path")
}

/// Puts a file on a disk without anybody looking.
fn lay(world: &mut World, node: usize, at: &str, content: impl Into<Vec<u8>>) {
    world.nodes[node].disk.files.insert(path(at), content.into());
}

fn save(world: &mut World, node: usize, at: &str, content: impl Into<Vec<u8>>) {
    lay(world, node, at, content);
    world.touched(node, path(at));
}

fn is_name(text: &str) -> bool {
    text.len() + 8 < PATH_NAME_BYTES_MAX && VaultPath::parse(text).is_ok()
}

fn save_each(world: &mut World, tries: &[Try], file: impl Fn(usize, &str) -> (String, Vec<u8>)) {
    // As many at once as a person might put there.
    for (round, tries) in tries.chunks(500).enumerate() {
        for (number, tried) in tries.iter().enumerate() {
            let (at, content) = file(500 * round + number, &tried.text);
            save(world, 0, &at, content);
        }
        settle(world);
    }
}

fn notes(world: &mut World, tries: &[Try]) {
    save_each(world, tries, |at, text| (format!("Plans/{at}.md"), format!("# Note\n\n{text}\n").into_bytes()));
}

fn edits(world: &mut World, tries: &[Try]) {
    const NOTES: usize = 500;
    for at in 0..NOTES {
        save(world, 0, &format!("Plans/{at}.md"), "# Note\n\nfirst\n");
    }
    settle(world);
    for tries in tries.chunks(NOTES) {
        for (at, tried) in tries.iter().enumerate() {
            save(world, 0, &format!("Plans/{at}.md"), format!("# Note\n\nfirst\n\n{}\n", tried.text));
        }
        settle(world);
    }
}

fn front_matter(world: &mut World, tries: &[Try]) {
    save_each(world, tries, |at, text| {
        (format!("Plans/{at}.md"), format!("---\ntype: note\nnoted: {text}\n---\n\n# Note\n").into_bytes())
    });
}

fn blobs(world: &mut World, tries: &[Try]) {
    save_each(world, tries, |at, text| {
        (format!("Plans/{at}.bin"), [&[0, 159, 146, 150], text.as_bytes(), &[0, 255]].concat())
    });
}

/// So many bytes that most are fetched in parts.
fn large(world: &mut World, tries: &[Try]) {
    save_each(world, tries, |at, text| {
        (format!("Plans/{at}.bin"), [&[0, 159], ".".repeat(30_000).as_bytes(), text.as_bytes()].concat())
    });
}

fn names(world: &mut World, tries: &[Try]) {
    save_each(world, tries, |at, text| (format!("Plans/{text} {at}.md"), b"# Note\n".to_vec()));
}

fn folders(world: &mut World, tries: &[Try]) {
    save_each(world, tries, |at, text| (format!("Plans/{text}/{at}.md"), b"# Note\n".to_vec()));
}

fn mail(number: usize, subject: &str, body: &str) -> String {
    format!(
        "Message-ID: <{number}@client.test>\r\nFrom: Client <a@client.test>\r\nTo: me@mine.test\r\n\
         Date: Wed, 7 Jan 2026 10:30:00 +0000\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\nSubject: {subject}\r\n\r\n{body}\r\n"
    )
}

fn mails(world: &mut World, tries: &[Try]) {
    save_each(world, tries, |at, text| (format!("Inbox/{at}.eml"), mail(at, "Question", text).into_bytes()));
}

fn headers(world: &mut World, tries: &[Try]) {
    save_each(world, tries, |at, text| {
        (format!("Inbox/{at}.eml"), mail(at, &text.replace('\n', "\r\n "), "Hello").into_bytes())
    });
}

fn moved(world: &mut World, tries: &[Try]) {
    for (at, tried) in tries.iter().enumerate() {
        lay(world, 0, &format!("Private/{at}.md"), tried.text.clone());
    }
    for at in 0..tries.len() {
        let (from, to) = (path(&format!("Private/{at}.md")), path(&format!("Done/{at}.md")));
        let bytes = world.nodes[0].disk.files.remove(&from).expect("it was laid there");
        world.nodes[0].disk.files.insert(to.clone(), bytes);
        world.touched(0, from);
        world.touched(0, to);
    }
    settle(world);
}

/// Notes that both have; then `meanwhile` on Local's disk, seen by nobody, and `there` on Cloud.
fn crossed(world: &mut World, tries: &[Try], shared: bool, there: impl Fn(&mut World, usize, &str)) {
    let places: Vec<String> = (0..tries.len()).map(|at| format!("Plans/{at}.md")).collect();
    for at in places.iter().filter(|_| shared) {
        save(world, 1, at, "# Note\n");
    }
    settle(world);
    for (number, (at, tried)) in places.iter().zip(tries).enumerate() {
        lay(world, 0, at, format!("# Note\n\n{}\n", tried.text));
        there(world, number, at);
    }
    settle(world);
}

fn in_the_way_of_an_edit(world: &mut World, tries: &[Try]) {
    crossed(world, tries, true, |world, _, at| save(world, 1, at, "# Note of Cloud\n"));
}

fn in_the_way_of_a_note(world: &mut World, tries: &[Try]) {
    crossed(world, tries, false, |world, _, at| save(world, 1, at, "# Note of Cloud\n"));
}

fn in_the_way_of_a_removal(world: &mut World, tries: &[Try]) {
    crossed(world, tries, true, |world, number, at| {
        world.nodes[1].disk.files.remove(&path(at));
        world.touched(1, path(at));
        // More that vanish at once are taken for an accident.
        if number % 8 == 7 {
            pass(world, 6_000);
        }
    });
}

/// Drafts that wait for approval, one for each try.
fn pending(world: &mut World, tries: &[Try]) -> Vec<VaultPath> {
    let at = |number: usize| format!("Pending_Approval/email/{number}.md");
    let draft = |number: usize| format!("---\naction: email\nto: a@client.test\nsubject: {number}\n---\n\nHello.\n");
    save_each(world, tries, |number, _| (at(number), draft(number).into_bytes()));
    settle(world);
    (0..tries.len()).map(|number| path(&at(number))).collect()
}

fn input(world: &mut World, input: Input) {
    world.input(0, input).expect("nothing goes wrong");
}

fn reasons(world: &mut World, tries: &[Try]) {
    let drafts = pending(world, tries);
    for ((request, draft), tried) in (1 << 40..).zip(drafts).zip(tries) {
        let file = world.nodes[0].core.as_ref().and_then(|core| core.file_at(&draft)).expect("a draft");
        input(world, Input::Asked { request, question: Question::Reject { file, reason: tried.text.clone() } });
    }
    settle(world);
}

fn receipts(world: &mut World, tries: &[Try]) {
    let drafts = pending(world, tries);
    for (draft, tried) in drafts.iter().zip(tries) {
        let file = world.nodes[0].core.as_ref().and_then(|core| core.file_at(draft)).expect("a draft");
        let (action, at) = (Hash::of_content(draft.as_str().as_bytes()), world.time());
        let nonce = *action.as_bytes().first_chunk().expect("a digest is longer");
        input(
            world,
            Input::ReceiptFound(Receipt {
                action: ActionHash(action),
                work: WorkId(file.hash),
                kind: ActionKind::Email,
                file,
                nonce,
                outcome: Outcome::Accepted,
                at,
                message_id: None,
                detail: String::new(),
                note: tried.text.clone().into_bytes(),
                unattended: false,
                standing: None,
            }),
        );
    }
    settle(world);
}

fn drafts(world: &mut World, tries: &[Try]) {
    save_each(world, tries, |at, _| (format!("Inbox/{at}.eml"), mail(at, "Question", "Hello").into_bytes()));
    settle(world);
    let prompts = world.left.iter().flatten().filter_map(|(_, way, _)| match way {
        Way::Prompt(id) => Some(*id),
        Way::Frame(_) | Way::Call | Way::Answer => None,
    });
    let prompts: Vec<_> = prompts.collect();
    assert_eq!(prompts.len(), tries.len(), "each task is drafted");
    for (id, tried) in prompts.into_iter().zip(tries) {
        input(world, Input::BrainAnswered(id, Ok(BrainRun { text: tried.text.clone(), ..BrainRun::default() })));
    }
    settle(world);
}

fn prompts(world: &mut World, tries: &[Try]) {
    for (at, tried) in tries.iter().enumerate() {
        save(world, 1, &format!("Inbox/{at}.eml"), mail(at, "Question", &tried.text));
    }
    settle(world);
}

fn calls(world: &mut World, tries: &[Try]) {
    let peer = world.nodes[1].id();
    for (request, tried) in (1..).zip(tries) {
        let asked = serde_json::json!({ "id": tried.text });
        let body = encode_call(Operation::GetTask, &asked).expect("a call");
        input(world, Input::Called { request, peer, body });
    }
    let answers = world.left.iter().flatten().filter(|(_, way, _)| matches!(way, Way::Answer)).count();
    assert_eq!(answers, tries.len(), "whoever calls is answered, also where the answer itself is withheld");
}
