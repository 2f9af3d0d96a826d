use std::{fs, os::unix::fs::PermissionsExt as _};

use aiemp_keys::Signer;
use aiemp_protocol::{
    action::{Content, Email, Marks, RENDERER_VERSION, action_id, render},
    approval::Policy,
    ids::{FileId, MeshId, WorkId},
    vault_path::VaultPath,
    zone::Zone,
};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_767_781_800_000);

fn row(nonce: u8, work: u8) -> Row {
    let file = FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") };
    let email = Email {
        hand: "outbox".to_owned(),
        from: "me@mine.test".to_owned(),
        to: vec!["a@client.test".to_owned()],
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: "x".to_owned(),
        body: "x\n".to_owned(),
        in_reply_to: None,
        references: Vec::new(),
        attachments: Vec::new(),
    };
    let work = WorkId(Hash::of_content(&[work]));
    let action = Action { file: action_id(file), work, content: Content::Email(email) };
    let signer = Signer::from_seed([2; 32]);
    let decision = Decision {
        action: action.hash(),
        render: render(&action, &Marks::default()).hash(),
        renderer: RENDERER_VERSION,
        nonce: [nonce; 16],
        expiry: NOW,
        executor: signer.node_id(),
        policy: Policy::default().digest(),
        epoch: 1,
        repeat_of: None,
    };
    let path = VaultPath::parse("Pending_Approval/mail.md").unwrap();
    let bundle = Bundle {
        approval: decision.sign(&signer, MeshId(Hash::of_content(b"mesh"))),
        action: action.to_bytes(),
        marks: Marks::of_note(&path, b"the note"),
        file,
        path,
        note: b"the note".to_vec(),
        attachments: vec![b"attachment".to_vec()],
    };
    let verified = Verified { decision, action, bundle, standing: None };
    let (state, detail) = (State::Reserved, String::new());
    Row { verified, state, detail, attempts: 0, not_before: NOW, changed: NOW, asked: None }
}

fn journal() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("journal.sqlite");
    (home, path)
}

#[test]
fn rows_come_back_as_they_were_stored_even_after_they_expired() {
    let (home, path) = journal();
    let mut store = JournalStore::open(&path).unwrap();
    let mut first = row(1, 1);
    store.persist(&first, Times::at(NOW)).unwrap();
    first.state = State::Dispatching;
    first.detail = "a detail".to_owned();
    first.attempts = 3;
    first.not_before = Timestamp::from_millis(7);
    first.changed = Timestamp::from_millis(9);
    first.asked = Some(Hash::of_content(b"a hand"));
    store.persist(&first, Times::at(Timestamp::from_millis(5))).unwrap();
    let mut second = row(2, 2);
    second.state = State::Sent;
    store.persist(&second, Times::at(NOW)).unwrap();
    drop(store);
    let store = JournalStore::open(&path).unwrap();
    assert_eq!(store.times().unwrap(), Times::at(NOW), "they never go back");
    let rows = store.load().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].state, rows[0].detail.as_str(), rows[0].attempts), (State::Dispatching, "a detail", 3));
    assert_eq!((rows[0].not_before, rows[0].changed), (Timestamp::from_millis(7), Timestamp::from_millis(9)));
    assert_eq!((rows[0].asked, rows[1].asked), (first.asked, None));
    assert_eq!(rows[0].verified.decision, first.verified.decision);
    assert_eq!(rows[0].verified.action, first.verified.action);
    assert_eq!(rows[0].verified.bundle, first.verified.bundle);
    assert!(rows[1].verified.bundle.attachments.is_empty(), "nothing sends them any more");
    for entry in fs::read_dir(home.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn a_second_row_for_what_may_be_sent_is_refused_by_the_store_itself() {
    let (_home, path) = journal();
    let mut store = JournalStore::open(&path).unwrap();
    let mut first = row(1, 1);
    store.persist(&first, Times::at(NOW)).unwrap();
    assert!(matches!(store.persist(&row(2, 1), Times::at(NOW)), Err(JournalError::Sqlite(_))));
    first.state = State::Failed;
    store.persist(&first, Times::at(NOW)).unwrap();
    store.persist(&row(2, 1), Times::at(NOW)).unwrap();
    let mut wanted = row(3, 1);
    wanted.verified.decision.repeat_of = Some([2; 16]);
    store.persist(&wanted, Times::at(NOW)).unwrap();
}

#[test]
fn receipts_that_are_missing_are_known() {
    let (_home, path) = journal();
    let mut store = JournalStore::open(&path).unwrap();
    let mut first = row(1, 1);
    store.persist(&first, Times::at(NOW)).unwrap();
    assert_eq!(store.without_receipt().unwrap(), [[1; 16]]);
    store.receipt_written([1; 16], State::Reserved).unwrap();
    assert_eq!(store.without_receipt().unwrap(), [[0; 16]; 0]);
    first.state = State::Dispatching;
    store.persist(&first, Times::at(NOW)).unwrap();
    assert_eq!(store.without_receipt().unwrap(), [[0; 16]; 0]);
    first.state = State::Unknown;
    store.persist(&first, Times::at(NOW)).unwrap();
    store.receipt_written([1; 16], State::Sent).unwrap();
    assert_eq!(store.without_receipt().unwrap(), [[1; 16]], "that was the receipt of another state");
}

#[test]
fn the_newest_roster_is_remembered() {
    let (_home, path) = journal();
    let mut store = JournalStore::open(&path).unwrap();
    assert_eq!(store.roster_seen().unwrap(), None);
    let [one, two] = [b"one", b"two"].map(|bytes| Hash::of_content(bytes));
    store.see_roster(2, two).unwrap();
    store.see_roster(1, one).unwrap();
    assert_eq!(store.roster_seen().unwrap(), Some((2, two)));
}

#[test]
fn a_damaged_row_stops_the_executor() {
    let (_home, path) = journal();
    let mut store = JournalStore::open(&path).unwrap();
    store.persist(&row(1, 1), Times::at(NOW)).unwrap();
    let mut bundle = row(1, 1).verified.bundle;
    bundle.note = b"another note".to_vec();
    store.connection.execute("UPDATE rows SET bundle = ?1", [bundle.to_bytes()]).unwrap();
    let nonce = "01".repeat(16);
    let expected = format!(
        "the journal's row {nonce} is damaged: its bundle does not have the stored hash; restore the journal from a \
         backup"
    );
    assert_eq!(store.load().unwrap_err().to_string(), expected);
    let bytes = row(2, 1).verified.bundle.to_bytes();
    let hash = Hash::of_content(&bytes);
    store.connection.execute("UPDATE rows SET bundle = ?1, bundle_hash = ?2", params![bytes, hash.as_bytes()]).unwrap();
    let expected = format!(
        "the journal's row {nonce} is damaged: its bundle belongs to another row; restore the journal from a backup"
    );
    assert_eq!(store.load().unwrap_err().to_string(), expected);
}

#[test]
fn a_newer_journal_is_refused_with_what_to_do() {
    let (_home, path) = journal();
    let store = JournalStore::open(&path).unwrap();
    store.connection.pragma_update(None, "user_version", 4).unwrap();
    drop(store);
    let expected = format!("{} has format 4, newer than this program knows (3); update aiemp-node", path.display());
    assert_eq!(JournalStore::open(&path).unwrap_err().to_string(), expected);
}

#[test]
fn the_guard_goes_back_when_the_clock_is_settled_and_not_otherwise() {
    let (_home, path) = journal();
    let mut store = JournalStore::open(&path).unwrap();
    let later = Timestamp::from_millis(NOW.as_millis() + 1_000_000);
    store.persist(&row(1, 1), Times::at(later)).unwrap();
    let settled = Times { highest: later, guard: NOW, settled: NOW };
    store.settle_clock(settled).unwrap();
    drop(store);
    let mut store = JournalStore::open(&path).unwrap();
    assert_eq!(store.times().unwrap(), settled);
    let earlier = Timestamp::from_millis(NOW.as_millis() - 1);
    store.settle_clock(Times { highest: earlier, guard: earlier, settled: NOW }).unwrap();
    assert_eq!(store.times().unwrap(), settled, "the same word does not count again");
}

#[test]
fn journals_of_earlier_versions_are_brought_up_to_date() {
    let from_2 = "ALTER TABLE rows DROP COLUMN asked; PRAGMA user_version = 2;";
    let from_1 =
        "ALTER TABLE meta DROP COLUMN guard_time; ALTER TABLE meta DROP COLUMN clock_settled; PRAGMA user_version = 1;";
    for back in [from_2.to_owned(), format!("{from_2} {from_1}")] {
        let (_home, path) = journal();
        let mut store = JournalStore::open(&path).unwrap();
        let asked = Row { asked: Some(Hash::of_content(b"a hand")), ..row(1, 1) };
        store.persist(&asked, Times::at(NOW)).unwrap();
        store.connection.execute_batch(&back).unwrap();
        drop(store);
        let store = JournalStore::open(&path).unwrap();
        assert_eq!(store.times().unwrap(), Times::at(NOW));
        let rows = store.load().unwrap();
        assert_eq!((rows.len(), rows[0].asked), (1, None), "{back}");
    }
}

#[test]
fn a_journal_that_is_no_database_is_told_with_the_way_out() {
    let (home, path) = journal();
    let told = |why: &str| {
        format!(
            "the executor's journal, executor/journal.sqlite in the home, is damaged ({why}): without it any of what was \
             approved could be sent again. Stop the node, move the journal away with its -wal and -shm, and put its \
             newest copy there. If there is none: remove every standing approval, for what went out under it is not \
             counted any more, move the receipts to another folder as well, so that a new journal is begun, and approve \
             again only what you know was not sent"
        )
    };
    private_file::create_private(&path, &[b'x'; 8192]).unwrap();
    assert_eq!(JournalStore::open(&path).unwrap_err().to_string(), told("file is not a database"));
    fs::remove_file(&path).unwrap();
    drop(JournalStore::open(&path).unwrap());
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let opened = JournalStore::open(&path).and_then(|journal| journal.load());
    assert_eq!(opened.unwrap_err().to_string(), told("database disk image is malformed"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(home.path().join("journal")).unwrap();
    assert_eq!(JournalStore::open(&home.path().join("journal")).unwrap_err().to_string(), told("it is a directory"));
}
