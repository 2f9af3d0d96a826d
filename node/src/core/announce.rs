//! A2A between the nodes: a draft is announced as a task; the task stands as the draft does. No call decides anything.

use aiemp_keys::{Hash, NodeId, cbor};
use aiemp_protocol::{
    a2a::{Announcement, Standing, binding::withheld_answer, task_id},
    approval::Outcome,
    ids::{ActionHash, FileId, WorkId},
    roster::Role,
    time::Timestamp,
    zone::Zone,
};

use super::{
    Core,
    output::{Notice, Output},
    work::is_in,
};

impl Core {
    /// Tells every Local member of a draft that this node made. A member that is away hears of it later.
    pub(super) fn announce(&mut self, file: FileId) {
        let author = self.vault.index().get(file).and_then(|record| record.base.writes().next());
        if author.map(|(origin, _)| origin.author()) != Some(self.work.me) || self.work.role == Role::Local {
            return;
        }
        let work = self.work_of_draft(file);
        let announcement = Announcement { file, work, action: None };
        let Ok(body) = announcement.to_call() else { return };
        let id = announcement.message_id();
        let roster = self.replication.rosters().current();
        let locals: Vec<_> =
            roster.members.iter().filter(|member| member.role == Role::Local).map(|member| member.node).collect();
        for peer in locals {
            match self.guard.clear_bytes(body.clone()) {
                Ok(body) => self.outputs.push_back(Output::CallPeer { peer, id: id.clone(), body }),
                Err(why) => self.notice(Notice::Withheld { peer, why }),
            }
        }
    }

    /// The work that a draft belongs to: the claimed one whose draft it is, else the draft itself.
    fn work_of_draft(&self, file: FileId) -> WorkId {
        self.work.drafts.get(&file).copied().unwrap_or(WorkId(aiemp_protocol::action::action_id(file)))
    }

    pub(super) fn called(&mut self, now: Timestamp, request: u64, peer: NodeId, body: &[u8]) {
        let mut desk = std::mem::take(&mut self.desk);
        let (answer, news) = desk.handle_call(peer, now, body, &|file| self.standing_of(file));
        self.desk = desk;
        if let Some(announcement) = news {
            let bytes = cbor::encode(&cbor::array([
                peer.to_value(),
                cbor::uint(now.as_millis()),
                announcement.file.to_value(),
                announcement.work.to_value(),
                cbor::option(announcement.action.map(|action| action.to_value())),
            ]));
            // One row for a member and draft, however often it is announced.
            let id = format!("{peer} {}", task_id(announcement.file));
            self.outputs.push_back(Output::KeepAnnouncement { id, bytes });
        }
        // What a caller sent may stand in the answer; the call is answered anyhow, for whoever asked waits.
        let cleared = self.guard.clear_bytes(answer).or_else(|why| {
            self.notice(Notice::Withheld { peer, why });
            self.guard.clear_bytes(withheld_answer(now))
        });
        if let Ok(body) = cleared {
            self.outputs.push_back(Output::AnswerCall { request, body });
        }
    }

    /// Takes back what `KeepAnnouncement` kept; what does not read is left out, for its node announces again.
    pub fn restore_announcement(&mut self, bytes: &[u8]) {
        if let Some((from, at, announcement)) = read_kept(bytes) {
            self.desk.announced(&announcement, from, at);
        }
    }

    /// Where a draft stands, from registers and receipts.
    fn standing_of(&self, file: FileId) -> Standing {
        if let Some(receipt) = self.newest_receipt(file) {
            return match receipt.outcome {
                Outcome::Accepted => Standing::Accepted,
                Outcome::Sent => Standing::Sent,
                Outcome::Failed => Standing::Failed,
                Outcome::Unknown => Standing::Unknown,
            };
        }
        let gone = self.vault.index().get(file).is_some() && !self.vault.is_in_sight(file);
        let rejected = self.path_of(file.moved_to(Zone::Owner)).is_some_and(|path| is_in(&path, "rejected"));
        match (gone, rejected) {
            (_, true) => Standing::Rejected,
            (true, false) => Standing::Gone,
            // Not here yet, or here and undecided.
            (false, false) => Standing::Waiting,
        }
    }
}

fn read_kept(bytes: &[u8]) -> Option<(NodeId, Timestamp, Announcement)> {
    let mut fields = cbor::Fields::decode(bytes, "kept announcement").ok()?;
    let from = NodeId::read(&mut fields).ok()?;
    let at = Timestamp::from_millis(fields.uint().ok()?);
    let file = FileId::read(&mut fields).ok()?;
    let work = WorkId::read(&mut fields).ok()?;
    let action = match fields.optional().ok()? {
        Some(value) => Some(ActionHash(Hash::from_bytes(value.into_bytes().ok()?.try_into().ok()?))),
        None => None,
    };
    fields.end().ok()?;
    Some((from, at, Announcement { file, work, action }))
}
