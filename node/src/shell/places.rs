//! Where home and vault may lie.

use std::path::{Path, PathBuf};

use crate::fault::Fault;

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

/// Whether a path lies in a folder, wherever it leads if it is a link.
pub fn is_within(path: &Path, folder: &Path) -> bool {
    path.parent().is_some_and(|around| resolved(around).starts_with(resolved(folder)))
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
