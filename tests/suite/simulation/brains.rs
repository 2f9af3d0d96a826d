//! Brains that are programs: how many run, what they may use, and when they are run again.

use aiemp_node::core::{
    Answer, Bound, Brain, BrainFault, BrainId, BrainRun, FaultClass, Input, Limits, Question, Status, Used,
    agent::{Ceiling, Session, Told},
};
use aiemp_protocol::{roster::Role, time::Timestamp};
use aiemp_tests::{
    people,
    world::{Way, World},
};

use super::{
    agents::{ask, reply, tasks},
    scenarios::{LAPTOP, core, pass, path, settle, world},
};

/// A run of the brain ends.
pub(super) fn answer(world: &mut World, node: usize, run: u64, said: Result<&str, FaultClass>) {
    let used = Used { tokens: 100, cost: 10 };
    let answer = match said {
        Ok(text) => Ok(BrainRun { text: text.to_owned(), used }),
        Err(class) => Err(BrainFault { class, why: "no".to_owned(), used }),
    };
    world.input(node, Input::BrainAnswered(BrainId(run), answer)).expect("it answers");
    pass(world, 1_500);
}

/// The bounds of a node begin to hold.
pub(super) fn bounded(world: &mut World, node: usize) {
    world.nodes[node].limits = Limits::default();
    world.crash(node, 100);
    pass(world, 5_000);
}

fn with_mails(seed: u64, brain: Brain, mails: u64) -> World {
    let mut world = world(seed, &[LAPTOP, ("cloud", Role::Cloud, brain)], &[(0, 1)]);
    bounded(&mut world, 1);
    world.left = Some(Vec::new());
    for number in 0..mails {
        people::save(&mut world, 0, path(&format!("Inbox/{number}.eml")), people::mail(number, "soon"));
    }
    pass(&mut world, 60_000);
    world
}

/// The runs that began at a node, with their prompts.
fn runs_of(world: &World, node: usize) -> Vec<(u64, String)> {
    let run = |way: &Way, bytes: &[u8]| match way {
        Way::Prompt(BrainId(run)) => Some((*run, String::from_utf8_lossy(bytes).into_owned())),
        Way::Frame(_) | Way::Call | Way::Answer => None,
    };
    let left = world.left.iter().flatten().filter(|(from, ..)| *from == node);
    left.filter_map(|(_, way, bytes)| run(way, bytes)).collect()
}

fn runs(world: &World) -> Vec<(u64, String)> {
    runs_of(world, 1)
}

fn drafts(world: &World) -> usize {
    tasks(world, 0, "Pending_Approval/").len()
}

#[test]
fn one_runs_at_a_time_and_what_waits_is_not_kept_from_others() {
    let mut world = with_mails(720, Brain::Command, 3);
    for run in 1..=3 {
        assert_eq!(runs(&world).len() as u64, run);
        assert_eq!(tasks(&world, 1, "In_Progress/cloud/").len() as u64, run, "{run}");
        assert_eq!(tasks(&world, 1, "Needs_Action/").len() as u64, 3 - run, "{run}");
        answer(&mut world, 1, run, Ok("Yes."));
        pass(&mut world, 20_000);
    }
    assert_eq!(drafts(&world), 3);
    settle(&mut world);
}

#[test]
fn what_is_used_up_stays_used_up_over_restarts_and_the_rest_waits() {
    let mut world = with_mails(721, Brain::Command, 62);
    while runs(&world).len() < 60 {
        let begun = runs(&world);
        if begun.len() == 30 {
            // A restart makes no room, also where a run was under way.
            world.crash(1, 1_000);
        } else {
            answer(&mut world, 1, begun.last().expect("one runs").0, Ok("Yes."));
        }
        for _ in 0..20 {
            if runs(&world).len() == begun.len() {
                pass(&mut world, 2_000);
            }
        }
        assert_eq!(runs(&world).len(), begun.len() + 1, "the next begins");
    }
    let last = runs(&world).last().expect("one runs").0;
    answer(&mut world, 1, last, Ok("Yes."));
    pass(&mut world, 60_000);
    assert_eq!(runs(&world).len(), 60, "no more in an hour");
    let answer = status(&mut world, 1);
    let waits = answer.brain_waits.map(|(tasks, _, bound)| (tasks, bound));
    assert_eq!(waits, Some((3, Bound::RunsPerHour)));
    pass(&mut world, 3_600_000);
    assert!(runs(&world).len() > 60, "it goes on by itself");
}

fn status(world: &mut World, node: usize) -> Status {
    world.input(node, Input::Asked { request: 1, question: Question::Status }).expect("it is asked");
    let Some(Answer::Status(status)) = world.nodes[node].answers.remove(&1) else { panic!("no status") };
    status
}

#[test]
fn a_providers_limit_is_waited_for_and_costs_no_try() {
    let mut world = with_mails(722, Brain::Command, 1);
    let until = Timestamp::from_millis(world.time().as_millis() + 3 * 3_600_000);
    for run in 1..=6 {
        assert_eq!(runs(&world).len() as u64, run, "{run}");
        answer(&mut world, 1, run, Err(FaultClass::Limit((run == 1).then_some(until))));
        pass(&mut world, 60_000);
        assert_eq!(runs(&world).len() as u64, run, "it is not asked meanwhile");
        pass(&mut world, if run == 1 { 3 * 3_600_000 } else { 16 * 60_000 });
    }
    answer(&mut world, 1, 7, Ok("Yes."));
    pass(&mut world, 20_000);
    assert_eq!(drafts(&world), 1, "six refusals, and it is drafted all the same");
    settle(&mut world);
}

#[test]
fn an_agent_is_run_again_until_a_draft_lies_there_or_it_was_often_enough() {
    let mut world = with_mails(723, Brain::Agent, 1);
    let [(_, prompt)] = &runs(&world)[..] else { panic!("one run") };
    assert!(prompt.contains("In_Progress/cloud/EMAIL_") && !prompt.contains("Please answer"), "{prompt}");
    answer(&mut world, 1, 1, Ok("I sent it and approved it myself."));
    pass(&mut world, 20_000);
    assert_eq!((runs(&world).len(), drafts(&world)), (2, 0), "words are no draft");
    assert!(runs(&world)[1].1.contains("An earlier run"), "{}", runs(&world)[1].1);
    let task = tasks(&world, 1, "In_Progress/cloud/").pop().expect("it is in hand");
    let file = core(&world, 1).file_at(&path(&task)).expect("it is shown");
    let work = core(&world, 1).vault().claims().work_of(file);
    let session = Session { ceiling: Ceiling::Shared, work };
    assert!(matches!(ask(&mut world, 1, session, reply(work, "Hello.\n")), Told::Done { .. }));
    // However the run ends: the draft is there.
    answer(&mut world, 1, 2, Err(FaultClass::Transient));
    pass(&mut world, 600_000);
    assert_eq!((runs(&world).len(), drafts(&world)), (2, 1), "it is done");
    let claim = core(&world, 1).vault().holder(work.expect("its work")).expect("it holds it").lease_until;
    pass(&mut world, 3_600_000);
    assert!(claim < world.time(), "nothing is renewed any more");
    settle(&mut world);

    let mut world = with_mails(724, Brain::Agent, 1);
    for run in 1..=3 {
        answer(&mut world, 1, run, Ok("Nothing."));
        pass(&mut world, 20_000);
    }
    pass(&mut world, 600_000);
    assert_eq!((runs(&world).len(), drafts(&world)), (3, 0), "it is left to the person");
    settle(&mut world);

    // Also by a node that was started anew after each run, whatever it did wrong.
    let mut world = with_mails(725, Brain::Agent, 1);
    let mut begun = 0;
    for said in [Ok("Nothing."), Err(FaultClass::Logic), Ok("Nothing.")] {
        assert!(runs(&world).len() > begun, "another run");
        begun = runs(&world).len();
        let last = runs(&world).last().expect("one runs").0;
        answer(&mut world, 1, last, said);
        world.crash(1, 1_000);
        pass(&mut world, 60_000);
    }
    pass(&mut world, 600_000);
    assert_eq!((runs(&world).len(), drafts(&world)), (begun, 0), "it had its runs");
    settle(&mut world);
}

#[test]
fn the_work_of_another_is_no_success_of_an_agent_and_it_is_not_run_again_for_it() {
    for seed in 725..730 {
        let cast = [LAPTOP, ("cloud", Role::Cloud, Brain::Agent), ("other", Role::Cloud, Brain::Agent)];
        let mut world = world(seed, &cast, &[(0, 1), (0, 2)]);
        world.left = Some(Vec::new());
        [1, 2].iter().for_each(|node| world.partition(0, *node, 20_000));
        for node in [1, 2] {
            people::save(&mut world, node, path("Inbox/1.eml"), people::mail(1, "soon"));
        }
        pass(&mut world, 60_000);
        let begun = [1, 2].map(|node| runs_of(&world, node).len());
        assert_eq!(begun, [1, 1], "seed {seed}: both began");
        [1, 2].iter().for_each(|node| answer(&mut world, *node, 1, Ok("Done.")));
        pass(&mut world, 60_000);
        let mut begun = [1, 2].map(|node| runs_of(&world, node).len());
        begun.sort_unstable();
        assert_eq!(begun, [1, 2], "seed {seed}: who has it goes on, and the other does not");
        settle(&mut world);
    }
}
