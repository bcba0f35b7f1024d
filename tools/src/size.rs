//! Sizes in bytes as people write and read them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes. Written `4096`, `64KiB`, `1.5GiB`, `2GB`; `K`, `M`, `G`, `T` alone count in
/// steps of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

/// Units by name, lower case.
const UNITS: [(&str, u64); 15] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("bytes", 1),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("`{text}` is no size: write for example 4096, 64KiB, 1.5GiB or 2GB");
        let number_end = text
            .find(|each: char| !each.is_ascii_digit() && each != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(number_end);
        let unit = unit.trim().to_ascii_lowercase();
        let (_, factor) = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(fail)?;
        exact_product(number, factor).map(Self).ok_or_else(fail)
    }
}

/// `number`, decimals allowed, times `factor`, rounded down; in integers, because a float loses
/// bytes above 8 PiB.
fn exact_product(number: &str, factor: u64) -> Option<u64> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().ok()?;
    if decimals.is_empty() || decimals.len() > 9 {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(decimals.len()).ok()?);
    let part = u128::from(decimals.parse::<u64>().ok()?) * u128::from(factor) / scale;
    whole
        .checked_mul(factor)?
        .checked_add(u64::try_from(part).ok()?)
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = [
            (1 << 40, "TiB"),
            (1 << 30, "GiB"),
            (1 << 20, "MiB"),
            (1 << 10, "KiB"),
        ];
        let Some((step, unit)) = steps.into_iter().find(|(step, _)| self.0 >= *step) else {
            return write!(f, "{} B", self.0);
        };
        if self.0.is_multiple_of(step) {
            return write!(f, "{} {unit}", self.0 / step);
        }
        write!(f, "{:.1} {unit}", self.0 as f64 / step as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_usual_spelling() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1KiB", 1024),
            ("64k", 65536),
            ("64 MiB", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("2GB", 2_000_000_000),
            ("16777215TiB", 16_777_215 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_examples() {
        for text in ["", "GiB", "1.", "1.2.3", "-1", "1XB", "99999999TiB", "1e9"] {
            let error = text.parse::<Size>().expect_err(text);
            assert!(error.contains("64KiB"), "{error}");
        }
    }

    #[test]
    fn sizes_are_shown_exactly_where_they_are_round() {
        for (bytes, text) in [
            (1, "1 B"),
            (1 << 20, "1 MiB"),
            (3 << 29, "1.5 GiB"),
            (1500, "1.5 KiB"),
            (64 << 30, "64 GiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
