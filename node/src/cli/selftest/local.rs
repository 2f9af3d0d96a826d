//! The node that is attacked over a session: Local's core, with a disk that takes everything.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_crdt::vault::WriteOutcome;
use aiemp_keys::{FingerprintKey, Fingerprints};
use aiemp_protocol::{approval::standing::Request, egress::Releases, frame::Frame, replication::Room, time::Timestamp};
use anyhow::Result;

use super::mesh::Mesh;
use crate::{
    core::{Answer, Brain, Compaction, Core, Input, Limits, Output, Start},
    shell::clock,
};

/// A core, and what it wanted.
pub(super) struct Local {
    core: Core,
    /// The one payload of its store.
    payload: Vec<u8>,
    written: BTreeMap<String, Vec<u8>>,
    /// The last answer to a question.
    pub(super) answer: Option<Answer>,
    /// What the executor was asked for.
    pub(super) asked_for: Vec<Request>,
}

impl Local {
    /// A fresh one, with a session to Cloud.
    pub(super) fn start(mesh: &Mesh, payload: &[u8]) -> Result<Self> {
        let core = Core::new(Start {
            signer: mesh.local.clone(),
            rosters: mesh.rosters.clone(),
            fingerprints: Fingerprints::new(FingerprintKey::generate()?),
            releases: Releases::new(FingerprintKey::generate()?),
            brain: Brain::None,
            limits: Limits::default(),
            frozen: BTreeMap::new(),
            missing: BTreeSet::new(),
            room: Room::default(),
            ended_well: true,
            removals_held: false,
            compaction: Compaction::default(),
            disclosure: None,
            last_there: None,
            banks: Vec::new(),
            has_adopted: true,
        });
        let payload = payload.to_vec();
        let mut local = Self { core, payload, written: BTreeMap::new(), answer: None, asked_for: Vec::new() };
        local.handle(clock::now(), Input::Restored);
        local.handle(clock::now(), Input::PeerConnected(mesh.cloud.node_id()));
        Ok(local)
    }

    /// Takes a frame from Cloud.
    pub(super) fn receive(&mut self, mesh: &Mesh, frame: Frame) {
        self.handle(clock::now(), Input::FrameReceived { peer: mesh.cloud.node_id(), frame });
    }

    /// What the person sees at a path.
    pub(super) fn shown(&self, path: &str) -> Option<&[u8]> {
        self.written.get(path).map(Vec::as_slice)
    }

    /// Hands an input in and does what the core wants.
    pub(super) fn handle(&mut self, now: Timestamp, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.core.handle(now, input);
            while let Some(output) = self.core.poll_output() {
                if let Output::Persist(effect, _) = output {
                    inputs.push(Input::Persisted(effect));
                } else if let Output::Load { effect, changes, .. } = output {
                    inputs.push(Input::Loaded(effect, vec![Some(self.payload.clone()); 1 + changes.len()]));
                } else if let Output::WriteFile { effect, path, bytes, .. } = output {
                    self.written.insert(path.to_string(), bytes);
                    inputs.push(Input::FileWritten(effect, WriteOutcome::Written));
                } else if let Output::Answer { answer, .. } = output {
                    self.answer = Some(answer);
                } else if let Output::AskExecutor(request) = output {
                    self.asked_for.push(*request);
                }
            }
        }
    }
}
