//! A program that this one started, with all that it started itself.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// The processes of a program that was started in a group of its own; all of them end when this is dropped, whatever they do
/// about it.
#[derive(Debug)]
pub struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group that it leads.
    pub fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }

    /// Tells all of them to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.0 {
            // Mostly all of it has ended already.
            kill_process_group(leader, signal).ok();
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
