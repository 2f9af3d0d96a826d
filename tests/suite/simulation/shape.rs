//! A vault as people have them, brought in by one node and shown by another.

use aiemp_tests::shape;

use super::scenarios::{IDLE_CLOUD, LAPTOP, pass, path, settle, world};

#[test]
fn every_file_of_a_vault_as_people_have_them_is_shown_byte_for_byte() {
    let mut world = world(321, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let vault = shape::vault(0x5eed_2027, 120);
    for (at, bytes) in &vault {
        world.nodes[0].disk.files.insert(path(at), bytes.clone());
        world.touched(0, path(at));
    }
    pass(&mut world, 60_000);
    settle(&mut world);
    let shown = &world.nodes[1].disk.files;
    for (at, bytes) in &vault {
        assert!(shown.get(&path(at)) == Some(bytes), "{at} is not the same");
    }
}
