//! Whether the mesh is frozen, as the executor itself sees it.
//!
//! Records come from two sides: those of this home's own commands through `approved/`, where the mesh cannot take them
//! away, and those of other nodes through the mesh. The executor keeps what it has seen in a folder that is its own.

use aiemp_keys::NodeId;
use aiemp_protocol::{freeze::Freezes, roster::Roster};

use crate::{fault::causes, home::Home, shell::freezes};

/// The brake.
#[derive(Debug)]
pub(super) struct Brake {
    home: Home,
    me: NodeId,
    freezes: Freezes,
    /// What it said last.
    was_on: bool,
}

impl Brake {
    /// As it stood when the executor ended.
    pub(super) fn load(home: &Home, me: NodeId, roster: &Roster) -> anyhow::Result<Self> {
        Ok(Self { home: home.clone(), me, freezes: freezes::load(&home.executor_freezes(), roster)?, was_on: false })
    }

    /// Whether nothing may be sent now. What cannot be read counts as a freeze.
    pub(super) fn is_on(&mut self, roster: &Roster) -> bool {
        let told = freezes::read_all(&self.home.freezes())
            .and_then(|records| records.iter().try_for_each(|bytes| self.accept(roster, bytes)));
        if let Err(error) = &told {
            tracing::error!(error = causes(error), "cannot tell whether the mesh is frozen: nothing is sent");
        }
        let frozen = told.is_err() || self.freezes.stop(roster, self.me);
        if frozen != self.was_on {
            tracing::warn!(frozen, "the mesh was {}", if frozen { "frozen" } else { "let go on" });
        }
        self.was_on = frozen;
        frozen
    }

    /// Takes in one record; what does not verify stops and lifts nothing.
    pub(super) fn accept(&mut self, roster: &Roster, bytes: &[u8]) -> anyhow::Result<()> {
        match self.freezes.accept(roster, bytes) {
            Ok(Some(record)) => freezes::keep(&self.home.executor_freezes(), record, bytes),
            Ok(None) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "a freeze record says nothing");
                Ok(())
            }
        }
    }
}
