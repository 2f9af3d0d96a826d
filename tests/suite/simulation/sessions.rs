//! What is saved while two nodes find each other again.

use super::scenarios::{IDLE_CLOUD, LAPTOP, pass, save, text, world};

#[test]
fn what_is_saved_while_two_nodes_say_hello_is_there_in_a_moment() {
    for seed in 240..270 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        world.heal();
        let writer = usize::from(seed % 2 == 1);
        // The session breaks and opens again: both say to have the same, and the one has more a moment later.
        world.partition(0, 1, 1);
        for number in 0..100 {
            save(&mut world, writer, &format!("Plans/{number}.md"), "one\n");
            pass(&mut world, 15);
        }
        // Before the frontiers are compared again, which half a minute later would heal it.
        pass(&mut world, 20_000);
        for number in 0..100 {
            let there = text(&world, 1 - writer, &format!("Plans/{number}.md"));
            assert_eq!(there.as_deref(), Some("one\n"), "{number} of seed {seed}");
        }
    }
}

#[test]
fn what_is_saved_while_two_nodes_compare_what_they_have_is_there_in_a_moment() {
    for seed in 270..330 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        world.heal();
        let writer = usize::from(seed % 2 == 1);
        // Each has what the other lacks, so both list what they have, and the one has more by then.
        world.partition(0, 1, 1_000);
        save(&mut world, 0, "Plans/of the laptop.md", "of the laptop\n");
        save(&mut world, 1, "Plans/of cloud.md", "of cloud\n");
        for number in 0..200 {
            save(&mut world, writer, &format!("Plans/{number}.md"), &format!("number {number}\n"));
            pass(&mut world, 15);
        }
        pass(&mut world, 20_000);
        for number in 0..200 {
            let there = text(&world, 1 - writer, &format!("Plans/{number}.md"));
            assert_eq!(there, Some(format!("number {number}\n")), "{number} of seed {seed}");
        }
    }
}
