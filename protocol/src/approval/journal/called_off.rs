//! What a person does not want sent any more.
//!
//! What was not handed over yet fails at once. What was, cannot be called back; if it turns out that it was not sent, it
//! fails then, and is not tried again.

use std::collections::BTreeSet;

use super::{Journal, Nonce, Output, Refusal, Row, State};
use crate::{approval::standing::StandingId, ids::ActionHash};

/// Standing approvals that ended, and rows that were cancelled while a hand had them.
#[derive(Debug, Default)]
pub(super) struct CalledOff {
    standing: BTreeSet<StandingId>,
    rows: BTreeSet<Nonce>,
}

impl Journal {
    /// With the standing approvals that ended in earlier runs.
    #[must_use]
    pub fn after_end_of(mut self, standing: impl IntoIterator<Item = StandingId>) -> Self {
        self.called_off.standing.extend(standing);
        self
    }

    /// Whether nothing is sent any more under this standing approval.
    pub fn has_ended(&self, standing: StandingId) -> bool {
        self.called_off.standing.contains(&standing)
    }

    /// Whether a hand has an action now, so that nobody knows yet whether it can be cancelled.
    pub fn is_under_way(&self, action: ActionHash) -> bool {
        self.rows.values().any(|row| row.state == State::Dispatching && row.verified.decision.action == action)
    }

    /// Why a row is not wanted any more.
    pub fn why_called_off(&self, row: &Row) -> Option<&'static str> {
        if row.verified.standing.as_ref().is_some_and(|standing| self.has_ended(standing.id)) {
            return Some("its standing approval ended before it was sent");
        }
        self.called_off.rows.contains(&row.verified.decision.nonce).then_some("cancelled before it was sent")
    }

    pub(super) fn standing_ended(&mut self, standing: StandingId) {
        self.called_off.standing.insert(standing);
    }

    pub(super) fn cancelled(&mut self, action: ActionHash) {
        let waits = |row: &&Row| {
            matches!(row.state, State::Reserved | State::Dispatching) && row.verified.decision.action == action
        };
        let waiting: Vec<_> = self.rows.values().filter(waits).map(|row| row.verified.decision.nonce).collect();
        let last =
            self.rows.values().filter(|row| row.verified.decision.action == action).max_by_key(|row| row.changed);
        let is_cancelled =
            |row: &Row| row.state == State::Failed && self.called_off.rows.contains(&row.verified.decision.nonce);
        if waiting.is_empty() && !last.is_some_and(is_cancelled) {
            self.outputs.push_back(Output::Refuse { action, why: Refusal::NothingToCancel });
        }
        self.called_off.rows.extend(waiting);
    }

    /// Fails what waits and is not wanted, also what was on its way and came back.
    pub(super) fn fail_where_called_off(&mut self) {
        let waiting = self.rows.values().filter(|row| row.state == State::Reserved);
        let called_off = waiting.filter_map(|row| Some((row.verified.decision.nonce, self.why_called_off(row)?)));
        for (nonce, why) in called_off.collect::<Vec<_>>() {
            self.change(nonce, State::Failed, why.to_owned());
        }
    }
}
