//! Counters, gauges and histograms of the `metrics` facade, which are empty without the feature `metrics`.

use std::time::Duration;

#[cfg(feature = "metrics")]
use metrics::{Key, Label, Level, Metadata, SharedString, Unit, with_recorder};

use super::metric::Metric;
use super::sampler::Sampler;

type Labels<'a> = &'a [(&'static str, &'a str)];

/// Makes handles. Without a recorder they do nothing.
#[derive(Clone, Copy)]
pub(crate) struct Registrar {
    enabled: bool,
}

impl Registrar {
    /// Looks whether the program has installed a recorder. The recorder that stands in for none has no size.
    pub(crate) fn detect() -> Self {
        #[cfg(feature = "metrics")]
        let enabled = with_recorder(|recorder| size_of_val(recorder) > 0);
        #[cfg(not(feature = "metrics"))]
        let enabled = false;
        Self { enabled }
    }

    pub(crate) fn enabled(self) -> bool {
        self.enabled
    }

    pub(crate) fn sampler(self) -> Sampler {
        Sampler::new(self.enabled)
    }
}

macro_rules! handle {
    ($(#[$doc:meta])* $type:ident, $register:ident, $recorder:ident, $describe:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub(crate) struct $type(#[cfg(feature = "metrics")] metrics::$type);

        impl Registrar {
            #[cfg(feature = "metrics")]
            pub(crate) fn $register(self, metric: &Metric, labels: Labels<'_>) -> $type {
                if !self.enabled {
                    return $type(metrics::$type::noop());
                }
                $type(with_recorder(|recorder| {
                    recorder.$describe(metric.name.into(), unit(metric), SharedString::const_str(metric.description));
                    recorder.$recorder(&key(metric, labels), &METADATA)
                }))
            }

            #[cfg(not(feature = "metrics"))]
            pub(crate) fn $register(self, _: &Metric, _: Labels<'_>) -> $type {
                $type()
            }
        }
    };
}

handle!(
    /// A number that only grows.
    Counter, counter, register_counter, describe_counter
);
handle!(
    /// A number that goes up and down.
    Gauge, gauge, register_gauge, describe_gauge
);
handle!(
    /// A distribution of values.
    Histogram, histogram, register_histogram, describe_histogram
);

#[cfg(feature = "metrics")]
static METADATA: Metadata<'static> = Metadata::new("recount", Level::INFO, None);

#[cfg(feature = "metrics")]
fn key(metric: &Metric, labels: Labels<'_>) -> Key {
    let labels: Vec<Label> = labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(metric.name, labels)
}

/// Only seconds: exporters would append the name of another unit to the metric's name.
#[cfg(feature = "metrics")]
fn unit(metric: &Metric) -> Option<Unit> {
    metric.is_duration().then_some(Unit::Seconds)
}

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        #[cfg(feature = "metrics")]
        self.0.increment(count);
        #[cfg(not(feature = "metrics"))]
        let _ = count;
    }
}

impl Gauge {
    pub(crate) fn set(&self, value: f64) {
        #[cfg(feature = "metrics")]
        self.0.set(value);
        #[cfg(not(feature = "metrics"))]
        let _ = value;
    }

    pub(crate) fn increment(&self) {
        #[cfg(feature = "metrics")]
        self.0.increment(1.0);
    }

    pub(crate) fn decrement(&self) {
        #[cfg(feature = "metrics")]
        self.0.decrement(1.0);
    }
}

impl Histogram {
    pub(crate) fn record(&self, value: f64) {
        #[cfg(feature = "metrics")]
        self.0.record(value);
        #[cfg(not(feature = "metrics"))]
        let _ = value;
    }

    /// Records how long an operation took, if it was timed.
    pub(crate) fn record_time(&self, elapsed: Option<Duration>) {
        if let Some(elapsed) = elapsed {
            self.record(elapsed.as_secs_f64());
        }
    }
}
