//! A vault with the shape of real ones, dropped into a running pair.

use aiemp_tests::shape;

use crate::node::Pair;

const SEED: u64 = 0x5eed_2026;
const FILES: usize = 200;

#[test]
fn a_vault_as_people_have_them_arrives_byte_for_byte() {
    let vault = shape::vault(SEED, FILES);
    let pair = Pair::running();
    for (path, bytes) in &vault {
        pair.cloud.save(path, bytes);
    }
    pair.wait_same("the vault arrives", |files| *files == vault);
}

#[test]
fn a_vault_that_was_there_before_the_first_start_arrives_byte_for_byte() {
    let vault = shape::vault(SEED, FILES);
    let mut pair = Pair::strangers();
    for (path, bytes) in &vault {
        pair.cloud.save(path, bytes);
    }
    pair.pair(&[]);
    pair.local.start();
    pair.wait_same("the vault arrives", |files| *files == vault);
    // Local's folders were empty, and nothing of the vault is new to it after a restart.
    pair.local.stop();
    pair.local.start();
    pair.wait_same("a restart changes nothing", |files| *files == vault);
}
