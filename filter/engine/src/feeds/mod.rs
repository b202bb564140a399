//! Feeds: content that is fetched from a cluster of the proxy while a policy is in force, such as the keys of an issuer.
//!
//! Nothing here does anything by itself: a [`Fetcher`] is handed the time, the slots that workers share
//! ([`crate::host::Host`]) and the answers, and says what to ask for and what has come. The filter asks.
//!
//! For each feed workers share records ([`record`]): a *lease* says who asks just now, a *state* how it goes and when to ask
//! again, and two slots hold the *content*; the state names the one that counts, so that no write that fails takes the last
//! good content away. The key space is fixed: four keys for each place that a policy names and what it accepts there, one
//! more for the place, and nothing that a client sends makes another. So a new bundle, a new worker and another listener find what
//! was fetched before, and through any outage what was fetched last stays in use. What a policy accepts (how large, which
//! algorithms) is part of the name, so that the troubles of one policy are not those of another; a policy that accepts
//! something else begins with what was fetched last at the place, whoever did it.
//!
//! Whatever lies there is a cache that anybody of the same `vm_id` could have written: each worker reads the content with its
//! own readers, all of it or none.
//!
//! When it is asked ([`schedule`]): before the content is as old as `refresh`, or as the `max-age` of its server if that is
//! shorter, but never more often than `min_refresh`; also for a key that nobody knows, where all workers together ask at most
//! once in `min_refresh`, also while the server is in trouble; otherwise a server in trouble is asked ever more rarely.

pub mod answer;
mod discovery;
pub mod failure;
mod fetcher;
mod judging;
mod looking;
pub mod plan;
pub mod record;
pub mod schedule;

pub use failure::{Failure, Kind};
pub use fetcher::{Fetcher, Outcome, Reader, Request, Standing};
pub use judging::Arrived;
pub use looking::{Look, Took};
pub use plan::{FeedPlan, Source};

#[cfg(test)]
mod fetcher_tests;
#[cfg(test)]
mod sharing_tests;
