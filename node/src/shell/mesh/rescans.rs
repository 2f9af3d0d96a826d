//! Scans of the whole vault: one at a time.

/// Whether one is under way.
#[derive(Debug, Default)]
pub(super) enum Rescans {
    #[default]
    Idle,
    Busy,
    /// What the one under way has read already may have changed since: another follows it.
    BusyAndAsked,
}

impl Rescans {
    /// One is asked for; whether it starts now.
    pub(super) fn ask(&mut self) -> bool {
        let starts = matches!(self, Self::Idle);
        *self = if starts { Self::Busy } else { Self::BusyAndAsked };
        starts
    }

    /// The one under way ended; whether the next starts now.
    pub(super) fn end(&mut self) -> bool {
        let follows = matches!(self, Self::BusyAndAsked);
        *self = if follows { Self::Busy } else { Self::Idle };
        follows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_asked_for_during_another_follows_it_once() {
        let mut rescans = Rescans::default();
        assert!(rescans.ask());
        assert!(!rescans.ask() && !rescans.ask(), "one at a time");
        assert!(rescans.end(), "what came too late for the first is seen by the second");
        assert!(!rescans.ask());
        assert!(rescans.end());
        assert!(!rescans.end(), "nobody asked");
        assert!(rescans.ask());
    }
}
