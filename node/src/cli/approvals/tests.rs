use aiemp_keys::Hash;
use aiemp_protocol::{ids::FileId, vault_path::VaultPath, zone::Zone};

use super::*;

fn item(path: &str) -> Item {
    let file = FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") };
    Item {
        id: "0123456789abcdef".to_owned(),
        file,
        path: VaultPath::parse(path).expect("a path"),
        note: Vec::new(),
        author: "cloud".to_owned(),
        created: Timestamp::default(),
        blocked_by: Vec::new(),
        draft: Err(Vec::new()),
    }
}

#[test]
fn what_a_path_hides_is_spelt_out_in_the_list() {
    let desk = Desk { items: Vec::new(), receipts: Vec::new() };
    assert_eq!(
        lines_of(&desk, &item("Pending_Approval/\u{202e}dm.x\u{200b}")),
        "0123456789ab  not_approvable  \
         Pending_Approval/[U+202E RIGHT-TO-LEFT OVERRIDE]dm.x[U+200B ZERO WIDTH SPACE]\n              "
    );
}
