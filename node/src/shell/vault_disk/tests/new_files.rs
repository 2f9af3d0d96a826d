use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use aiemp_crdt::vault::WriteOutcome;
use aiemp_protocol::vault_path::VaultPath;
use tempfile::tempdir;

use super::{kept, path, put};
use crate::shell::vault_disk::{DiskError, VaultDisk};

/// Everything that can lie where a new file is to go.
fn vault_with_things_in_the_way(root: &Path) {
    put(root, "Plans/theirs.md", "theirs");
    put(root, "Plans/same.md", "new");
    put(root, "full.md/a.md", "a note in a folder with the name of a note");
    fs::create_dir_all(root.join("empty.md/below")).expect("folders");
    fs::create_dir(root.join("Shared")).expect("a folder");
    fs::set_permissions(root.join("Shared"), fs::Permissions::from_mode(0o2770)).expect("its group is handed on");
    symlink("/tmp", root.join("Away")).expect("a link");
    symlink("/tmp/a.md", root.join("link.md")).expect("a link");
    put(root, "file", "a file with the name of a folder");
}

fn new_files() -> Vec<(VaultPath, Vec<u8>)> {
    let paths = [
        "Plans/theirs.md",
        "Plans/same.md",
        "Plans/one.md",
        "full.md",
        "empty.md",
        "Shared/for-the-group.md",
        "Away/escaped.md",
        "link.md",
        "file/below.md",
        "Plans/deep/er/two.md",
        "top.md",
        "top.md",
    ];
    paths.map(|at| (path(at), b"new".to_vec())).to_vec()
}

/// Each file with its mode and content, by its name below the top.
fn tree(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let at = entry.expect("an entry").path();
            let meta = fs::symlink_metadata(&at).expect("it is there");
            if meta.is_dir() {
                folders.push(at);
            } else if meta.is_file() {
                let name = at.strip_prefix(root).expect("below").to_string_lossy().into_owned();
                files.insert(name, (meta.mode() & 0o7777, fs::read(at).expect("read")));
            }
        }
    }
    files
}

fn words(outcome: &Result<WriteOutcome, DiskError>, root: &Path) -> String {
    format!("{outcome:?}").replace(&*root.to_string_lossy(), "")
}

#[test]
fn many_new_files_come_to_what_they_come_to_one_by_one() {
    for forgoes_exchange in [false, true] {
        let (together, alone) = (tempdir().expect("a folder"), tempdir().expect("a folder"));
        let [together_disk, alone_disk] = [&together, &alone].map(|root| {
            vault_with_things_in_the_way(root.path());
            let mut disk = VaultDisk::open(root.path()).expect("opened");
            if forgoes_exchange {
                disk.forgo_exchange();
            }
            disk
        });
        let files = new_files();
        let outcomes = together_disk.write_new(&files);
        assert_eq!(outcomes.len(), files.len());
        for ((path, bytes), outcome) in files.iter().zip(&outcomes) {
            let one = alone_disk.write(path, bytes, None);
            assert_eq!(words(outcome, together.path()), words(&one, alone.path()), "{path}");
        }
        assert!(outcomes.iter().filter(|outcome| matches!(outcome, Ok(WriteOutcome::Written))).count() >= 6);
        assert_eq!(tree(together.path()), tree(alone.path()));
        assert_eq!(kept(together.path()), Vec::<String>::new());
    }
}

#[test]
fn what_cannot_be_synced_is_told_and_leaves_nothing() {
    let root = tempdir().expect("a folder");
    let mut disk = VaultDisk::open(root.path()).expect("opened");
    disk.break_file_sync();
    let files: Vec<_> = (0..20).map(|number| (path(&format!("{number}.md")), b"new".to_vec())).collect();
    let outcomes = disk.write_new(&files);
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
    assert_eq!(tree(root.path()), BTreeMap::new());
}
