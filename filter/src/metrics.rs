//! Counters and gauges. Their number and names are fixed, whatever clients or servers send.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bartizan_engine::delivery::Kind;
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

/// A gauge, its number, and its value as this VM saw it last.
type Shown = (Gauge, u32, Cell<Option<u64>>);

/// The metrics of a VM.
#[derive(Default)]
pub(crate) struct Metrics {
    refused: RefCell<Vec<(Reason, u32)>>,
    events: RefCell<Vec<(Event, u32)>>,
    gauges: RefCell<Vec<Shown>>,
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
        let Ok(mut refused) = self.refused.try_borrow_mut() else { return };
        for &reason in Reason::ALL {
            if refused.iter().all(|(known, _)| *known != reason)
                && let Ok(id) = host::define(Metric::Counter, &format!("bartizan.refused.{}", reason.code()))
            {
                refused.push((reason, id));
            }
        }
    }

    /// Defines those of following that are not there yet.
    pub(crate) fn define_following(&self) {
        let (Ok(mut events), Ok(mut gauges)) = (self.events.try_borrow_mut(), self.gauges.try_borrow_mut())
        else {
            return;
        };
        let named = [(Event::Poll, "polls".to_owned()), (Event::Change, "changes".to_owned())];
        let refused = Kind::all().map(|kind| (Event::Refused(kind), format!("refused.{}", kind.code())));
        for (event, name) in named.into_iter().chain(refused) {
            if events.iter().all(|(known, _)| *known != event)
                && let Ok(id) = host::define(Metric::Counter, &format!("bartizan.bundle.{name}"))
            {
                events.push((event, id));
            }
        }
        for (gauge, name) in [
            (Gauge::Revision, "revision"),
            (Gauge::AgeSeconds, "age_seconds"),
            (Gauge::LastSuccess, "last_success"),
            (Gauge::Expired, "expired"),
        ] {
            if gauges.iter().all(|(known, ..)| *known != gauge)
                && let Ok(id) = host::define(Metric::Gauge, &format!("bartizan.bundle.{name}"))
            {
                gauges.push((gauge, id, Cell::new(None)));
            }
        }
    }

    pub(crate) fn refused(&self, reason: Reason) {
        let Ok(refused) = self.refused.try_borrow() else { return };
        if let Some((_, id)) = refused.iter().find(|(r, _)| *r == reason) {
            host::count(*id);
        }
    }

    pub(crate) fn count(&self, event: Event) {
        let Ok(events) = self.events.try_borrow() else { return };
        if let Some((_, id)) = events.iter().find(|(e, _)| *e == event) {
            host::count(*id);
        }
    }

    /// Shows a value, if it is another than before.
    pub(crate) fn show(&self, gauge: Gauge, value: u64) {
        let Ok(gauges) = self.gauges.try_borrow() else { return };
        if let Some((_, id, last)) = gauges.iter().find(|(g, ..)| *g == gauge)
            && last.replace(Some(value)) != Some(value)
        {
            host::record(*id, value);
        }
    }
}
