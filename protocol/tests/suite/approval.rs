//! An approval holds for exactly one action, executor, mesh and time.

use aiemp_protocol::{
    action::AttachmentSource,
    approval::{Bundle, BundleError},
    vault_path::VaultPath,
};
use std::time::Duration;

use crate::mesh::{NOW, owner};

#[test]
fn an_approval_verifies_as_it_was_signed() {
    let owner = owner(10);
    let bundle = owner.approval("a@client.test", 1, 1, None);
    let read = Bundle::from_bytes(&bundle.to_bytes()).expect("reads back");
    assert_eq!(read, bundle);
    read.verify(owner.rosters.current(), owner.executor(), NOW).expect("verifies");
}

#[test]
fn no_bit_of_what_decides_the_send_can_change() {
    let owner = owner(10);
    let bundle = owner.approval("a@client.test", 1, 1, None);
    let refused = |bundle: Bundle| bundle.verify(owner.rosters.current(), owner.executor(), NOW).is_err();
    for bit in 0..bundle.approval.len() * 8 {
        let mut other = bundle.clone();
        other.approval[bit / 8] ^= 1 << (bit % 8);
        assert!(refused(other), "approval bit {bit}");
    }
    for bit in 0..bundle.action.len() * 8 {
        let mut other = bundle.clone();
        other.action[bit / 8] ^= 1 << (bit % 8);
        assert!(refused(other), "action bit {bit}");
    }
    let mut unmarked = bundle.clone();
    unmarked.marks.first_time.clear();
    assert!(refused(unmarked), "the person saw the mark");
    let mut elsewhere = bundle.clone();
    let path = VaultPath::parse("Private/report.pdf").expect("a path");
    elsewhere.marks.attachment_sources.push(AttachmentSource { path, is_private: true });
    assert!(refused(elsewhere), "the person saw no such file");
    let mut noted = bundle.clone();
    noted.note.push(b'x');
    assert!(refused(noted), "the note that is filed is the one that was derived from");
    let mut moved = bundle.clone();
    moved.path = VaultPath::parse("Pending_Approval/email/REPLY_2.md").expect("a path");
    assert!(refused(moved), "the place that it is filed from is the one that was shown");
    let mut attached = bundle;
    attached.attachments.push(vec![1]);
    assert!(refused(attached), "an attachment nobody saw");
}

#[test]
fn an_attachment_is_sent_from_where_the_person_saw_it() {
    let owner = owner(10);
    let verify = |bundle: &Bundle| {
        let read = Bundle::from_bytes(&bundle.to_bytes()).expect("reads back");
        assert_eq!(&read, bundle);
        read.verify(owner.rosters.current(), owner.executor(), NOW).map(|_| ())
    };
    let bundle = owner.approval_with(("report.pdf", b"report"), "Private/report.pdf");
    assert_eq!(verify(&bundle), Ok(()));
    let mut public = bundle.clone();
    public.marks.attachment_sources[0].is_private = false;
    assert_eq!(verify(&public), Err(BundleError::OtherRender));
    let mut moved = bundle;
    moved.marks.attachment_sources[0].path = VaultPath::parse("Inbox/report.pdf").expect("a path");
    assert_eq!(verify(&moved), Err(BundleError::OtherRender));
    let misnamed = owner.approval_with(("report.pdf", b"report"), "Private/other.pdf");
    assert_eq!(verify(&misnamed), Err(BundleError::OtherAttachment));
}

#[test]
fn an_approval_for_another_mesh_executor_epoch_or_time_is_refused() {
    let (mut owner, stranger) = (owner(10), owner(50));
    let bundle = owner.approval("a@client.test", 1, 1, None);
    let (roster, executor) = (owner.rosters.current().clone(), owner.executor());
    let verify = |bundle: &Bundle, roster, executor, now| bundle.clone().verify(roster, executor, now).err();
    assert!(matches!(
        verify(&stranger.approval("a@client.test", 1, 1, None), &roster, executor, NOW),
        Some(BundleError::Signature(_))
    ));
    assert_eq!(verify(&bundle, &roster, stranger.executor(), NOW), Some(BundleError::OtherExecutor));
    let late = NOW + Duration::from_secs(61);
    assert!(matches!(verify(&bundle, &roster, executor, late), Some(BundleError::Expired(_))));
    owner.next_epoch();
    assert_eq!(verify(&bundle, owner.rosters.current(), executor, NOW), Some(BundleError::OldEpoch));
}
