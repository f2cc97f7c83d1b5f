//! A panic ends the process, unless a caller expects it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::thread;

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Makes any thread's panic end the process. A service without one of its threads would silently deliver nothing. The
/// process ends without a commit, so that its supervisor restarts it and nothing is lost.
pub fn abort() {
    set_hook(Box::new(|panic| {
        if CAUGHT.get() {
            return;
        }
        let thread = thread::current();
        let name = thread.name().unwrap_or("?").to_owned();
        log::error!(
            "bug: thread {name} panicked: {panic}; ending the process, so that it is started again"
        );
        log::logger().flush();
        std::process::abort();
    }));
}

/// Returns `None` if `work` panics: for a library's code that panics on a peer's data. Don't use what `work` borrowed after
/// that.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = CAUGHT.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(before);
    done.ok()
}
