//! The digest: once for a day, of all that happened since the one before.

use aiemp_node::core::{Brain, Input, Report};
use aiemp_protocol::roster::Role;
use aiemp_tests::{people, world::World};

use super::{
    agents::tasks,
    removals::remove,
    scenarios::{IDLE_CLOUD, LAPTOP, pass, path, settle, text, world},
};

const DAY: u64 = 86_400_000;

fn due(world: &mut World, node: usize, day: &str) {
    let day = day.parse().expect("a day");
    world.input(node, Input::ReportDue(Report::Digest, day)).expect("it is due");
    pass(world, 10_000);
}

fn digest(world: &World, node: usize, day: &str) -> Option<String> {
    text(world, node, &format!("Updates/DIGEST_{day}.md"))
}

#[test]
fn a_node_that_was_away_tells_once_what_happened_since_the_last_digest() {
    let mut world = world(820, &[LAPTOP, ("cloud", Role::Cloud, Brain::Template)], &[(0, 1)]);
    pass(&mut world, 10_000);
    due(&mut world, 0, "2026-01-06");
    assert_eq!(digest(&world, 0, "2026-01-06"), None, "nothing happened");
    people::save(&mut world, 1, path("Inbox/one.eml"), people::mail(1, "soon"));
    pass(&mut world, 60_000);
    due(&mut world, 0, "2026-01-07");
    let first = digest(&world, 0, "2026-01-07").expect("a digest");
    assert!(
        first.contains("**Came in:** 1 email\n") && first.contains("**Waiting for your approval:** 1\n- [["),
        "{first}"
    );
    // Local is off for three days; Cloud goes on.
    world.part_until(0, 1, world.now + 3 * DAY + 30_000);
    for number in 2..5 {
        pass(&mut world, DAY);
        people::save(&mut world, 1, path(&format!("Inbox/{number}.eml")), people::mail(number, "soon"));
    }
    pass(&mut world, 60_000);
    pass(&mut world, 60_000);
    due(&mut world, 0, "2026-01-10");
    let second = digest(&world, 0, "2026-01-10").expect("a digest");
    assert!(second.contains("**Came in:** 3 email\n") && second.contains("approval:** 4\n"), "{second}");
    // Asked again, after a restart, by another node, or once the person put it away: nothing more.
    world.crash(0, 500);
    pass(&mut world, 30_000);
    due(&mut world, 0, "2026-01-10");
    due(&mut world, 1, "2026-01-11");
    remove(&mut world, 0, "Updates/DIGEST_2026-01-10.md");
    pass(&mut world, 60_000);
    due(&mut world, 0, "2026-01-10");
    let all = tasks(&world, 0, "Updates/DIGEST_");
    assert_eq!(all, ["Updates/DIGEST_2026-01-07.md"], "{all:?}");
    settle(&mut world);
}

#[test]
fn a_digest_names_nothing_private() {
    let mut world = world(821, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    people::save(&mut world, 0, path("Private/Needs_Action/bank/FILE_secret.md"), b"---\ntype: x\n---\n".to_vec());
    people::save(&mut world, 0, path("Inbox/one.eml"), people::mail(1, "soon"));
    pass(&mut world, 60_000);
    due(&mut world, 0, "2026-01-07");
    let told = digest(&world, 1, "2026-01-07").expect("Cloud has it as well");
    assert!(told.contains("**Came in:** 1 email\n") && !told.contains("secret"), "{told}");
    settle(&mut world);
}
