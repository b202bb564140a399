//! Keys that are fetched while the policy is in force ([`crate::feeds`]), and how what was fetched gets into the methods.

use super::Authenticator;
use super::keys::KeySet;
use super::plan::{AuthenticationPlan, KeySource};
use crate::feeds::plan::ContentKind;
use crate::feeds::{FeedPlan, Fetcher, Source, Took, plan};
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
    /// The keys that there are; none if nothing has come yet, or the issuer has withdrawn them all.
    pub(super) fn get(&self) -> Option<&KeySet> {
        match self {
            Self::Known(keys) | Self::Fetched(_, Some(keys)) => {
                Some(keys).filter(|keys| !keys.keys().is_empty())
            }
            Self::Fetched(_, None) => None,
        }
    }

    /// What may be missing for a token, if the keys are fetched.
    pub(super) const fn newer(&self) -> Option<Missing> {
        match self {
            Self::Known(_) => None,
            Self::Fetched(feed, _) => Some(Missing { feed: *feed }),
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
    pub fn take(&mut self, feed: usize, content: &[u8]) -> Result<Took, String> {
        // Each reads first, and only if all can is anything replaced.
        let keys = self.tokens.read(feed, content)?;
        let list = self.revocation.as_ref().map_or(Ok(None), |revocation| revocation.read(feed, content))?;
        let lacks: Vec<String> = keys.iter().filter_map(|(_, set)| set.lack()).collect();
        let mut same = !self.tokens.replace(feed, keys);
        if let (Some(revocation), Some(list)) = (&mut self.revocation, list) {
            revocation.replace(list);
            same = false;
        }
        Ok(Took { same, lack: lacks.into_iter().next() })
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
pub(crate) fn fetchers(all: &AuthenticationPlan) -> Result<Vec<Fetcher>, PlanError> {
    let feeds = &all.feeds;
    if feeds.len() > plan::MOST {
        let problem = format!("{} feeds; the most is {}", feeds.len(), plan::MOST);
        return Err(PlanError::new("authentication.feeds", problem));
    }
    let load = |(index, feed): (usize, &FeedPlan)| {
        let source = Source::load(feed, &format!("authentication.feeds[{index}]"))?;
        Ok(Fetcher::new(source.accepting(accepted(all, index, feed.kind)), 0))
    };
    feeds.iter().enumerate().map(load).collect()
}

/// What decides beside its bytes whether the content of a feed can be read: the algorithms of the issuers whose keys come by it,
/// or the issuers that a list may name.
fn accepted(all: &AuthenticationPlan, feed: usize, kind: ContentKind) -> String {
    let mut lines: Vec<String> = match kind {
        ContentKind::Keys => {
            let readers = all
                .jwt
                .iter()
                .filter(|jwt| matches!(jwt.keys, KeySource::Remote { feed: own } if own == feed));
            let algorithms = readers.map(|jwt| {
                let mut names: Vec<&str> = jwt.algorithms.iter().map(|algorithm| algorithm.name()).collect();
                names.sort_unstable();
                names.dedup();
                names.join(" ")
            });
            algorithms.collect()
        }
        ContentKind::Revocations => {
            let issuers = all.jwt.iter().map(|jwt| format!("{:?} {:?}", jwt.issuer, jwt.name));
            issuers.chain(all.names().map(|name| format!("{name:?}"))).collect()
        }
    };
    lines.sort_unstable();
    lines.dedup();
    lines.join("\n")
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
