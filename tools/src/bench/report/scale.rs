//! From values to places in a picture.

/// How a value is spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// From 0 to here.
    Linear(f64),
    /// Decades, from and to.
    Logarithmic(f64, f64),
    /// Percentiles by their nines: 0, 90, 99, 99.9 … are as far from each other, up to so many
    /// nines.
    Nines(f64),
}

impl Scale {
    /// Linear, with room for `max`.
    pub(super) fn linear(max: f64) -> Self {
        let step = step(max);
        Self::Linear((max / step).ceil().max(1.0) * step)
    }

    /// Whole decades around everything positive.
    pub(super) fn logarithmic(values: impl Iterator<Item = f64> + Clone) -> Self {
        let positive = values.filter(|value| *value > 0.0);
        let least = positive.clone().fold(f64::INFINITY, f64::min);
        let most = positive.fold(0.0, f64::max);
        if most == 0.0 {
            return Self::Logarithmic(1.0, 10.0);
        }
        let low = 10_f64.powf(least.log10().floor());
        let high = 10_f64.powf(most.log10().ceil());
        Self::Logarithmic(low, if high > low { high } else { low * 10.0 })
    }

    /// Where `value` is, between 0 and 1.
    pub(super) fn place(self, value: f64) -> f64 {
        let place = match self {
            Self::Linear(most) => value / most,
            Self::Logarithmic(low, high) => (value.max(low) / low).log10() / (high / low).log10(),
            Self::Nines(most) => nines(value).min(most) / most,
        };
        place.clamp(0.0, 1.0)
    }

    /// Values to be marked, and how they are written.
    pub(super) fn ticks(self) -> Vec<(f64, String)> {
        match self {
            Self::Linear(most) => {
                let step = step(most);
                let count = (most / step).round() as usize;
                let values = (0..=count).map(|index| index as f64 * step);
                values.map(|value| (value, short(value))).collect()
            }
            Self::Logarithmic(low, high) => {
                let count = (high / low).log10().round() as i32;
                let values = (0..=count).map(|decade| low * 10_f64.powi(decade));
                values.map(|value| (value, short(value))).collect()
            }
            Self::Nines(most) => {
                let all = [(0.0, "0"), (50.0, "50"), (90.0, "90"), (99.0, "99")];
                let more = [(99.9, "99.9"), (99.99, "99.99"), (99.999, "99.999")];
                let shown = all.into_iter().chain(more);
                let shown = shown.filter(|(value, _)| nines(*value) <= most);
                shown
                    .map(|(value, text)| (value, format!("{text} %")))
                    .collect()
            }
        }
    }
}

/// How many nines a percentile has: 90 has 1, 99 has 2.
pub(super) fn nines(percentile: f64) -> f64 {
    -(1.0 - percentile / 100.0).max(1e-9).log10()
}

/// 1, 2 or 5 times a power of ten, four to nine of them in `max`.
fn step(max: f64) -> f64 {
    if max <= 0.0 || !max.is_finite() {
        return 1.0;
    }
    let rough = max / 5.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * decade >= rough * 0.999);
    factor.unwrap_or(10.0) * decade
}

/// A number with as many digits as it needs.
pub(super) fn short(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1e6 {
        return format!("{}M", trimmed(value / 1e6, 1));
    }
    if magnitude >= 1e4 {
        return format!("{}k", trimmed(value / 1e3, 1));
    }
    let decimals = match magnitude {
        0.0 => 0,
        it if it >= 100.0 => 0,
        it if it >= 10.0 => 1,
        it if it >= 1.0 => 2,
        _ => 3,
    };
    trimmed(value, decimals)
}

fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_ticks_and_room_for_everything() {
        let scale = Scale::linear(8.93);
        assert_eq!(scale, Scale::Linear(10.0));
        let texts: Vec<_> = scale.ticks().into_iter().map(|tick| tick.1).collect();
        assert_eq!(texts, ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(Scale::linear(0.0), Scale::Linear(1.0));
        assert_eq!(scale.place(5.0), 0.5);
    }

    #[test]
    fn decades_and_nines_are_evenly_spaced() {
        let scale = Scale::logarithmic([20.0, 3000.0].into_iter());
        assert_eq!(scale, Scale::Logarithmic(10.0, 10_000.0));
        assert!((scale.place(100.0) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(scale.place(1.0), 0.0);
        let nines = Scale::Nines(4.0);
        assert!((nines.place(99.0) - 0.5).abs() < 1e-9);
        assert_eq!(nines.place(100.0), 1.0);
        assert_eq!(nines.ticks().len(), 6);
    }

    #[test]
    fn numbers_are_written_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.21, "0.21"),
            (8.93, "8.93"),
            (20.5, "20.5"),
            (12_000.0, "12k"),
            (2_500_000.0, "2.5M"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
