//! Why the journal takes an approval, a settlement or a cancellation for nothing.

use std::fmt;

use super::super::policy::Breach;

/// Why an approval file was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This very approval was acted on before.
    Replayed,
    /// The action was sent, or is under way, by another approval.
    ActionTaken,
    /// The same piece of work has been answered in this way.
    WorkTaken,
    /// It was approved under another policy than the one in force.
    OtherPolicy,
    /// The policy does not allow it.
    AgainstPolicy(Breach),
    /// The settlement names no action whose end is unknown.
    NothingToSettle,
    /// The cancellation names no action that waits.
    NothingToCancel,
    /// The standing approval was removed, or is of an older roster.
    StandingEnded,
    /// As many as the standing approval allows were sent, or may have been.
    StandingUsedUp,
}

impl Refusal {
    /// The code in the audit log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::ActionTaken => "action_already_sent",
            Self::WorkTaken => "work_already_answered",
            Self::OtherPolicy => "other_policy",
            Self::AgainstPolicy(_) => "against_policy",
            Self::NothingToSettle => "nothing_to_settle",
            Self::NothingToCancel => "nothing_to_cancel",
            Self::StandingEnded => "standing_ended",
            Self::StandingUsedUp => "standing_used_up",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::AgainstPolicy(breach) = self { breach.fmt(f) } else { f.write_str(self.as_str()) }
    }
}
