//! What a core wants done, done by the world.

use std::collections::BTreeSet;

use aiemp_crdt::vault::Projection;
use aiemp_keys::NodeId;
use aiemp_node::core::{Input, Notice, Output};
use aiemp_protocol::{
    entry::ContentRef,
    ids::ContentHash,
    replication::{EffectId, Record},
};

use super::{Event, Way, World};
use crate::{Violation, brake, check, executor, replacements, standing, story};

impl World {
    pub(super) fn carry_out(&mut self, node: usize, output: Output) -> Result<(), Violation> {
        self.tell(node, || story::of_output(&output));
        let life = self.nodes[node].life;
        match output {
            Output::Persist(effect, record) => self.persist(node, effect, record)?,
            Output::KeepFreeze { bytes, .. } => brake::keep(self, node, &bytes)?,
            Output::RecordProjection { key, projection } => self.record_projection(node, key, projection),
            Output::NoteAdopted => self.nodes[node].store.enqueue_adopted(),
            Output::ForgetPayloads { gone, unwanted } => self.forget(node, &gone, &unwanted),
            Output::NoteHeldRemovals(held) => self.nodes[node].removals_held = held,
            Output::ReadEntries { effect, log, from_seq, count } => {
                let entries = self.nodes[node].store.read(log, from_seq, count);
                self.answer(node, Input::EntriesRead(effect, entries));
            }
            Output::ReadPayload { effect, hash, shared_only } => {
                let payload = self.nodes[node].store.payload(hash, shared_only);
                self.answer(node, Input::PayloadRead(effect, payload));
            }
            Output::Load { effect, base, changes, shared_only } => {
                let payloads = self.load(node, base, &changes, shared_only)?;
                self.answer(node, Input::Loaded(effect, payloads));
            }
            Output::Screen { effect, changes } => {
                let passed = changes.iter().map(|change| aiemp_crdt::vet::screen(change).is_ok()).collect();
                self.answer(node, Input::ChangesScreened(effect, passed));
            }
            Output::SendFrame { peer, frame } => self.send(node, peer, frame.into_inner())?,
            Output::ClosePeer { peer, .. } if self.network.lossy => {
                let other = self.index_of(peer);
                self.cut(node, other);
            }
            Output::ClosePeer { peer, .. } if self.is_captured(Some(peer)) => self.accusations += 1,
            Output::ClosePeer { fault, .. } => {
                return Err(format!("{} accuses an honest peer: {fault:?}", self.nodes[node].name));
            }
            Output::WriteFile { effect, path, bytes, expected } => {
                check::written(self, node, &path, &bytes)?;
                let delay = self.rng.delay_ms();
                self.mix(&bytes);
                self.nodes[node].writes_under_way += 1;
                self.after(delay, Event::Write(node, life, effect, path, bytes, expected));
            }
            Output::RemoveFile { effect, path, expected } => {
                self.nodes[node].writes_under_way += 1;
                let delay = self.rng.delay_ms();
                self.after(delay, Event::Remove(node, life, effect, path, expected));
            }
            Output::LookAt(path) => self.touched(node, path),
            Output::RemoveIntake { path, expected } => self.soon(Event::RemoveIntake(node, life, path, expected)),
            Output::AskExecutor(request) => standing::leave(self, request),
            Output::Notice(notice) => self.noticed(node, notice)?,
            Output::Answer { request, answer } => {
                self.nodes[node].answers.insert(request, answer);
                executor::answered(self, node, request)?;
            }
            Output::KeepSpending(bytes) => self.nodes[node].spending = bytes,
            Output::RunBrain { id, prompt, .. } => self.leaves(node, Way::Prompt(id), || prompt.into_inner().into()),
            Output::CallPeer { peer, body, .. } => self.say(node, Way::Call, Some(peer), body.into_inner())?,
            Output::AnswerCall { body, .. } => self.say(node, Way::Answer, None, body.into_inner())?,
            Output::RosterInstalled => {}
            Output::KeepAnnouncement { id, bytes } => drop(self.nodes[node].store.announcements.insert(id, bytes)),
            Output::KeepRosterFork { .. } => {
                return Err(format!("{} holds two rosters of one epoch", self.nodes[node].name));
            }
        }
        self.keep_committing(node);
        Ok(())
    }

    fn forget(&mut self, node: usize, gone: &BTreeSet<ContentHash>, unwanted: &BTreeSet<ContentHash>) {
        let again = self.nodes[node].store.forget(gone, unwanted);
        if !again.is_empty() {
            self.answer(node, Input::PayloadsLost(again));
        }
    }

    fn record_projection(&mut self, node: usize, key: String, projection: Option<Projection>) {
        projection.iter().for_each(|projection| replacements::shown(self, node, projection));
        self.nodes[node].store.enqueue_projection(key, projection);
    }

    fn persist(&mut self, node: usize, effect: EffectId, record: Record) -> Result<(), Violation> {
        brake::nothing_claimed(self, node, &record)?;
        replacements::nothing_unseen(self, node, &record)?;
        self.nodes[node].store.enqueue(effect, record);
        Ok(())
    }

    fn soon(&mut self, event: Event) {
        let delay = self.rng.delay_ms();
        self.after(delay, event);
    }

    /// A content and changes to it from the store. Of the changes, what nobody screened must not be among them.
    fn load(
        &self,
        node: usize,
        base: ContentHash,
        changes: &[ContentRef],
        shared_only: bool,
    ) -> Result<Vec<Option<Vec<u8>>>, Violation> {
        let store = &self.nodes[node].store;
        let changes: Vec<_> = changes.iter().map(|named| store.change(*named, shared_only)).collect();
        let refused = changes.iter().flatten().find_map(|raw| aiemp_crdt::vet::screen(raw).err());
        if let Some(why) = refused.filter(|_| !self.captured.contains(&node)) {
            return Err(format!("changes are screened first: {} decodes one: {why}", self.nodes[node].name));
        }
        Ok([store.payload(base, shared_only)].into_iter().chain(changes).collect())
    }

    /// Something leaves beside the replication stream; only who was captured calls and is answered.
    fn say(&mut self, node: usize, way: Way, to: Option<NodeId>, body: Vec<u8>) -> Result<(), Violation> {
        match to {
            Some(peer) => check::said(self, self.index_of(peer), &body)?,
            None => self.captured.iter().try_for_each(|caller| check::said(self, *caller, &body))?,
        }
        self.leaves(node, way, || body);
        Ok(())
    }

    fn noticed(&mut self, node: usize, notice: Notice) -> Result<(), Violation> {
        match notice {
            Notice::Kept { path, bytes, .. } => self.nodes[node].kept.push((path, bytes)),
            Notice::ChangeRefused { author, .. } if self.is_captured(Some(author)) => self.accusations += 1,
            Notice::Dropped { author, .. } if self.is_captured(author) => self.accusations += 1,
            Notice::Frozen { log, .. } | Notice::Waiting { log, .. } if self.is_captured(Some(log.author)) => {
                self.accusations += 1;
            }
            Notice::ChangeRefused { file, why, .. } => {
                return Err(format!("{} refuses an honest change of {file:?}: {why}", self.nodes[node].name));
            }
            Notice::Dropped { author, .. } => {
                return Err(format!("{} drops an honest change of {author:?}", self.nodes[node].name));
            }
            Notice::Frozen { log, reason } if !self.executor.hostile.contains(&log) => {
                return Err(format!("{} froze the honest {log:?}: {reason:?}", self.nodes[node].name));
            }
            Notice::Waiting { log, reason } if !self.executor.hostile.contains(&log) => {
                return Err(format!("{} does not follow the honest {log:?}: {reason:?}", self.nodes[node].name));
            }
            Notice::PayloadsLost(_)
            | Notice::MailTaken { .. }
            | Notice::ArrivalTaken { .. }
            | Notice::NotAMail { .. }
            | Notice::Held { .. }
            | Notice::ContentHeld { .. }
            | Notice::Drafted { .. }
            | Notice::Finished { .. }
            | Notice::BrainWaits { .. }
            | Notice::BrainFailed { .. }
            | Notice::SignatureAsked { .. }
            | Notice::Filed { .. }
            | Notice::BrakeChanged(_)
            | Notice::Frozen { .. }
            | Notice::Waiting { .. }
            | Notice::Restored { .. }
            | Notice::Withheld { .. } => {}
        }
        Ok(())
    }
}
