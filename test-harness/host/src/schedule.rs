//! Workers that race, in an order that a seed decides.
//!
//! Envoy's workers run at the same time and meet in shared data and shared queues only. Here each has a thread of its own,
//! but one at a time holds the turn: before each call to shared data or to a queue the turn may go to any other, as
//! the seed draws. The same seed over the same jobs gives the same order, whatever the machine does.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::environment::lock;
use crate::random::Random;

/// The calls before which the turn may change.
const CROSSINGS: [&str; 6] = [
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_dequeue_shared_queue",
];

pub(crate) fn is_crossing(function: &str) -> bool {
    CROSSINGS.contains(&function)
}

/// Who has the turn.
#[derive(Debug)]
pub(crate) struct Race {
    turns: Mutex<Turns>,
    changed: Condvar,
}

#[derive(Debug)]
struct Turns {
    random: Random,
    racing: Vec<usize>,
    current: Option<usize>,
}

impl Turns {
    fn draw(&mut self) {
        let drawn = self.random.below(self.racing.len() as u64);
        self.current = usize::try_from(drawn).ok().and_then(|place| self.racing.get(place)).copied();
    }
}

impl Race {
    /// A race of this many, counted from zero. All take part from the beginning, so that the first turn does not depend
    /// on whose thread starts first.
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        let mut turns = Turns { random: Random::new(seed), racing: (0..count).collect(), current: None };
        turns.draw();
        Self { turns: Mutex::new(turns), changed: Condvar::new() }
    }

    /// Waits for the first turn. The turn ends for good when what this gives is dropped, by a panic too.
    pub(crate) fn enter(&self, who: usize) -> Turn<'_> {
        self.wait(who);
        Turn { race: self, who }
    }

    /// Lets the turn go to anybody, and waits until it is back.
    pub(crate) fn pass(&self, who: usize) {
        {
            let mut turns = lock(&self.turns);
            if turns.current != Some(who) {
                return;
            }
            turns.draw();
        }
        self.changed.notify_all();
        self.wait(who);
    }

    fn wait(&self, who: usize) {
        let mut turns = lock(&self.turns);
        while turns.current != Some(who) {
            turns = self.changed.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The part of one in a race.
pub(crate) struct Turn<'a> {
    race: &'a Race,
    who: usize,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        {
            let mut turns = lock(&self.race.turns);
            turns.racing.retain(|other| *other != self.who);
            turns.draw();
        }
        self.race.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64) -> Vec<usize> {
        let race = Race::new(seed, 3);
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for who in 0..3 {
                let (race, order) = (&race, &order);
                scope.spawn(move || {
                    let _turn = race.enter(who);
                    for _ in 0..5 {
                        lock(order).push(who);
                        race.pass(who);
                    }
                });
            }
        });
        order.into_inner().expect("nobody panicked")
    }

    #[test]
    fn the_seed_decides_the_order_and_everybody_gets_through() {
        let orders: Vec<Vec<usize>> = (0..20).map(order).collect();
        for (seed, one) in (0..20).zip(&orders) {
            assert_eq!(order(seed), *one, "seed {seed}");
            assert!((0..3).all(|who| one.iter().filter(|other| **other == who).count() == 5));
        }
        assert!(orders.iter().any(|one| *one != orders[0]));
    }

    #[test]
    fn one_that_panics_leaves_the_turn_to_the_others() {
        let race = Race::new(1, 2);
        std::thread::scope(|scope| {
            let lost = scope.spawn(|| {
                let _turn = race.enter(0);
                std::panic::resume_unwind(Box::new("lost"));
            });
            scope.spawn(|| {
                let _turn = race.enter(1);
                race.pass(1);
            });
            assert!(lost.join().is_err());
        });
    }
}
