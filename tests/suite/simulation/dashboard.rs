//! The dashboard of a mesh with several Local nodes: the executor writes it, and nobody else.

use aiemp_node::core::Input;
use aiemp_protocol::{ids::Audience, roster::SignedRoster};
use aiemp_tests::world::{World, root_key};

use super::scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, save, settle, text, world};

const AT: &str = "Dashboard.md";
const LOCALS: [usize; 2] = [0, 2];

fn draft(world: &mut World, number: u64) {
    let note = format!("---\naction: email\nto: a@client.test\nsubject: {number}\n---\n\nHello.\n");
    save(world, 1, &format!("Pending_Approval/email/{number}.md"), &note);
    pass(world, 20_000);
}

fn counts(world: &World, node: usize) -> Option<String> {
    let text = text(world, node, AT)?;
    let line = text.lines().find(|line| line.starts_with("**Waiting for your approval:** "))?;
    line.split(' ').next_back().map(str::to_owned)
}

/// How many private entries a node wrote.
fn wrote(world: &World, node: usize) -> u64 {
    world.nodes[node].store.length(core(world, node).replication().own_log(Audience::Local))
}

#[test]
fn the_executor_alone_writes_the_dashboard_and_no_other_local_comes_between() {
    let mut world = world(81, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2), (1, 2)]);
    // Neither has the other's dashboard when the first drafts come.
    world.partition(0, 2, 70_000);
    draft(&mut world, 1);
    draft(&mut world, 2);
    assert_eq!(counts(&world, 0).as_deref(), Some("2"));
    pass(&mut world, 60_000);
    world.partition(0, 2, 70_000);
    draft(&mut world, 3);
    // A person's own words there are taken from any Local.
    let shown = text(&world, 2, AT).expect("it came from the executor");
    save(&mut world, 2, AT, &format!("My own words.\n\n{shown}"));
    let person_wrote = {
        pass(&mut world, 10_000);
        wrote(&world, 2)
    };
    pass(&mut world, 60_000);
    settle(&mut world);
    for node in LOCALS {
        let shown = text(&world, node, AT).expect("the dashboard");
        assert!(shown.starts_with("My own words.\n"), "node {node}: {shown}");
        assert_eq!(shown.matches("Waiting for your approval").count(), 1, "node {node}: {shown}");
        assert_eq!(counts(&world, node).as_deref(), Some("3"), "node {node}: {shown}");
        assert_eq!(core(&world, node).vault().conflicts(), [], "node {node}");
    }
    assert_eq!((person_wrote, wrote(&world, 2)), (1, 1), "the desktop says nothing of its own");
}

/// What it wrote last may still be on its way to the disk when the next number is due.
#[test]
fn a_number_stands_there_once_however_soon_the_next_follows() {
    for seed in 0..20 {
        let mut world = world(90 + seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        draft(&mut world, 0);
        for number in 1..=12 {
            let note = format!("---\naction: email\nto: a@client.test\nsubject: {number}\n---\n\nHello.\n");
            save(&mut world, 0, &format!("Pending_Approval/email/{number}.md"), &note);
            pass(&mut world, 400 + 50 * number);
        }
        settle(&mut world);
        assert_eq!(counts(&world, 0).as_deref(), Some("13"), "seed {seed}");
    }
}

#[test]
fn a_new_executor_goes_on_with_the_dashboard() {
    let mut world = world(82, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2), (1, 2)]);
    draft(&mut world, 1);
    let mut chain = world.nodes[0].rosters();
    let mut next = chain.current().successor(world.time());
    next.executor = world.nodes[2].id();
    chain.extend(&SignedRoster::sign(&root_key(), next).to_bytes()).expect("the next roster");
    world.input(0, Input::RosterChanged(chain)).expect("it follows");
    pass(&mut world, 20_000);
    let laptop_wrote = wrote(&world, 0);
    draft(&mut world, 2);
    for node in LOCALS {
        assert_eq!(counts(&world, node).as_deref(), Some("2"), "node {node}");
    }
    assert_eq!(wrote(&world, 0), laptop_wrote);
    assert_eq!(wrote(&world, 2), 1);
    settle(&mut world);
}
