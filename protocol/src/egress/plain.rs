//! The plain way to look at a text, without what only saves time: what both ways find is compared.

use std::cell::Cell;

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
}

/// Whether every place is to be looked at in full.
pub(super) fn is_on() -> bool {
    IS_ON.get()
}

/// Does `work` the plain way.
pub(super) fn plainly<T>(work: impl FnOnce() -> T) -> T {
    IS_ON.set(true);
    let done = work();
    IS_ON.set(false);
    done
}
