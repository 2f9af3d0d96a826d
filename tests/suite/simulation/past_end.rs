//! Entries after the end of a closed log on which others built.

use aiemp_node::core::{Brain, Input};
use aiemp_protocol::{
    ids::LogId,
    roster::{ClosedLog, Role, SignedRoster},
};
use aiemp_tests::{
    check,
    world::{Cast, World, root_key},
};

use super::{
    repairs::{Forker, frontier, new_note, shared_files},
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, save, text, world},
};

const TABLET: Cast = ("tablet", Role::Local, Brain::None);
const ALL: [(usize, usize); 6] = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];

/// The root key closes a log where the first node holds its end, and may take its author out of the mesh.
fn close(world: &mut World, log: LogId, is_revoked: bool) {
    let mut chain = world.nodes[0].rosters();
    let seq = world.nodes[0].store.length(log);
    let hash = world.nodes[0].store.entry_at(log, seq).expect("an end").0;
    let mut next = chain.current().successor(world.time());
    next.closed.push(ClosedLog { log, seq, hash });
    if is_revoked {
        next.members.retain(|member| member.node != log.author);
    }
    chain.extend(&SignedRoster::sign(&root_key(), next).to_bytes()).expect("the next roster");
    world.input(0, Input::RosterChanged(chain)).expect("it follows");
    pass(world, 1_000);
}

#[test]
fn what_two_members_built_on_is_followed_past_the_end_of_a_closed_log() {
    for (seed, entries, is_revoked) in [(281, 1, true), (282, 3, false), (283, 70, true)] {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP, TABLET], &ALL);
        save(&mut world, 1, "Plans/before.md", "before\n");
        pass(&mut world, 30_000);
        for other in [2, 3] {
            world.partition(0, other, 3_000_000);
        }
        let mut cloud = Forker::take_cloud(&mut world);
        for number in 0..entries {
            let (at, text) = (format!("Plans/late-{number}.md"), format!("late {number}\n"));
            cloud.tell(&mut world, 2, new_note(&at, &text), text.as_bytes());
        }
        for (node, at) in [(2, "Plans/two.md"), (3, "Plans/three.md")] {
            assert_eq!(text(&world, node, "Plans/late-0.md").as_deref(), Some("late 0\n"));
            save(&mut world, node, at, "built on it\n");
            pass(&mut world, 10_000);
        }
        close(&mut world, cloud.log, is_revoked);
        world.heal();
        pass(&mut world, 200_000);
        for node in [2, 3] {
            assert_eq!(frontier(&world, 0), frontier(&world, node), "seed {seed}, node {node}");
            assert_eq!(shared_files(&world, 0), shared_files(&world, node), "seed {seed}, node {node}");
        }
        for at in ["Plans/two.md", "Plans/three.md"] {
            assert_eq!(text(&world, 0, at).as_deref(), Some("built on it\n"), "seed {seed}");
        }
        // Nothing more of that log is taken, whoever says it.
        let held = core(&world, 0).replication().frontier().find(|position| position.log == cloud.log);
        cloud.tell(&mut world, 0, new_note("Plans/later.md", "later\n"), b"later\n");
        assert_eq!(core(&world, 0).replication().frontier().find(|position| position.log == cloud.log), held);
        world.crash(0, 500);
        pass(&mut world, 30_000);
        assert_eq!(frontier(&world, 0), frontier(&world, 2), "seed {seed}");
        check::zones_respected(&world, &world.nodes[0], core(&world, 0)).expect("zones");
    }
}
