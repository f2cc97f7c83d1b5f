use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::message::call::Call;

fn delivery(key: u64, target: Target) -> Delivery {
    Delivery {
        key: OrderingKey(key),
        target,
        call: Call::default(),
    }
}

/// Each worker that has a part, and the Comets that it delivers to.
fn handed(sharing: Sharing, key: u64, target: Target) -> Vec<(usize, Vec<usize>)> {
    let mut parts = Vec::new();
    sharing.hand_out(delivery(key, target), |worker, delivery, _| {
        let own: Vec<usize> = sharing.comets_of(worker).collect();
        parts.push(match delivery.target {
            Target::All => (worker, own),
            Target::One(n) => (worker, vec![own[n]]),
        });
    });
    parts
}

#[test]
fn few_comets_are_everybodys_and_many_are_shared() {
    for (workers, comets, members) in [
        (4, 1, 1),
        (4, 16, 1),
        (4, 17, 2),
        (4, 32, 2),
        (4, 64, 4),
        (4, 1000, 4),
        (1, 64, 1),
        (5, 64, 5),
        (3, 30, 3),
        (64, 3, 2),
        (67, 3, 1),
    ] {
        let sharing = Sharing::new(workers, comets);
        assert_eq!(
            sharing.members, members,
            "{workers} workers, {comets} Comets"
        );
    }
}

proptest! {
    #[test]
    fn each_comet_gets_a_message_once_and_a_key_has_one_worker_for_each_comet(
        workers in 1usize..=64,
        comets in 1usize..=128,
        key in any::<u64>(),
        one in any::<prop::sample::Index>(),
    ) {
        let sharing = Sharing::new(workers, comets);
        let parts = handed(sharing, key, Target::All);
        let mut reached: Vec<usize> = parts.iter().flat_map(|(_, own)| own.clone()).collect();
        reached.sort_unstable();
        prop_assert_eq!(reached, (0..comets).collect::<Vec<_>>());
        let busy: BTreeSet<usize> = parts.iter().map(|(worker, _)| *worker).collect();
        prop_assert_eq!(busy.len(), parts.len());
        for (worker, own) in &parts {
            prop_assert!(*worker < workers && !own.is_empty());
            prop_assert!(own.len() <= sharing.comets_each());
        }

        let comet = one.index(comets);
        let named = handed(sharing, key, Target::One(comet));
        prop_assert_eq!(named.len(), 1);
        prop_assert_eq!(&named[0].1, &vec![comet]);
        // The same one that has it for messages to all: so the key's order holds there.
        let has_it = |(_, own): &&(usize, Vec<usize>)| own.contains(&comet);
        prop_assert_eq!(Some(named[0].0), parts.iter().find(has_it).map(|part| part.0));
    }

    #[test]
    fn every_worker_calls_some_comet(workers in 1usize..=64, comets in 1usize..=128) {
        let sharing = Sharing::new(workers, comets);
        let mut calls = vec![0; comets];
        for worker in 0..workers {
            prop_assert!(sharing.comets_of(worker).count() > 0);
            sharing.comets_of(worker).for_each(|comet| calls[comet] += 1);
        }
        prop_assert!(calls.iter().all(|workers| *workers == sharing.workers_each()));
    }
}
