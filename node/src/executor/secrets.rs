//! Service credentials: one file each, signed by the approve key, so that no other process can plant one.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use aiemp_keys::{
    CborError, CoseError, PrivacyError, Secret, Signer,
    cbor::{self, Fields},
    cose, private_file,
};
use aiemp_protocol::{ids::MeshId, roster::Roster};
use thiserror::Error;

use crate::{
    hands::{Server, ServerAt},
    home::Home,
};

const DOMAIN: &str = "aiemp-node 2026 secret";
const NAME_BYTES_MAX: usize = 64;

/// Why a credential cannot be stored or used; no text holds its value.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The name could leave the directory, or be mistaken.
    #[error("{name:?} is no name for a secret; use 1 to {NAME_BYTES_MAX} ASCII letters, digits, `_` and `-`")]
    Name {
        /// As it was given.
        name: String,
    },
    /// There is none of this name.
    #[error("there is no secret named {name}; store it with `aiemp-node secrets add {name}`")]
    Missing {
        /// Its name.
        name: String,
    },
    /// The file is not what `secrets add` writes under this name with a key of this mesh.
    #[error(
        "the secret {name} is not signed by an approver of this mesh; store it anew: `aiemp-node secrets add {name}`"
    )]
    Signature {
        /// Its name.
        name: String,
        /// What does not fit.
        source: CoseError,
    },
    /// The file is signed, but belongs under another name or holds no text.
    #[error("the secret {name} is malformed; store it anew: `aiemp-node secrets add {name}`")]
    Form {
        /// Its name.
        name: String,
    },
    /// Others can read the file, or the operating system refused.
    #[error(transparent)]
    Private(#[from] PrivacyError),
}

/// Stores a credential, replacing one of the same name; mode 0600.
pub fn add(home: &Home, approve: &Signer, mesh: MeshId, name: &str, value: &Secret<String>) -> Result<(), SecretError> {
    let path = path_of(home, name)?;
    private_file::create_private_dir(&home.secrets())?;
    let payload = cbor::encode(&cbor::array([cbor::text(name), cbor::bytes(value.expose().as_bytes())]));
    let payload = Secret::new(payload);
    let signed = Secret::new(cose::sign1(approve, DOMAIN, &[mesh.to_value()], payload.expose()));
    private_file::write_private(&path, signed.expose())?;
    Ok(())
}

/// Names of the stored credentials, sorted.
pub fn list(home: &Home) -> Result<Vec<String>, SecretError> {
    let path = home.secrets();
    let failed = |source| PrivacyError::Io { path: path.clone(), source };
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source).into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.to_str().filter(|name| is_name(name)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Removes a credential.
pub fn remove(home: &Home, name: &str) -> Result<(), SecretError> {
    let path = path_of(home, name)?;
    match fs::remove_file(&path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SecretError::Missing { name: name.to_owned() }),
        Err(source) => Err(PrivacyError::Io { path, source }.into()),
    }
}

/// Reads a credential that one of the roster's approvers signed under this name.
pub fn read(home: &Home, roster: &Roster, name: &str) -> Result<Secret<String>, SecretError> {
    let path = path_of(home, name)?;
    private_file::check_private(&home.secrets()).map_err(|error| missing_or(error, name))?;
    let bytes = private_file::read_private(&path).map_err(|error| missing_or(error, name))?;
    let payload = roster
        .by_approver(|key| cose::verify1(key, DOMAIN, &[roster.mesh.to_value()], bytes.expose()))
        .map(Secret::new)
        .map_err(|source| SecretError::Signature { name: name.to_owned(), source })?;
    value_of(payload.expose(), name).map_err(|_| SecretError::Form { name: name.to_owned() })
}

fn value_of(payload: &[u8], name: &str) -> Result<Secret<String>, CborError> {
    let mut fields = Fields::decode(payload, "secret")?;
    let stored = fields.text()?;
    let value = Secret::new(fields.bytes()?);
    if stored != name {
        return Err(fields.invalid());
    }
    let value = std::str::from_utf8(value.expose()).map_err(|_| fields.invalid())?;
    let value = Secret::new(value.to_owned());
    fields.end()?;
    Ok(value)
}

fn path_of(home: &Home, name: &str) -> Result<PathBuf, SecretError> {
    if is_name(name) { Ok(home.secrets().join(name)) } else { Err(SecretError::Name { name: name.to_owned() }) }
}

/// Whether this can name a secret: one file, and nothing that could be mistaken.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// The credentials that an MCP server gets: a program by the variables of its environment, another by their names. A dry run is shown, so it gets none.
pub fn of_server(
    home: &Home,
    roster: &Roster,
    server: &Server,
) -> Result<BTreeMap<String, Secret<String>>, SecretError> {
    let named: Vec<(&str, &str)> = match &server.at {
        _ if server.dry_run => Vec::new(),
        ServerAt::Program(program) => {
            program.env.iter().filter_map(|(variable, value)| Some((variable.as_str(), value.secret()?))).collect()
        }
        ServerAt::Address(_) => server.secrets().map(|name| (name, name)).collect(),
    };
    named.into_iter().map(|(as_what, name)| Ok((as_what.to_owned(), read(home, roster, name)?))).collect()
}

fn missing_or(error: PrivacyError, name: &str) -> SecretError {
    if error.is_io(io::ErrorKind::NotFound) { SecretError::Missing { name: name.to_owned() } } else { error.into() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use aiemp_keys::Hash;
    use aiemp_protocol::{
        roster::{Member, Quota, Role},
        time::Timestamp,
    };

    use super::*;

    fn world() -> (tempfile::TempDir, Home, Signer, Roster) {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        let approve = Signer::from_seed([2; 32]);
        let node = Signer::from_seed([3; 32]).node_id();
        let first =
            Member { node, name: "local".to_owned(), role: Role::Local, generation_min: 0, quota: Quota::default() };
        let next = Hash::of_content(b"next root");
        let root = Signer::from_seed([1; 32]);
        let roster = Roster::found(&root, next, approve.public(), first, false, Timestamp::default());
        (directory, home, approve, roster)
    }

    fn secret(value: &str) -> Secret<String> {
        Secret::new(value.to_owned())
    }

    #[test]
    fn a_secret_comes_back_until_it_is_removed() {
        let (_directory, home, approve, roster) = world();
        assert_eq!(list(&home).unwrap(), [""; 0]);
        add(&home, &approve, roster.mesh, "smtp-password", &secret("old")).unwrap();
        add(&home, &approve, roster.mesh, "smtp-password", &secret("hunter2")).unwrap();
        add(&home, &approve, roster.mesh, "API_KEY", &secret("x")).unwrap();
        assert_eq!(list(&home).unwrap(), ["API_KEY", "smtp-password"]);
        assert_eq!(read(&home, &roster, "smtp-password").unwrap().expose(), "hunter2");
        let mode = fs::metadata(home.secrets().join("API_KEY")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        remove(&home, "smtp-password").unwrap();
        let expected = "there is no secret named smtp-password; store it with `aiemp-node secrets add smtp-password`";
        assert_eq!(read(&home, &roster, "smtp-password").unwrap_err().to_string(), expected);
        assert_eq!(remove(&home, "smtp-password").unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_planted_or_renamed_secret_is_refused() {
        let (_directory, home, approve, roster) = world();
        add(&home, &Signer::from_seed([9; 32]), roster.mesh, "smtp", &secret("planted")).unwrap();
        let expected =
            "the secret smtp is not signed by an approver of this mesh; store it anew: `aiemp-node secrets add smtp`";
        assert_eq!(read(&home, &roster, "smtp").unwrap_err().to_string(), expected);
        add(&home, &approve, roster.mesh, "other", &secret("x")).unwrap();
        fs::rename(home.secrets().join("other"), home.secrets().join("smtp")).unwrap();
        let expected = "the secret smtp is malformed; store it anew: `aiemp-node secrets add smtp`";
        assert_eq!(read(&home, &roster, "smtp").unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let (_directory, home, approve, roster) = world();
        for name in ["", "../x", "a.b", "a/b", "\u{e9}", "a b", &"a".repeat(65)] {
            let error = add(&home, &approve, roster.mesh, name, &secret("x")).unwrap_err();
            assert!(matches!(error, SecretError::Name { .. }), "{error}");
        }
        let expected = "\"../x\" is no name for a secret; use 1 to 64 ASCII letters, digits, `_` and `-`";
        assert_eq!(remove(&home, "../x").unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_secret_open_to_others_is_refused() {
        let (_directory, home, approve, roster) = world();
        add(&home, &approve, roster.mesh, "smtp", &secret("x")).unwrap();
        fs::set_permissions(home.secrets().join("smtp"), fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&home, &roster, "smtp").unwrap_err();
        assert!(matches!(error, SecretError::Private(PrivacyError::Lax { .. })), "{error}");
    }
}
