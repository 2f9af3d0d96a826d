//! A member gone bad: whoever holds Cloud's key says everything that the protocol lets it say, and much that it does
//! not, to a real Local node. Each case names what Local has to answer it with; afterwards Local is as it was, and the
//! true Cloud goes on.

mod attack;
mod calls;
mod changes;
mod entries;
mod forge;
mod paths;
mod payloads;
mod peer;
mod quota;
mod rosters;
mod session;
mod wire;
mod zones;

use attack::Attack;

/// What a case does. What it can see of Local's answer by itself, it asserts by itself.
type Send = Box<dyn Fn(&mut Attack)>;

struct Case {
    name: String,
    send: Send,
    expect: Expect,
}

impl Case {
    fn new(name: impl Into<String>, expect: Expect, send: impl Fn(&mut Attack) + 'static) -> Self {
        Self { name: name.into(), send: Box::new(send), expect }
    }
}

/// What Local does about it.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// It ends the session, and a line of its log has this.
    Closed(&'static str),
    /// There is no session, or none any more, and nothing to tell.
    Cut,
    /// It takes the log for invalid from then on, with this reason.
    Frozen(&'static str),
    /// It does not follow the log for now, for this reason.
    Waits(&'static str),
    /// It does not apply the change: a line of its log has this.
    Refused(&'static str),
    /// It goes on as if nothing was said.
    Ignored,
}

#[test]
fn streams_and_frames() {
    Attack::start("").run("wire", &wire::cases()).run("session", &session::cases()).run("calls", &calls::cases()).end();
}

#[test]
fn entries_in_their_logs() {
    Attack::start("").run("entries", &entries::cases()).end();
}

#[test]
fn payloads_and_rosters() {
    Attack::start("").run("payloads", &payloads::cases()).run("rosters", &rosters::cases()).end();
}

#[test]
fn zones_and_paths() {
    Attack::start("").run("zones", &zones::cases()).run("paths", &paths::cases()).end();
}

#[test]
fn changes_of_notes() {
    Attack::start("").run("changes", &changes::cases()).end();
}

#[test]
fn more_than_there_is_room_for() {
    Attack::start("[admission]\nfiles_per_member = 20\nmegabytes_per_member = 2\n").run("quota", &quota::cases()).end();
}
