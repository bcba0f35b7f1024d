//! Many numbers as three.

use std::fmt;

use serde::Serialize;

/// Median and quartiles, interpolated between the two nearest values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quartiles {
    /// Half of the values are below.
    pub median: f64,
    /// A quarter of the values is below.
    pub q1: f64,
    /// Three quarters of the values are below.
    pub q3: f64,
}

impl Quartiles {
    /// Of any values; `None` without one.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        (!sorted.is_empty()).then(|| Self {
            median: at(&sorted, 0.5),
            q1: at(&sorted, 0.25),
            q3: at(&sorted, 0.75),
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few dozen values, a share between 0 and 1"
)]
fn at(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

impl fmt::Display for Quartiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} [{:.3}, {:.3}]", self.median, self.q1, self.q3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_do_not_depend_on_the_order_and_are_interpolated() {
        let four = Quartiles::of([4.0, 1.0, 3.0, 2.0]).expect("values");
        assert_eq!((four.q1, four.median, four.q3), (1.75, 2.5, 3.25));
        let one = Quartiles::of([7.0]).expect("a value");
        assert_eq!((one.q1, one.median, one.q3), (7.0, 7.0, 7.0));
        assert_eq!(Quartiles::of([]), None);
    }
}
