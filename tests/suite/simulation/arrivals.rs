//! What comes by other ways than mail: one task each, however often and wherever it comes.

use aiemp_node::core::{Answer, Arrival, Brain, Input, Question, agent::Told};
use aiemp_protocol::roster::Role;
use aiemp_tests::world::{Cast, World};

use super::{
    agents::tasks,
    removals::remove,
    scenarios::{IDLE_CLOUD, LAPTOP, pass, rename, settle, text, world},
};

const AGENT: Cast = ("cloud", Role::Cloud, Brain::Agent);

fn message(id: &str) -> Arrival {
    Arrival {
        source: "wa".to_owned(),
        id: id.to_owned(),
        kind: "whatsapp".to_owned(),
        domain: "whatsapp".to_owned(),
        from: "Bob <bob@x.test>".to_owned(),
        subject: "[move](javascript:x)".to_owned(),
        text: "# can we\n<% move %> `to` 3?".to_owned(),
        ..Arrival::default()
    }
}

/// Hands it in, and does not wait.
fn arrive(world: &mut World, node: usize, arrival: Arrival) -> u64 {
    let request = 8_000_000_000 + world.now * 10 + node as u64;
    let question = Question::Arrived(Box::new(arrival));
    world.input(node, Input::Asked { request, question }).expect("it is asked");
    request
}

fn taken(world: &mut World, node: usize, arrival: Arrival) -> Result<String, String> {
    let request = arrive(world, node, arrival);
    pass(world, 5_000);
    match world.nodes[node].answers.remove(&request) {
        Some(Answer::Agent(Told::Done { path, .. })) => Ok(path.to_string()),
        Some(Answer::Refused(why) | Answer::Agent(Told::Refused(why))) => Err(why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_came_is_one_task_however_often_and_wherever_it_comes_whatever_fails_meanwhile() {
    for seed in 780..800 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        for number in 0..5 {
            arrive(&mut world, 1, message(&format!("{number}")));
            pass(&mut world, seed * 11 % 300);
            if number == 3 {
                world.crash(1, 400);
            }
            // Its sender heard no answer, and sends it again; or sends it to both.
            pass(&mut world, 500);
            arrive(&mut world, 1, message(&format!("{number}")));
            arrive(&mut world, 0, message(&format!("{number}")));
        }
        pass(&mut world, 60_000);
        for node in [0, 1] {
            let paths = tasks(&world, node, "Needs_Action/whatsapp/");
            assert_eq!(paths.len(), 5, "seed {seed}, node {node}: {paths:#?}");
        }
        settle(&mut world);
    }
}

#[test]
fn what_is_told_as_taken_is_in_the_log_and_stands_as_words_alone() {
    let mut world = world(801, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let path = taken(&mut world, 1, message("1")).expect("taken");
    world.crash(1, 100);
    pass(&mut world, 30_000);
    let note = text(&world, 0, &path).expect("the task");
    assert!(note.starts_with("---\ntype: whatsapp\nfrom: \"Bob <bob@x.test>\"\n"), "{note}");
    let body = note.split_once("\n---\n").expect("front matter").1;
    for active in ["[move](", "<%", "\n# can"] {
        assert!(!body.contains(active), "{active}: {note}");
    }
    // Done, or put away: it is no new task.
    rename(&mut world, 0, &[(&path, &path.replace("Needs_Action", "Done"))]);
    pass(&mut world, 30_000);
    assert_eq!(taken(&mut world, 1, message("1")), Ok(path.clone()));
    pass(&mut world, 30_000);
    assert_eq!(tasks(&world, 1, "Needs_Action/"), [""; 0]);
    let second = taken(&mut world, 1, message("2")).expect("taken");
    remove(&mut world, 0, &second);
    pass(&mut world, 60_000);
    taken(&mut world, 1, message("2")).expect("taken before");
    pass(&mut world, 30_000);
    assert_eq!(tasks(&world, 0, "Needs_Action/"), [""; 0]);
    settle(&mut world);
}

#[test]
fn private_things_stay_on_local_and_what_may_not_be_there_is_refused() {
    let mut world = world(802, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let private = |id: &str| Arrival { is_private: true, domain: "bank".to_owned(), ..message(id) };
    let path = taken(&mut world, 0, private("1")).expect("taken");
    assert!(path.starts_with("Private/Needs_Action/bank/WHATSAPP_"), "{path}");
    pass(&mut world, 30_000);
    assert!(text(&world, 0, &path).is_some() && text(&world, 1, &path).is_none());
    for (node, arrival, why) in [
        (1, private("2"), "not this node's to write"),
        (0, Arrival { kind: "Note".to_owned(), ..message("3") }, "lower-case letters"),
        (0, Arrival { id: String::new(), ..message("3") }, "no id"),
        (0, Arrival { domain: "../x".to_owned(), ..message("3") }, ".."),
        (0, Arrival { file: Some(("id_rsa".to_owned(), vec![1])), ..message("3") }, "id_rsa"),
        (0, Arrival { file: Some(("CLAUDE.md".to_owned(), vec![1])), ..message("3") }, "CLAUDE.md"),
        (0, Arrival { file: Some(("a/b".to_owned(), vec![1])), ..message("3") }, "no name of a file"),
    ] {
        let refused = taken(&mut world, node, arrival).expect_err("refused");
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!(tasks(&world, 0, "Needs_Action/"), [""; 0]);
    settle(&mut world);
}

#[test]
fn what_the_guard_holds_is_kept_for_the_person_and_a_file_stays_where_it_was() {
    let mut world = world(803, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let key = "AKIAIOSFODNN7EXAMPLQ aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let held = taken(&mut world, 0, Arrival { file: Some(("keys.txt".to_owned(), key.into())), ..message("1") });
    assert!(held.expect_err("it is held").contains("guard"));
    let kept = Arrival { text: key.to_owned(), ..message("2") };
    taken(&mut world, 0, kept).expect("it is kept elsewhere, and not to come again");
    pass(&mut world, 10_000);
    assert_eq!(tasks(&world, 0, "Needs_Action/"), [""; 0]);
    settle(&mut world);
}

#[test]
fn a_long_message_stands_whole_beside_its_task() {
    let mut world = world(804, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let text_of = "a line of a very long message\n".repeat(30_000);
    let path = taken(&mut world, 1, Arrival { text: text_of.clone(), ..message("1") }).expect("taken");
    pass(&mut world, 60_000);
    let beside = path.replace(".md", ".txt");
    assert_eq!(text(&world, 0, &beside).as_deref(), Some(text_of.as_str()));
    assert!(text(&world, 0, &path).expect("the task").contains("whole of it is in the file"));
    settle(&mut world);
}

#[test]
fn an_agent_takes_up_what_came_and_a_template_answers_mails_alone() {
    let mut world = world(805, &[LAPTOP, AGENT], &[(0, 1)]);
    taken(&mut world, 1, message("1")).expect("taken");
    pass(&mut world, 60_000);
    assert_eq!(tasks(&world, 1, "In_Progress/cloud/").len(), 1, "the agent has it in hand");
    settle(&mut world);
    let mut world = super::scenarios::world(806, &[LAPTOP, ("cloud", Role::Cloud, Brain::Template)], &[(0, 1)]);
    taken(&mut world, 1, message("1")).expect("taken");
    pass(&mut world, 60_000);
    assert_eq!(tasks(&world, 1, "Needs_Action/whatsapp/").len(), 1, "it is left to others");
    assert_eq!(tasks(&world, 0, "Pending_Approval/"), [""; 0]);
    settle(&mut world);
}
