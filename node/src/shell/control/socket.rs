//! The socket itself, made with its mode: behind the wall no process changes the mode of what a path leads to.

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixListener},
    },
    path::Path,
};

use rustix::{
    fs::{Mode, fchmod},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
    process::umask,
};

/// Callers that the kernel keeps waiting.
const BACKLOG: i32 = 128;

/// Listens at `path` with this mode, in the place of a socket whose node died.
pub(super) fn listener(path: &Path, mode: u32) -> io::Result<tokio::net::UnixListener> {
    std::fs::remove_file(path).ok();
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // What is bound takes the mode of the socket, less the mask.
    fchmod(&socket, Mode::from_raw_mode(mode))?;
    let before = umask(Mode::WOTH);
    let bound = bind(&socket, &SocketAddrUnix::new(path)?);
    umask(before);
    bound?;
    let made = std::fs::symlink_metadata(path)?.permissions().mode() & 0o7777;
    if made != mode {
        return Err(io::Error::other(format!("its mode is {made:o} instead of {mode:o}")));
    }
    listen(&socket, BACKLOG)?;
    tokio::net::UnixListener::from_std(UnixListener::from(socket))
}
