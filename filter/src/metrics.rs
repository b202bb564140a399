//! Counters and gauges. Their number and names are fixed, whatever clients or servers send.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bartizan_engine::delivery::Kind;
use bartizan_engine::feeds;
use bartizan_engine::reason::Reason;

use crate::host::{self, Metric};

/// What is shown of the bundle that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gauge {
    Revision,
    AgeSeconds,
    LastSuccess,
    Expired,
}

/// What is counted of following.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Poll,
    Change,
    Refused(Kind),
}

/// What is shown of feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FeedGauge {
    /// How long ago the oldest content was last known to be good, in seconds.
    Age,
    /// How many feeds have given nothing that can be used.
    Missing,
}

/// What is counted of feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// A request was sent, or was to be.
    Fetch,
    /// An attempt because of a key that nobody knows.
    ForUnknown,
    Change,
    Refused(feeds::Kind),
}

/// A gauge, its number, and its value as this VM saw it last.
type Shown<G> = (G, u32, Cell<Option<u64>>);

/// The metrics of a VM.
#[derive(Default)]
pub(crate) struct Metrics {
    refused: RefCell<Vec<(Reason, u32)>>,
    events: RefCell<Vec<(Event, u32)>>,
    gauges: RefCell<Vec<Shown<Gauge>>>,
    feeds: RefCell<Vec<(Feed, u32)>>,
    feed_gauges: RefCell<Vec<Shown<FeedGauge>>>,
}

impl Metrics {
    /// The metrics of this VM. Envoy gives a further id each time a name is defined, and keeps all of them as
    /// long as the VM lives: so they are defined once and not with each configuration.
    pub(crate) fn of_vm() -> Rc<Self> {
        thread_local! {
            static METRICS: Rc<Metrics> = Rc::default();
        }
        METRICS.with(|metrics| {
            metrics.define();
            metrics.clone()
        })
    }

    /// Defines those that are not there yet.
    fn define(&self) {
        let named = Reason::ALL.iter().map(|reason| (*reason, reason.code().to_owned()));
        define_counters(&self.refused, "bartizan.refused", named);
    }

    /// Defines those of following that are not there yet.
    pub(crate) fn define_following(&self) {
        let named = [(Event::Poll, "polls".to_owned()), (Event::Change, "changes".to_owned())];
        let refused = Kind::all().map(|kind| (Event::Refused(kind), format!("refused.{}", kind.code())));
        define_counters(&self.events, "bartizan.bundle", named.into_iter().chain(refused));
        let gauges = [
            (Gauge::Revision, "revision"),
            (Gauge::AgeSeconds, "age_seconds"),
            (Gauge::LastSuccess, "last_success"),
            (Gauge::Expired, "expired"),
        ];
        define_gauges(&self.gauges, "bartizan.bundle", gauges);
    }

    /// Defines those of feeds that are not there yet.
    pub(crate) fn define_feeds(&self) {
        let named = [
            (Feed::Fetch, "fetches".to_owned()),
            (Feed::ForUnknown, "unknown_kid_refetches".to_owned()),
            (Feed::Change, "changes".to_owned()),
        ];
        let refused =
            feeds::Kind::ALL.iter().map(|kind| (Feed::Refused(*kind), format!("refused.{}", kind.code())));
        define_counters(&self.feeds, "bartizan.keys", named.into_iter().chain(refused));
        let gauges = [(FeedGauge::Age, "age_seconds"), (FeedGauge::Missing, "missing")];
        define_gauges(&self.feed_gauges, "bartizan.keys", gauges);
    }

    pub(crate) fn refused(&self, reason: Reason) {
        count(&self.refused, reason);
    }

    pub(crate) fn count(&self, event: Event) {
        count(&self.events, event);
    }

    pub(crate) fn count_feed(&self, feed: Feed) {
        count(&self.feeds, feed);
    }

    pub(crate) fn show(&self, gauge: Gauge, value: u64) {
        show(&self.gauges, gauge, value);
    }

    pub(crate) fn show_feed(&self, gauge: FeedGauge, value: u64) {
        show(&self.feed_gauges, gauge, value);
    }
}

fn define_counters<C: PartialEq>(
    counters: &RefCell<Vec<(C, u32)>>,
    prefix: &str,
    named: impl Iterator<Item = (C, String)>,
) {
    let Ok(mut counters) = counters.try_borrow_mut() else { return };
    for (counter, name) in named {
        if counters.iter().all(|(known, _)| *known != counter)
            && let Ok(id) = host::define(Metric::Counter, &format!("{prefix}.{name}"))
        {
            counters.push((counter, id));
        }
    }
}

fn define_gauges<G: PartialEq>(
    gauges: &RefCell<Vec<Shown<G>>>,
    prefix: &str,
    named: impl IntoIterator<Item = (G, &'static str)>,
) {
    let Ok(mut gauges) = gauges.try_borrow_mut() else { return };
    for (gauge, name) in named {
        if gauges.iter().all(|(known, ..)| *known != gauge)
            && let Ok(id) = host::define(Metric::Gauge, &format!("{prefix}.{name}"))
        {
            gauges.push((gauge, id, Cell::new(None)));
        }
    }
}

fn count<C: PartialEq>(counters: &RefCell<Vec<(C, u32)>>, counter: C) {
    let Ok(counters) = counters.try_borrow() else { return };
    if let Some((_, id)) = counters.iter().find(|(known, _)| *known == counter) {
        host::count(*id);
    }
}

/// Shows a value, if it is another than before.
fn show<G: PartialEq>(gauges: &RefCell<Vec<Shown<G>>>, gauge: G, value: u64) {
    let Ok(gauges) = gauges.try_borrow() else { return };
    if let Some((_, id, last)) = gauges.iter().find(|(known, ..)| *known == gauge)
        && last.replace(Some(value)) != Some(value)
    {
        host::record(*id, value);
    }
}
