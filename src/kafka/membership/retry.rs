//! How what failed is tried again.

use std::time::Duration;

use crate::base::backoff::{Retry, grows};

pub(super) const RETRY_FIRST: Duration = Duration::from_millis(200);
pub(super) const RETRY_MOST: Duration = Duration::from_secs(2);
const _: () = grows(RETRY_FIRST, RETRY_MOST);

/// Logs, now and then, what failed, and waits before the next try.
pub(super) async fn wait(retry: &mut Retry, why: &str) {
    let wait = retry.failed(why, |why| {
        log::error!(cause = why; "{why}. Trying again until it works");
    });
    tokio::time::sleep(wait).await;
}
