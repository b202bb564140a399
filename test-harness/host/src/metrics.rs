//! Counters, gauges and histograms with Envoy's ids and statuses.
//!
//! Values belong to the whole Envoy and are found by name; ids belong to one VM. Defining a name again gives a new
//! id for the same value, so a module that is reloaded counts on. The two low bits of an id tell its kind.
//!
//! Sources: `defineMetric`, `incrementMetric`, `recordMetric` and `getMetric` in Envoy's `common/wasm/context.cc`, and
//! the id counters in `include/proxy-wasm/wasm.h` of proxy-wasm-cpp-host. Envoy's own statistics list the names
//! with `wasmcustom.` before them; here they are as the module gave them. Ids and statuses were compared with Envoy
//! 1.40.0.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Status;

/// The kinds of metric, with their numbers in the ABI, which are the low bits of their ids too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MetricKind {
    /// It only goes up.
    Counter,
    /// It goes up and down, or is set.
    Gauge,
    /// It gathers single values.
    Histogram,
}

impl MetricKind {
    /// The kind of a number, if it is one.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Counter),
            1 => Some(Self::Gauge),
            2 => Some(Self::Histogram),
            _ => None,
        }
    }

    const fn of_id(id: u32) -> Option<Self> {
        Self::from_number(id & 3)
    }
}

/// What was recorded into a histogram, in a form that does not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: u128,
    /// The smallest, zero if there is none.
    pub min: u64,
    /// The largest, zero if there is none.
    pub max: u64,
}

/// The metrics of one Envoy by name. Clones are handles on the same values.
///
/// A name is a counter, a gauge and a histogram independently, as in Envoy's statistics store.
#[derive(Debug, Clone, Default)]
pub struct Stats(Arc<Mutex<Store>>);

#[derive(Debug, Default)]
struct Store {
    counters: BTreeMap<Vec<u8>, u64>,
    gauges: BTreeMap<Vec<u8>, u64>,
    histograms: BTreeMap<Vec<u8>, Histogram>,
}

impl Stats {
    /// The value of a counter, if anybody defined it.
    pub fn counter(&self, name: impl AsRef<[u8]>) -> Option<u64> {
        self.lock().counters.get(name.as_ref()).copied()
    }

    /// The value of a gauge, if anybody defined it.
    pub fn gauge(&self, name: impl AsRef<[u8]>) -> Option<u64> {
        self.lock().gauges.get(name.as_ref()).copied()
    }

    /// What a histogram gathered, if anybody defined it.
    pub fn histogram(&self, name: impl AsRef<[u8]>) -> Option<Histogram> {
        self.lock().histograms.get(name.as_ref()).copied()
    }

    /// All counters, sorted by name; bytes that are no UTF-8 are replaced.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.lock().counters.iter().map(|(name, value)| (text(name), *value)).collect()
    }

    /// All gauges, sorted by name; bytes that are no UTF-8 are replaced.
    pub fn gauges(&self) -> BTreeMap<String, u64> {
        self.lock().gauges.iter().map(|(name, value)| (text(name), *value)).collect()
    }

    /// All histograms, sorted by name; bytes that are no UTF-8 are replaced.
    pub fn histograms(&self) -> BTreeMap<String, Histogram> {
        self.lock().histograms.iter().map(|(name, value)| (text(name), *value)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// The metric ids of one VM.
#[derive(Debug)]
pub struct Metrics {
    stats: Stats,
    /// The id handed out last, for each kind: they start at 0, 1 and 2 and go up by four.
    last: [u32; 3],
    names: BTreeMap<u32, Vec<u8>>,
}

impl Metrics {
    /// The ids of a new VM in an Envoy with these values.
    pub const fn new(stats: Stats) -> Self {
        Self { stats, last: [0, 1, 2], names: BTreeMap::new() }
    }

    /// Defines a metric and gives its id (`proxy_define_metric`). It has a value of zero from now on.
    ///
    /// # Errors
    /// [`Status::BadArgument`] if the kind is none.
    pub fn define(&mut self, kind: u32, name: &[u8]) -> Result<u32, Status> {
        let kind = MetricKind::from_number(kind).ok_or(Status::BadArgument)?;
        let place = match kind {
            MetricKind::Counter => 0,
            MetricKind::Gauge => 1,
            MetricKind::Histogram => 2,
        };
        let last = self.last.get_mut(place).ok_or(Status::BadArgument)?;
        *last = last.wrapping_add(4);
        let id = *last;
        let mut store = self.stats.lock();
        match kind {
            MetricKind::Counter => drop(store.counters.entry(name.to_vec()).or_default()),
            MetricKind::Gauge => drop(store.gauges.entry(name.to_vec()).or_default()),
            MetricKind::Histogram => drop(store.histograms.entry(name.to_vec()).or_default()),
        }
        drop(store);
        self.names.insert(id, name.to_vec());
        Ok(id)
    }

    /// Adds to a counter or gauge (`proxy_increment_metric`).
    ///
    /// A gauge may go down, and below zero it comes round to the largest number, as in Envoy's release builds.
    ///
    /// # Errors
    /// [`Status::BadArgument`] for a histogram, for an id of no kind, and for a counter whose offset is not
    /// above zero (zero included); [`Status::NotFound`] for an id that was not defined.
    pub fn increment(&self, id: u32, offset: i64) -> Result<(), Status> {
        let kind =
            MetricKind::of_id(id).filter(|kind| *kind != MetricKind::Histogram).ok_or(Status::BadArgument)?;
        let name = self.names.get(&id).ok_or(Status::NotFound)?;
        let mut store = self.stats.lock();
        match kind {
            MetricKind::Counter if offset <= 0 => return Err(Status::BadArgument),
            MetricKind::Counter => add(&mut store.counters, name, offset),
            MetricKind::Gauge | MetricKind::Histogram => add(&mut store.gauges, name, offset),
        }
        Ok(())
    }

    /// Records a value (`proxy_record_metric`): a counter **adds** it, a gauge is set to it, a histogram gathers it.
    ///
    /// # Errors
    /// [`Status::NotFound`] for an id that was not defined, of whatever kind.
    pub fn record(&self, id: u32, value: u64) -> Result<(), Status> {
        let kind = MetricKind::of_id(id).ok_or(Status::NotFound)?;
        let name = self.names.get(&id).ok_or(Status::NotFound)?;
        let mut store = self.stats.lock();
        match kind {
            MetricKind::Counter => {
                let counter = store.counters.entry(name.clone()).or_default();
                *counter = counter.wrapping_add(value);
            }
            MetricKind::Gauge => drop(store.gauges.insert(name.clone(), value)),
            MetricKind::Histogram => {
                let histogram = store.histograms.entry(name.clone()).or_default();
                histogram.min = if histogram.count == 0 { value } else { histogram.min.min(value) };
                histogram.max = histogram.max.max(value);
                histogram.count = histogram.count.saturating_add(1);
                histogram.sum = histogram.sum.saturating_add(u128::from(value));
            }
        }
        Ok(())
    }

    /// The value of a counter or gauge (`proxy_get_metric`).
    ///
    /// # Errors
    /// [`Status::BadArgument`] for a histogram or an id of no kind, [`Status::NotFound`] for an id that was not
    /// defined.
    pub fn get(&self, id: u32) -> Result<u64, Status> {
        let kind =
            MetricKind::of_id(id).filter(|kind| *kind != MetricKind::Histogram).ok_or(Status::BadArgument)?;
        let name = self.names.get(&id).ok_or(Status::NotFound)?;
        let value =
            if kind == MetricKind::Counter { self.stats.counter(name) } else { self.stats.gauge(name) };
        value.ok_or(Status::NotFound)
    }
}

fn add(values: &mut BTreeMap<Vec<u8>, u64>, name: &[u8], offset: i64) {
    let value = values.entry(name.to_vec()).or_default();
    *value = value.wrapping_add_signed(offset);
}

#[cfg(test)]
mod tests {
    use super::{Histogram, Metrics, Stats};
    use crate::Status;

    const COUNTER: u32 = 0;
    const GAUGE: u32 = 1;
    const HISTOGRAM: u32 = 2;

    fn metrics() -> (Stats, Metrics) {
        let stats = Stats::default();
        (stats.clone(), Metrics::new(stats))
    }

    #[test]
    fn ids_carry_their_kind_and_grow_by_four() {
        let (_, mut metrics) = metrics();
        assert_eq!(metrics.define(COUNTER, b"a"), Ok(4));
        assert_eq!(metrics.define(GAUGE, b"b"), Ok(5));
        assert_eq!(metrics.define(HISTOGRAM, b"c"), Ok(6));
        assert_eq!(metrics.define(COUNTER, b"d"), Ok(8));
        assert_eq!(metrics.define(3, b"e"), Err(Status::BadArgument));
        assert_eq!(metrics.define(u32::MAX, b"e"), Err(Status::BadArgument));
    }

    #[test]
    fn a_counter_only_goes_up() {
        let (stats, mut metrics) = metrics();
        let id = metrics.define(COUNTER, b"hits").unwrap();
        assert_eq!(stats.counter("hits"), Some(0), "defined is there");
        metrics.increment(id, 2).unwrap();
        assert_eq!(metrics.increment(id, 0), Err(Status::BadArgument));
        assert_eq!(metrics.increment(id, -1), Err(Status::BadArgument));
        metrics.record(id, 5).unwrap();
        assert_eq!(metrics.get(id), Ok(7), "recording adds");
    }

    #[test]
    fn a_gauge_goes_both_ways_and_is_set() {
        let (stats, mut metrics) = metrics();
        let id = metrics.define(GAUGE, b"open").unwrap();
        metrics.increment(id, 3).unwrap();
        metrics.increment(id, -2).unwrap();
        metrics.increment(id, 0).unwrap();
        assert_eq!(metrics.get(id), Ok(1));
        metrics.record(id, 9).unwrap();
        assert_eq!(stats.gauge("open"), Some(9));
        metrics.increment(id, -10).unwrap();
        assert_eq!(metrics.get(id), Ok(u64::MAX));
        metrics.record(id, 0).unwrap();
        metrics.increment(id, i64::MIN).unwrap();
        assert_eq!(metrics.get(id), Ok(1 << 63));
    }

    #[test]
    fn a_histogram_is_recorded_only() {
        let (stats, mut metrics) = metrics();
        let id = metrics.define(HISTOGRAM, b"time").unwrap();
        assert_eq!(stats.histogram("time"), Some(Histogram::default()));
        for value in [7, 3, u64::MAX] {
            metrics.record(id, value).unwrap();
        }
        let expected = Histogram { count: 3, sum: u128::from(u64::MAX) + 10, min: 3, max: u64::MAX };
        assert_eq!(stats.histogram("time"), Some(expected));
        assert_eq!(metrics.increment(id, 1), Err(Status::BadArgument));
        assert_eq!(metrics.get(id), Err(Status::BadArgument));
    }

    #[test]
    fn unknown_ids_are_told_apart_by_their_low_bits() {
        let (_, metrics) = metrics();
        for (id, increment, get) in [
            (4, Status::NotFound, Status::NotFound),
            (5, Status::NotFound, Status::NotFound),
            (6, Status::BadArgument, Status::BadArgument),
            (7, Status::BadArgument, Status::BadArgument),
        ] {
            assert_eq!(metrics.increment(id, 1), Err(increment), "increment {id}");
            assert_eq!(metrics.increment(id, -1), Err(increment), "decrement {id}");
            assert_eq!(metrics.record(id, 1), Err(Status::NotFound), "record {id}");
            assert_eq!(metrics.get(id), Err(get), "get {id}");
        }
    }

    #[test]
    fn a_name_defined_again_is_the_same_value_under_another_id() {
        let (stats, mut metrics) = metrics();
        let (first, again) = (metrics.define(COUNTER, b"n").unwrap(), metrics.define(COUNTER, b"n").unwrap());
        assert_ne!(first, again);
        metrics.increment(first, 1).unwrap();
        let mut other_vm = Metrics::new(stats.clone());
        let there = other_vm.define(COUNTER, b"n").unwrap();
        assert_eq!((metrics.get(again), other_vm.get(there)), (Ok(1), Ok(1)));
        assert_eq!(other_vm.get(again), Err(Status::NotFound), "ids belong to one VM");
    }

    #[test]
    fn one_name_of_two_kinds_is_two_values() {
        let (stats, mut metrics) = metrics();
        let counter = metrics.define(COUNTER, b"n").unwrap();
        metrics.define(GAUGE, b"n").unwrap();
        metrics.increment(counter, 1).unwrap();
        assert_eq!((stats.counter("n"), stats.gauge("n")), (Some(1), Some(0)));
        assert_eq!(stats.counters().into_iter().collect::<Vec<_>>(), [("n".to_owned(), 1)]);
        assert_eq!((stats.gauges().len(), stats.histograms().len()), (1, 0));
    }
}
