//! What a panic does: it ends the process, but where somebody is prepared for it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::thread;

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// A thread that is gone would leave its messages undelivered and unseen. The process ends instead, without a
/// commit, so that whoever supervises it starts it again and nothing is lost.
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

/// What `work` returns, or `None` where it panics: for a library's code that does so on what a peer sends. What `work` had
/// hold of isn't to be used after that.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = CAUGHT.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(before);
    done.ok()
}
