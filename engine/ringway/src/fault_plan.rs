//! Which faults to inject: what [`Faults`](crate::Faults) takes, as text.
//!
//! ```text
//!   cut:every=64MiB            reset the connection after so many bytes, again and again
//!   cut:after=1MiB             once
//!   delay:5ms..20ms            what arrives is seen so much later
//!   drop-inbound:after=10MiB   from then on the connection brings nothing any more
//!   drop-outbound:after=10MiB  from then on what it sends goes nowhere
//!   corrupt:after=1MiB         one bit of a frame's header is flipped
//!   refuse:30%                 of dials and of accepted connections
//!   slow-disk:50ms             every file operation takes so much longer
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// When a fault comes, in bytes sent and received over the sockets of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultTrigger {
    /// Once, after so many bytes.
    After(u64),
    /// Each time after so many bytes.
    Every(u64),
}

impl FaultTrigger {
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::After(bytes) | Self::Every(bytes) => bytes,
        }
    }
}

/// The faults to inject; the default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// Resets the connection that carries the byte.
    pub cut: Option<FaultTrigger>,
    /// What arrives is held back for a time drawn between the two.
    pub delay: Option<(Duration, Duration)>,
    /// The connection brings nothing any more, until it is given up.
    pub drop_inbound: Option<FaultTrigger>,
    /// What the connection sends goes nowhere, until it is given up.
    pub drop_outbound: Option<FaultTrigger>,
    /// One bit of the next frame's header is flipped on its way out.
    pub corrupt: Option<FaultTrigger>,
    /// How many of a hundred dials, and of a hundred accepted connections, are refused.
    pub refuse_percent: u8,
    /// Every operation on a file takes so much longer.
    pub slow_disk: Option<Duration>,
}

/// A fault that cannot be understood; says what would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSyntaxError {
    item: String,
    wanted: &'static str,
}

impl fmt::Display for FaultSyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no fault: {}", self.item, self.wanted)
    }
}

impl std::error::Error for FaultSyntaxError {}

const KINDS: &str =
    "it is one of cut, delay, drop-inbound, drop-outbound, corrupt, refuse, slow-disk";
const TRIGGER: &str = "it needs `after=SIZE` or `every=SIZE`, as in after=64MiB";
const RANGE: &str = "it needs a time or two, as in 5ms or 5ms..20ms";
const PERCENT: &str = "it needs a share from 0% to 100%";

impl FromStr for FaultPlan {
    type Err = FaultSyntaxError;

    /// Several faults are separated by commas.
    fn from_str(text: &str) -> Result<Self, FaultSyntaxError> {
        let mut plan = Self::default();
        for item in text.split(',').map(str::trim) {
            plan.add(item).map_err(|wanted| FaultSyntaxError {
                item: item.to_owned(),
                wanted,
            })?;
        }
        Ok(plan)
    }
}

impl FaultPlan {
    fn add(&mut self, item: &str) -> Result<(), &'static str> {
        let (kind, rest) = item.split_once(':').ok_or(match item {
            "delay" | "slow-disk" => RANGE,
            "refuse" => PERCENT,
            "cut" | "drop-inbound" | "drop-outbound" | "corrupt" => TRIGGER,
            _ => KINDS,
        })?;
        match kind {
            "cut" => self.cut = Some(trigger(rest)?),
            "drop-inbound" => self.drop_inbound = Some(trigger(rest)?),
            "drop-outbound" => self.drop_outbound = Some(trigger(rest)?),
            "corrupt" => self.corrupt = Some(trigger(rest)?),
            "delay" => {
                let (least, most) = rest.split_once("..").unwrap_or((rest, rest));
                let (least, most) = (time(least).ok_or(RANGE)?, time(most).ok_or(RANGE)?);
                if least > most {
                    return Err("the first time must not be longer than the second");
                }
                self.delay = Some((least, most));
            }
            "slow-disk" => self.slow_disk = Some(time(rest).ok_or(RANGE)?),
            "refuse" => {
                let share = rest.strip_suffix('%').and_then(|share| share.parse().ok());
                self.refuse_percent = share.filter(|share| *share <= 100).ok_or(PERCENT)?;
            }
            _ => return Err(KINDS),
        }
        Ok(())
    }
}

fn trigger(text: &str) -> Result<FaultTrigger, &'static str> {
    let (word, bytes) = text.split_once('=').ok_or(TRIGGER)?;
    let bytes = size(bytes).filter(|bytes| *bytes > 0).ok_or(TRIGGER)?;
    match word {
        "after" => Ok(FaultTrigger::After(bytes)),
        "every" => Ok(FaultTrigger::Every(bytes)),
        _ => Err(TRIGGER),
    }
}

/// A number and a unit.
fn amount(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = amount(text)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// At most an hour: longer is a mistake, and must not overflow a deadline.
fn time(text: &str) -> Option<Duration> {
    let (number, unit) = amount(text)?;
    let time = match unit {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return None,
    };
    (time <= Duration::from_secs(3600)).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_understood() {
        let text = "cut:every=64MiB, delay:5ms..20ms,drop-inbound:after=10MiB,\
                    drop-outbound:every=1GiB,corrupt:after=1,refuse:30%,slow-disk:50ms";
        let plan: FaultPlan = text.parse().expect("valid");
        assert_eq!(
            plan,
            FaultPlan {
                cut: Some(FaultTrigger::Every(64 << 20)),
                delay: Some((Duration::from_millis(5), Duration::from_millis(20))),
                drop_inbound: Some(FaultTrigger::After(10 << 20)),
                drop_outbound: Some(FaultTrigger::Every(1 << 30)),
                corrupt: Some(FaultTrigger::After(1)),
                refuse_percent: 30,
                slow_disk: Some(Duration::from_millis(50)),
            }
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        for (text, part) in [
            ("", "one of cut, delay"),
            ("explode:now", "one of cut, delay"),
            ("cut", "after=SIZE"),
            ("cut:every=0", "after=SIZE"),
            ("cut:at=5MiB", "after=SIZE"),
            ("cut:every=5MB", "after=SIZE"),
            ("cut:every=99999999999GiB", "after=SIZE"),
            ("delay:5", "5ms..20ms"),
            ("delay:20ms..5ms", "not be longer"),
            ("delay:2000h", "5ms..20ms"),
            ("slow-disk:4000s", "5ms..20ms"),
            ("refuse:101%", "0% to 100%"),
            ("refuse:30", "0% to 100%"),
            ("cut:every=1MiB,refuse", "0% to 100%"),
        ] {
            let error = text.parse::<FaultPlan>().expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
