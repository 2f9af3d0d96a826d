//! Standing approvals in a mesh: what goes out by itself, when, and what Cloud can make of it.

use std::time::Duration;

use aiemp_node::core::{
    Answer, Brain, Input, Question,
    agent::{Ask, Ceiling, DraftAsked, Session, Told},
};
use aiemp_protocol::{
    action::{EmailProposal, Proposal},
    approval::Outcome,
    roster::Role,
    vault_path::VaultPath,
};
use aiemp_tests::{
    brake, people, standing,
    world::{Cast, World},
};

use crate::node::{Pair, becomes};

const LAPTOP: Cast = ("laptop", Role::Local, Brain::None);
const CLOUD: Cast = ("cloud", Role::Cloud, Brain::None);
const DRAFT: &str = "Pending_Approval/email/d.md";

fn mesh(seed: u64, text_by_cloud: bool) -> World {
    let mut world = World::new(seed, &[LAPTOP, CLOUD], &[(0, 1)]).expect("a mesh is founded");
    pass(&mut world, 10_000);
    standing::sign(&mut world, &["a@client.test"], 3, text_by_cloud).expect("signed");
    world
}

fn pass(world: &mut World, ms: u64) {
    world.run_for(ms).expect("nothing goes wrong");
}

fn path(text: &str) -> VaultPath {
    VaultPath::parse(text).expect("a path")
}

fn mail(body: &str) -> String {
    format!("---\naction: email\nto: a@client.test\nsubject: Hello\n---\n{body}\n")
}

/// Somebody saves a note; what is saved at Local is the person's.
fn save(world: &mut World, node: usize, at: &str, text: &str) {
    if node == 0 {
        world.executor.allowances.by_person.insert(text.as_bytes().to_vec());
    }
    people::save(world, node, path(at), text.as_bytes().to_vec());
}

/// Another place for a note, given at a node's disk.
fn rename(world: &mut World, node: usize, from: &str, to: &str) {
    let bytes = world.nodes[node].disk.files.remove(&path(from)).expect("a note");
    world.nodes[node].disk.files.insert(path(to), bytes);
    world.touched(node, path(from));
    world.touched(node, path(to));
}

/// The notes that the executor took up under standing approvals.
fn taken(world: &World) -> Vec<String> {
    let accepted = world.nodes[0].receipts.iter().filter(|receipt| receipt.outcome == Outcome::Accepted);
    let accepted = accepted.filter(|receipt| receipt.standing.is_some());
    accepted.map(|receipt| String::from_utf8_lossy(&receipt.note).into_owned()).collect()
}

/// Whether the listing says of the one draft that it goes out by itself.
fn is_said_to_go_out(world: &mut World) -> bool {
    world.input(0, Input::Asked { request: 5, question: Question::Drafts }).expect("it is asked");
    pass(world, 5_000);
    let Some(Answer::Drafts { drafts, .. }) = world.nodes[0].answers.remove(&5) else { panic!("no answer") };
    drafts.iter().any(|draft| draft.standing.is_some())
}

#[test]
fn what_an_agent_drafts_on_local_is_not_the_persons_text() {
    for (seed, text_by_cloud) in [(30, false), (31, true)] {
        let mut world = mesh(seed, text_by_cloud);
        let session = Session { ceiling: Ceiling::Shared, work: None };
        let email = EmailProposal {
            to: vec!["a@client.test".to_owned()],
            subject: "Hello".to_owned(),
            ..EmailProposal::default()
        };
        let draft = DraftAsked {
            work: None,
            proposal: Proposal::Email(email),
            body: "As a mail wanted it.".to_owned(),
            expires: None,
        };
        let question = Question::Agent { session, ask: Ask::Draft(Box::new(draft)) };
        world.input(0, Input::Asked { request: 6, question }).expect("it is asked");
        pass(&mut world, 7_200_000);
        assert!(matches!(world.nodes[0].answers.remove(&6), Some(Answer::Agent(Told::Done { .. }))));
        assert_eq!(taken(&world).len(), usize::from(text_by_cloud), "text by Cloud: {text_by_cloud}");
    }
}

#[test]
fn a_draft_goes_out_when_it_stands_still_and_not_while_the_person_writes() {
    let mut world = mesh(1, false);
    for (number, pause) in [(1, 20_000), (2, 25_000), (3, 15_000)] {
        save(&mut world, 0, DRAFT, &mail(&format!("Half {number}")));
        pass(&mut world, pause);
        assert_eq!(taken(&world), Vec::<String>::new());
    }
    assert!(is_said_to_go_out(&mut world));
    pass(&mut world, 40_000);
    assert_eq!(taken(&world), [mail("Half 3")]);
    pass(&mut world, 7_200_000);
    assert_eq!(taken(&world).len(), 1, "once");
}

#[test]
fn a_draft_that_no_standing_approval_covers_waits_for_the_person() {
    let mut world = mesh(2, true);
    for (number, lines) in
        ["to: b@client.test", "to: a@client.test\nbcc: b@client.test", "to: a@client.test\nhand: outbox"]
            .iter()
            .enumerate()
    {
        let text = format!("---\naction: email\nsubject: Hello\n{lines}\n---\nHello\n");
        save(&mut world, number % 2, &format!("Pending_Approval/email/{number}.md"), &text);
    }
    save(&mut world, 0, "Plans/d.md", &mail("not where drafts wait"));
    pass(&mut world, 3_600_000);
    assert_eq!((taken(&world), is_said_to_go_out(&mut world)), (Vec::new(), false));
}

#[test]
fn as_many_go_out_as_were_signed_and_none_after_it_was_taken_back() {
    let mut world = mesh(3, false);
    for number in 0..5 {
        save(&mut world, 0, &format!("Pending_Approval/email/{number}.md"), &mail(&format!("Number {number}")));
    }
    pass(&mut world, 86_400_000 / 4);
    let failed = world.nodes[0].receipts.iter().filter(|receipt| receipt.outcome == Outcome::Failed).count();
    assert_eq!(taken(&world).len() - failed, 3);
    standing::sign(&mut world, &["a@client.test"], 9, false).expect("signed");
    standing::end(&mut world).expect("taken back");
    let before = taken(&world).len();
    save(&mut world, 0, "Pending_Approval/email/late.md", &mail("Late"));
    pass(&mut world, 3_600_000);
    assert_eq!(taken(&world).len(), before);
}

#[test]
fn nothing_goes_out_by_itself_while_the_mesh_is_frozen() {
    let mut world = mesh(4, false);
    brake::freeze(&mut world, 0).expect("frozen");
    save(&mut world, 0, DRAFT, &mail("Hello"));
    pass(&mut world, 3_600_000);
    assert_eq!(taken(&world), Vec::<String>::new());
    brake::unfreeze(&mut world).expect("let go on");
    pass(&mut world, 120_000);
    assert_eq!(taken(&world), [mail("Hello")]);
}

#[test]
fn drafts_that_the_person_took_away_go_out_no_more_while_that_waits_for_their_word() {
    let mut world = mesh(8, false);
    brake::freeze(&mut world, 0).expect("frozen");
    let drafts: Vec<_> = (0..12).map(|number| format!("Pending_Approval/email/{number}.md")).collect();
    for draft in &drafts {
        save(&mut world, 0, draft, &mail(draft));
    }
    pass(&mut world, 60_000);
    for draft in &drafts {
        world.nodes[0].disk.files.remove(&path(draft)).expect("it was there");
        world.touched(0, path(draft));
    }
    pass(&mut world, 20_000);
    assert_eq!(world.nodes[0].core.as_ref().map(|core| core.vault().removals_held()), Some(12));
    brake::unfreeze(&mut world).expect("let go on");
    pass(&mut world, 3_600_000);
    assert_eq!(taken(&world), Vec::<String>::new());
}

#[test]
fn cloud_that_writes_edits_or_moves_a_draft_makes_it_a_text_by_cloud() {
    for text_by_cloud in [false, true] {
        let expected = usize::from(text_by_cloud);
        let mut written = mesh(5, text_by_cloud);
        save(&mut written, 1, DRAFT, &mail("Cloud's"));
        pass(&mut written, 120_000);
        assert_eq!(taken(&written).len(), expected, "written");

        let mut edited = mesh(6, text_by_cloud);
        save(&mut edited, 0, DRAFT, &mail("Mine"));
        pass(&mut edited, 15_000);
        save(&mut edited, 1, DRAFT, &mail("Mine\nand Cloud's"));
        pass(&mut edited, 10_000);
        save(&mut edited, 0, DRAFT, &mail("Mine\nand Cloud's\nand mine"));
        pass(&mut edited, 120_000);
        assert_eq!(taken(&edited).len(), expected, "edited");

        // The person was not done with it, or had put it away.
        let mut moved = mesh(7, text_by_cloud);
        save(&mut moved, 0, "Plans/d.md", &mail("Mine"));
        pass(&mut moved, 60_000);
        rename(&mut moved, 1, "Plans/d.md", DRAFT);
        pass(&mut moved, 120_000);
        assert_eq!(taken(&moved).len(), expected, "moved");

        // What the person moves into another zone is a new file there; who wrote it stays who wrote it.
        let mut by_way = mesh(8, text_by_cloud);
        save(&mut by_way, 1, "Needs_Action/d.md", &mail("Cloud's"));
        pass(&mut by_way, 60_000);
        rename(&mut by_way, 0, "Needs_Action/d.md", DRAFT);
        pass(&mut by_way, 120_000);
        assert_eq!(taken(&by_way).len(), expected, "by way of the person");
    }
}

#[test]
fn a_standing_approval_is_signed_listed_used_and_removed_at_the_command_line() {
    let pair = Pair::running();
    let local = &pair.local;
    let add = ["approvals", "standing", "add", "--count", "1", "--days", "7", "--to"];
    let refused = |to: &str| local.refused(&[add.as_slice(), &[to]].concat());
    refused("@client.test").assert(1, &["`@client.test` is no plain address", "a@client.test"]);
    let add_anna = [add.as_slice(), &["Anna@client.test"]].concat();
    let said = local.run(&add_anna);
    let told = crate::node::text(&said.stderr);
    for piece in ["go out by themselves to\n    anna@client.test\n", "to nobody else: 1 in all", "only Local members"] {
        assert!(told.contains(piece), "{told}");
    }
    let item = || local.json(&["approvals", "standing", "--json"])["items"][0].clone();
    let id = item()["id"].as_str().expect("an ID").to_owned();
    assert_eq!((item()["state"].as_str(), item()["used"].as_u64()), (Some("in_force"), Some(0)));
    let promises = local.json(&["status", "--json"])["promises"].to_string();
    assert!(promises.contains("automatic sending is on: up to 1 mails by outbox to anna@client.test"), "{promises}");
    assert!(local.run(&["doctor"]).stdout.windows(25).any(|words| words == b"automatic sending is on: "));
    local.save("Pending_Approval/a.md", mail("Hello").replace("a@client.test", "anna@client.test"));
    local.save("Pending_Approval/b.md", mail("Hello").replace("a@client.test", "bob@client.test"));
    pair.wait("the listing says that it goes out", |pair| {
        pair.local.approvals().iter().any(|item| item["standing"] == id.as_str())
    });
    let sent = || local.approvals_in("sent").len() == 1;
    assert!(becomes(Duration::from_secs(120), sent), "{}", local.last_words());
    assert_eq!((local.outbox().len(), item()["state"].as_str()), (1, Some("used_up")));
    assert!(local.read("Done/a.md").is_some() && local.read("Pending_Approval/b.md").is_some());
    local.refused(&["approvals", "standing", "remove", "00000000"]).assert(1, &["no standing approval has the ID"]);
    local.must(&["approvals", "standing", "remove", &id]);
    assert_eq!(local.json(&["approvals", "standing", "--json"])["items"].as_array().map(Vec::len), Some(0));
    pair.wait("the executor remembers", |pair| pair.local.home.join("executor/ended").join(&id).exists());
    pair.cloud.refused(&add_anna).assert(78, &["decided on Local alone"]);
}
