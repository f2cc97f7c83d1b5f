//! Asks several brokers at once, and waits for the slow ones only for so long.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How much longer than the first broker that answered the others may take.
const BEHIND: Duration = Duration::from_secs(2);

/// Runs all of them at once. Those that take much longer than the first one that was well are given up, and nothing comes back
/// of them.
pub async fn together<B, T>(
    asks: Vec<impl Future<Output = (B, Result<T, String>)> + Send + 'static>,
) -> Vec<(B, Result<T, String>)>
where
    B: Send + 'static,
    T: Send + 'static,
{
    within(BEHIND, asks).await
}

async fn within<B, T>(
    behind: Duration,
    asks: Vec<impl Future<Output = (B, Result<T, String>)> + Send + 'static>,
) -> Vec<(B, Result<T, String>)>
where
    B: Send + 'static,
    T: Send + 'static,
{
    let mut running: JoinSet<_> = asks.into_iter().collect();
    let mut answers = Vec::new();
    let mut until = None;
    loop {
        let next = match until {
            None => running.join_next().await,
            Some(until) => match timeout_at(until, running.join_next()).await {
                Ok(next) => next,
                Err(_) => {
                    log::debug!(
                        "{} brokers take more than {behind:?} longer than another one",
                        running.len()
                    );
                    return answers;
                }
            },
        };
        let Some(next) = next else {
            return answers;
        };
        // A panic ends the process.
        let Ok(answer) = next else { continue };
        if answer.1.is_ok() {
            until.get_or_insert_with(|| Instant::now() + behind);
        }
        answers.push(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    type Answer = (&'static str, Result<u32, String>);

    fn run(
        behind: Duration,
        asks: Vec<std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>>,
    ) -> Vec<Answer> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.expect("a runtime").block_on(within(behind, asks))
    }

    #[test]
    fn one_that_waits_for_another_one_shows_that_all_run_at_once() {
        let (tell, told) = oneshot::channel();
        let answers = run(
            Duration::from_secs(60),
            vec![
                Box::pin(async move { ("a", told.await.map_err(|error| error.to_string())) }),
                Box::pin(async move {
                    let _ = tell.send(7);
                    ("b", Ok(1))
                }),
            ],
        );
        assert_eq!(answers.len(), 2);
        assert!(answers.contains(&("a", Ok(7))), "{answers:?}");
    }

    #[test]
    fn one_that_never_answers_is_given_up_when_another_one_did() {
        let answers = run(
            Duration::from_millis(10),
            vec![
                Box::pin(std::future::pending()),
                Box::pin(async { ("b", Ok(1)) }),
            ],
        );
        assert_eq!(answers, [("b", Ok(1))]);
    }

    #[test]
    fn one_that_fails_gives_up_nobody() {
        let (tell, told) = oneshot::channel();
        let answers = run(
            Duration::ZERO,
            vec![
                Box::pin(async move {
                    let _ = tell.send(());
                    ("a", Err("gone".to_owned()))
                }),
                Box::pin(async move {
                    let _ = told.await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    ("b", Ok(1))
                }),
            ],
        );
        assert_eq!(answers.len(), 2, "{answers:?}");
    }
}
