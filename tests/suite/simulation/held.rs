//! What a node itself would write, and what may not leave.

use aiemp_crdt::vault::Choice;
use aiemp_node::core::{Answer, Input, Question};
use aiemp_protocol::limits::NOTE_BYTES_MAX;
use aiemp_tests::{executor, node::KNOWN_SECRET, people, world::World};

use super::scenarios::{IDLE_CLOUD, LAPTOP, core, pass, path, save, settle, text, world};

const DRAFT: &str = "Pending_Approval/email/a.md";
const LOG: &str = "Logs/2026-01-07-laptop.jsonl";

fn draft(subject: &str) -> String {
    format!("---\naction: email\nto: a@client.test\nsubject: {subject}\n---\n\nHello.\n")
}

fn reject(world: &mut World, reason: &str) -> Answer {
    let file = core(world, 0).file_at(&path(DRAFT)).expect("the draft is there");
    let question = Question::Reject { file, reason: reason.to_owned() };
    world.input(0, Input::Asked { request: 77, question }).expect("it is asked");
    pass(world, 30_000);
    world.nodes[0].answers.remove(&77).expect("an answer")
}

#[test]
fn a_rejection_whose_reason_may_not_leave_says_so_and_does_nothing() {
    let mut world = world(131, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, DRAFT, &draft("One"));
    pass(&mut world, 15_000);
    let answer = reject(&mut world, &format!("never mail {KNOWN_SECRET}"));
    assert!(matches!(answer, Answer::Withheld(_)), "{answer:?}");
    assert!(text(&world, 0, DRAFT).is_some(), "the draft waits as before");
    assert!(matches!(reject(&mut world, "too short"), Answer::Done));
    assert_eq!(text(&world, 0, DRAFT), None);
    let update = text(&world, 1, "Updates/REJECTED_a.md").expect("Cloud is told why");
    assert!(update.contains("too short"));
    settle(&mut world);
}

#[test]
fn a_name_that_was_logged_before_its_secret_was_known_is_told() {
    let mut world = world(133, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    for node in [0, 1] {
        world.nodes[node].secrets.clear();
        world.crash(node, 500);
    }
    pass(&mut world, 15_000);
    let at = format!("Plans/{KNOWN_SECRET}.md");
    save(&mut world, 0, &at, "# Plan\n");
    pass(&mut world, 15_000);
    world.nodes[0].secrets.push(KNOWN_SECRET.to_owned());
    world.story = Some(Vec::new());
    world.crash(0, 500);
    pass(&mut world, 15_000);
    let story = world.story.take().unwrap_or_default();
    assert!(story.iter().any(|line| line.contains("Held {") && line.contains(&at)), "{story:?}");
}

/// Approves what waits until the provider took so many mails; some tries it refuses.
fn send_until(world: &mut World, count: usize) {
    for _ in 0..20 {
        if world.executor.sent_count() >= count {
            return;
        }
        executor::review(world).expect("the person looks");
        pass(world, 60_000);
    }
    panic!("{} mails are sent", world.executor.sent_count());
}

fn logged(world: &World) -> usize {
    text(world, 0, LOG).unwrap_or_default().lines().filter(|line| line.contains("\"sent\"")).count()
}

#[test]
fn a_line_of_the_days_log_waits_until_what_holds_it_is_taken_out() {
    let mut world = world(136, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    world.nodes[1].secrets.clear();
    world.crash(1, 500);
    save(&mut world, 0, DRAFT, &draft("One"));
    pass(&mut world, 15_000);
    send_until(&mut world, 1);
    pass(&mut world, 15_000);
    assert_eq!(logged(&world), 1);
    let clean = text(&world, 1, LOG).expect("the log is shared");
    save(&mut world, 1, LOG, &format!("{clean}{KNOWN_SECRET}\n"));
    pass(&mut world, 30_000);
    world.story = Some(Vec::new());
    save(&mut world, 0, "Pending_Approval/email/b.md", &draft("Two"));
    pass(&mut world, 15_000);
    send_until(&mut world, 2);
    pass(&mut world, 15_000);
    assert_eq!(logged(&world), 1, "nothing more is written beside it");
    let story = world.story.take().unwrap_or_default();
    let is_told = |line: &String| line.contains("Held {") && line.contains(LOG);
    assert!(story.iter().any(is_told), "the person is told which file");
    save(&mut world, 1, LOG, &clean);
    pass(&mut world, 30_000);
    assert_eq!(logged(&world), 2, "nothing of the log is lost");
}

/// Writes drafts and approves what waits until the provider took so many mails.
fn write_and_send_until(world: &mut World, count: usize) {
    for number in 0..20 {
        if world.executor.sent_count() >= count {
            return;
        }
        save(world, 0, &format!("Pending_Approval/email/{count}-{number}.md"), &draft(&format!("{count} {number}")));
        pass(world, 15_000);
        executor::review(world).expect("the person looks");
        pass(world, 60_000);
    }
    panic!("{} mails are sent", world.executor.sent_count());
}

#[test]
fn a_log_that_is_full_goes_on_in_a_second_file_of_the_day() {
    let mut world = world(135, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    write_and_send_until(&mut world, 1);
    // What was no text and is one again has no document of a million characters.
    people::save(&mut world, 1, path(LOG), b"\x00".to_vec());
    pass(&mut world, 30_000);
    let full = format!("{}\n", "x".repeat(NOTE_BYTES_MAX - 1));
    save(&mut world, 1, LOG, &full);
    pass(&mut world, 30_000);
    let before = world.executor.sent_count();
    for _ in 0..2 {
        let next = world.executor.sent_count() + 1;
        write_and_send_until(&mut world, next);
        pass(&mut world, 60_000);
        let second = text(&world, 1, "Logs/2026-01-07-laptop (2).jsonl").unwrap_or_default();
        assert_eq!(
            second.lines().filter(|line| line.contains("\"sent\"")).count(),
            world.executor.sent_count() - before
        );
        world.crash(0, 500);
        pass(&mut world, 15_000);
    }
    assert_eq!(text(&world, 1, LOG), Some(full));
}

#[test]
fn a_text_given_for_a_conflict_is_looked_at_whole_before_it_is_taken() {
    const NOTE: &str = "Plans/a.md";
    let mut world = world(134, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    // All of the secret but its end stands in the note already: a change would carry the end alone.
    let (known, _) = KNOWN_SECRET.split_at(KNOWN_SECRET.len() - 4);
    let note = |status: &str| format!("---\nstatus: {status}\n---\n\n{known}\n");
    save(&mut world, 0, NOTE, &note("open"));
    pass(&mut world, 15_000);
    world.cut(0, 1);
    save(&mut world, 0, NOTE, &note("done"));
    save(&mut world, 1, NOTE, &note("waits"));
    pass(&mut world, 15_000);
    world.heal();
    pass(&mut world, 30_000);
    let id = core(&world, 0).vault().conflicts().first().expect("two values").id;
    let mut give = |text: String| {
        let question = Question::Resolve { id, choice: Choice::With(text.into_bytes()) };
        world.input(0, Input::Asked { request: 77, question }).expect("it is asked");
        pass(&mut world, 30_000);
        world.nodes[0].answers.remove(&77).expect("an answer")
    };
    let with_secret = note("done").replace(known, KNOWN_SECRET);
    let answer = give(with_secret);
    assert!(matches!(answer, Answer::Withheld(_)), "{answer:?}");
    assert!(matches!(give(note("done")), Answer::Done));
    assert_eq!(text(&world, 1, NOTE), Some(note("done")));
}
