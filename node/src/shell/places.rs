//! Where home and vault may lie.

use std::path::{Component, Path, PathBuf};

use crate::fault::Fault;

/// So many links in a row are followed, as by the system.
const LINKS_MAX: usize = 40;

/// Refuses a vault inside the home and a home inside the vault: the one would sync keys, the other would watch itself.
pub fn check_apart(home: &Path, vault: &Path) -> Result<(), Fault> {
    let (home, vault) = (resolved(home), resolved(vault));
    let nested = if vault.starts_with(&home) {
        Some(("vault", "home"))
    } else if home.starts_with(&vault) {
        Some(("home", "vault"))
    } else {
        None
    };
    match nested {
        None => Ok(()),
        Some((inner, outer)) => Err(Fault::refused(
            "nested",
            format!("the {inner} lies inside the {outer} (home {}, vault {})", home.display(), vault.display()),
            "Keep them apart: give another --home or --vault.",
        )),
    }
}

/// A folder that is neither in the vault nor in the home, nor holds one of them.
pub fn is_outside(folder: &Path, home: &Path, vault: &Path) -> bool {
    let folder = resolved(folder);
    [home, vault].into_iter().map(resolved).all(|of| !folder.starts_with(&of) && !of.starts_with(&folder))
}

/// Whether both lead to one place.
pub fn is_same(one: &Path, other: &Path) -> bool {
    std::path::absolute(one).is_ok_and(|one| resolved(&one) == resolved(other))
}

/// Whether something on the way to where a path leads, link by link, lies in a folder: who changes that changes where it leads.
pub fn passes(path: &Path, folder: &Path) -> bool {
    passes_real(path, &resolved(folder), LINKS_MAX)
}

fn passes_real(path: &Path, folder: &Path, links_left: usize) -> bool {
    let mut at = PathBuf::new();
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        if part == Component::ParentDir {
            at.pop();
            continue;
        }
        let place = at.join(part);
        if place.starts_with(folder) {
            return true;
        }
        if let Ok(target) = place.read_link() {
            let rest = at.join(target).join(parts.as_path());
            return links_left == 0 || passes_real(&rest, folder, links_left - 1);
        }
        at = place;
    }
    false
}

/// The path with the symlinks of its existing part resolved.
fn resolved(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_can_be_changed_on_the_way_is_found_wherever_it_leads() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().canonicalize().expect("it is there").join(name);
        for folder in ["changed/sub", "kept", "other"] {
            fs::create_dir_all(at(folder)).expect("made");
        }
        fs::write(at("other/secret"), "").expect("written");
        symlink(at("other"), at("changed/folder")).expect("linked");
        symlink(at("other/secret"), at("changed/file")).expect("linked");
        symlink(at("changed/file"), at("kept/link")).expect("linked");
        symlink("../changed", at("kept/around")).expect("linked");
        symlink("loop", at("kept/loop")).expect("linked");
        let passes = |name: &str| passes(&at(name), &at("changed"));
        for name in ["changed", "changed/file", "changed/folder/secret", "kept/link", "kept/around/sub", "kept/loop"] {
            assert!(passes(name), "{name}");
        }
        for name in ["kept", "other/secret", "kept/new", "changed/../other/secret"] {
            assert_eq!(passes(name), name.starts_with("changed"), "{name}");
        }
    }
}
