//! Joins once more, which causes a rebalance of the whole group.
//!
//! # A gap of krafka 0.28.1
//!
//! krafka joins once more where its subscription changes, and has no other call for it. So the subscription changes, and
//! changes back before anything is sent.
//!
//! - One sees it in krafka's `Consumer`: no method asks for a rebalance (Java has `enforceRebalance`).
//! - Once there is one, delete this file and call that.

use krafka::consumer::Consumer;

use crate::message::Topics;

/// Makes the member join once more.
pub(super) async fn rejoin(consumer: &Consumer, topics: &Topics) {
    // A member without partitions would join at once, with a topic named twice.
    if consumer.assignment().await.is_empty() {
        return;
    }
    let once: Vec<&str> = topics.names().collect();
    let twice = once.iter().chain([&topics.first()]).copied().collect();
    for names in [twice, once] {
        if let Err(error) = consumer.subscribe(names).await {
            log::warn!(topic:% = topics, cause:% = error; "subscribing to {topics} failed: {error}");
        }
    }
    consumer.wakeup();
}
