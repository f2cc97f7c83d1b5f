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

/// Makes the member join once more.
pub(super) async fn rejoin(consumer: &Consumer, topic: &str) {
    // A member without partitions would join at once, with the topic named twice.
    if consumer.assignment().await.is_empty() {
        return;
    }
    for topics in [&[topic, topic][..], &[topic]] {
        if let Err(error) = consumer.subscribe(topics).await {
            log::warn!(topic, cause:% = error; "subscribing to {topic} failed: {error}");
        }
    }
    consumer.wakeup();
}
