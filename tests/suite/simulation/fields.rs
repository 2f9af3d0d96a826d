//! Fields that more than two gave a value.

use aiemp_crdt::vault::Choice;

use super::{
    repairs::resolve,
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, save, settle, world},
};

const AT: &str = "Plans/a.md";

#[test]
fn who_decides_between_two_values_has_not_decided_about_a_third_that_comes_later() {
    for late in 0..3 {
        let mut world = world(91 + late as u64, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2), (1, 2)]);
        save(&mut world, 0, AT, "---\nstatus: open\n---\none\n");
        pass(&mut world, 20_000);
        for other in (0..3).filter(|other| *other != late) {
            world.partition(late, other, 90_000);
        }
        for node in 0..3 {
            save(&mut world, node, AT, &format!("---\nstatus: by{node}\n---\none\n"));
        }
        pass(&mut world, 20_000);
        let decider = if late == 0 { 2 } else { 0 };
        let items = core(&world, decider).vault().conflicts();
        assert_eq!((items.len(), items[0].sides.len()), (1, 2), "{items:?}");
        resolve(&mut world, decider, &items[0], Choice::Both);
        assert_eq!(core(&world, decider).vault().conflicts(), []);
        settle(&mut world);
        for node in 0..3 {
            let items = core(&world, node).vault().conflicts();
            assert_eq!((items.len(), items[0].sides.len()), (1, 3), "node {node} after {late} came: {items:?}");
        }
    }
}
