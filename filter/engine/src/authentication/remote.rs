//! Keys that are fetched while the policy is in force ([`crate::feeds`]), and how what was fetched gets into the methods.

use super::Authenticator;
use super::keys::KeySet;
use crate::feeds::plan::ContentKind;
use crate::feeds::{FeedPlan, Fetcher, Source, plan};
use crate::pipeline::Missing;
use crate::plan::PlanError;

/// The keys of an issuer, which may still have to come.
#[derive(Debug)]
pub(super) enum Keys {
    /// They came with the plan.
    Known(KeySet),
    /// They come by this feed; nothing has come yet, or the last good set is here.
    Fetched(usize, Option<KeySet>),
}

impl Keys {
    /// The keys that there are.
    ///
    /// # Errors
    /// What is missing, if nothing has come yet.
    pub(super) const fn get(&self) -> Result<&KeySet, Missing> {
        match self {
            Self::Known(keys) | Self::Fetched(_, Some(keys)) => Ok(keys),
            Self::Fetched(feed, None) => Err(Missing { feed: *feed, all: true }),
        }
    }

    /// What may be missing where there are keys, but none for some token.
    pub(super) const fn newer(&self) -> Option<Missing> {
        match self {
            Self::Known(_) => None,
            Self::Fetched(feed, _) => Some(Missing { feed: *feed, all: false }),
        }
    }

    /// Whether they come by this feed.
    pub(super) fn are_from(&self, feed: usize) -> bool {
        matches!(self, Self::Fetched(own, _) if *own == feed)
    }
}

impl Authenticator {
    /// Takes over the content of a feed, new to this worker: all who read it take it, or nobody does.
    ///
    /// # Errors
    /// What is wrong with it. Whatever was taken over before stays.
    pub fn take(&mut self, feed: usize, content: &[u8]) -> Result<(), String> {
        // Each reads first, and only if all can is anything replaced.
        let keys = self.tokens.read(feed, content)?;
        let list = self.revocation.as_ref().map_or(Ok(None), |revocation| revocation.read(feed, content))?;
        self.tokens.replace(feed, keys);
        if let (Some(revocation), Some(list)) = (&mut self.revocation, list) {
            revocation.replace(list);
        }
        Ok(())
    }

    /// How many entries of what a feed brought are about nobody.
    pub fn left_out(&self, feed: usize) -> usize {
        self.revocation.as_ref().map_or(0, |revocation| revocation.left_out(feed))
    }
}

/// The feeds of a plan, made ready.
///
/// # Errors
/// When one makes no sense, or there are too many.
pub(crate) fn fetchers(feeds: &[FeedPlan]) -> Result<Vec<Fetcher>, PlanError> {
    if feeds.len() > plan::MOST {
        let problem = format!("{} feeds; the most is {}", feeds.len(), plan::MOST);
        return Err(PlanError::new("authentication.feeds", problem));
    }
    let load = |(index, feed): (usize, &FeedPlan)| {
        let source = Source::load(feed, &format!("authentication.feeds[{index}]"))?;
        Ok(Fetcher::new(source, 0))
    };
    feeds.iter().enumerate().map(load).collect()
}

/// Checks that there is such a feed, and that it is of this kind.
pub(super) fn check(
    feeds: &[FeedPlan],
    feed: usize,
    kind: ContentKind,
    place: &str,
) -> Result<(), PlanError> {
    match feeds.get(feed) {
        Some(plan) if plan.kind == kind => Ok(()),
        Some(_) => Err(PlanError::new(place, format!("feed {feed} is of another kind"))),
        None => Err(PlanError::new(place, format!("there is no feed {feed}"))),
    }
}
