//! More than Local keeps of one member: it waits, and takes nothing.

use aiemp_protocol::zone::Zone;

use super::{
    Case, Expect,
    entries::note,
    forge::{self, Item, MARK},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("more files than one may have, in one entry", Expect::Waits("files"), |attack| {
            attack.new_log();
            let items = (0..100).map(|number| note(&format!("many_{number}"))).collect();
            attack.append(items);
            assert!(attack.settle());
            assert!(attack.pair.local.read("Plans/many_0.md").is_none());
        }),
        Case::new("more files than one may have, one after the other", Expect::Waits("files"), |attack| {
            attack.new_log();
            for number in 0..40 {
                attack.append(vec![note(&format!("one_{number}"))]);
            }
            assert!(attack.settle());
            assert!(attack.pair.local.read("Plans/one_39.md").is_none());
        }),
        Case::new("more bytes than one may have", Expect::Waits("bytes_in_all"), |attack| {
            attack.new_log();
            for number in 0..4_u8 {
                let bytes = [MARK.as_bytes(), &vec![number; 900 << 10]].concat();
                attack.append(vec![Item::base(&bytes, bytes.len() as u64)]);
            }
        }),
        Case::new("a payload of 32 MiB by name", Expect::Waits("bytes_in_all"), |attack| {
            attack.new_log();
            let mut signed = attack.sign(&attack.draft(vec![Item::base(b"x", 32 << 20)]));
            signed.payloads = vec![None];
            attack.send(&signed);
        }),
        Case::new("a file archived, in a log that waits for room", Expect::Waits("bytes_in_all"), |attack| {
            attack.append(vec![Item::archive(forge::file(Zone::Drafts, "one_0"))]);
        }),
    ]
}
