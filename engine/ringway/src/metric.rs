//! What a number means, beside the number: one list for JSON, Prometheus and docs/METRICS.md.

use crate::histogram::Histogram;

/// How a number behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It is what it is now.
    Gauge,
    /// The largest one seen.
    Longest,
    /// Times by size.
    Histogram,
}

impl MetricKind {
    /// The word for it in docs/METRICS.md.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Longest => "longest",
            Self::Histogram => "histogram",
        }
    }
}

/// A number's name and meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The field, the JSON key, and with `ringway_` in front the metric. It ends with its unit
    /// (`_bytes`, `_ns`); without one it counts things.
    pub name: &'static str,
    /// How it behaves.
    pub kind: MetricKind,
    /// What its parts are told apart by, if it has parts.
    pub label: Option<&'static str>,
    /// What it is, one sentence.
    pub meaning: &'static str,
}

/// What stands in a snapshot for one [`Metric`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricValue {
    /// One number.
    Number(u64),
    /// A number for each value of the label, in a fixed order.
    Parts(Vec<(&'static str, u64)>),
    /// Times by size.
    Times(Box<Histogram>),
}

/// Makes a struct of numbers with a list of what they are.
///
/// Each field is a plain `u64`, declared as `counter`, `gauge` or `longest`; further fields with a
/// type of their own (`parts` with a label, `times`) follow behind a semicolon.
macro_rules! metrics {
    (
        $(#[doc = $about:literal])*
        pub struct $struct:ident {
            $($(#[doc = $doc:literal])+ $kind:ident $name:ident,)*
            $(;
            $($(#[doc = $part_doc:literal])+ $part_kind:ident $part:ident: $part_type:ty,)*)?
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $struct {
            $($(#[doc = $doc])+ pub $name: u64,)*
            $($($(#[doc = $part_doc])+ pub $part: $part_type,)*)?
        }

        impl $struct {
            /// What each number is, in the order of [`metrics`](Self::metrics).
            pub const METRICS: &'static [$crate::metric::Metric] = &[
                $($crate::metric::Metric {
                    name: stringify!($name),
                    kind: $crate::metric::kind!($kind),
                    label: None,
                    meaning: concat!($($doc),+),
                },)*
                $($($crate::metric::Metric {
                    name: stringify!($part),
                    kind: $crate::metric::kind!($part_kind),
                    label: <$part_type>::LABEL,
                    meaning: concat!($($part_doc),+),
                },)*)?
            ];

            /// Every number, with what it is.
            pub fn metrics(
                &self,
            ) -> impl Iterator<Item = (&'static $crate::metric::Metric, $crate::metric::MetricValue)> {
                let values = [
                    $($crate::metric::MetricValue::Number(self.$name),)*
                    $($(self.$part.value(),)*)?
                ];
                Self::METRICS.iter().zip(values)
            }
        }

        impl std::ops::AddAssign for $struct {
            /// Counters and gauges add up, of the longest one stays.
            fn add_assign(&mut self, other: Self) {
                $($crate::metric::merge!($kind, self.$name, other.$name);)*
                $($(self.$part += other.$part;)*)?
            }
        }
    };
}

macro_rules! kind {
    (counter) => {
        $crate::metric::MetricKind::Counter
    };
    (gauge) => {
        $crate::metric::MetricKind::Gauge
    };
    (longest) => {
        $crate::metric::MetricKind::Longest
    };
    (times) => {
        $crate::metric::MetricKind::Histogram
    };
}

macro_rules! merge {
    (longest, $mine:expr, $theirs:expr) => {
        $mine = $mine.max($theirs)
    };
    ($kind:ident, $mine:expr, $theirs:expr) => {
        $mine += $theirs
    };
}

pub(crate) use {kind, merge, metrics};

impl Histogram {
    pub(crate) const LABEL: Option<&'static str> = None;

    pub(crate) fn value(&self) -> MetricValue {
        MetricValue::Times(Box::new(*self))
    }
}
