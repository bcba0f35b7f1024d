//! What the two ends of a test tell each other: one record of JSON each.
//!
//! The first record of every stream is an [`Opening`]. On the control stream the client asks and
//! the server answers; on the others bodies follow. Every opening carries the version, so that an
//! end of another version is recognised before anything else of it is read.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::options::Checksum;
use super::plan::Plan;
use super::snapshot::Account;
use crate::environment::Environment;

/// Of this exchange; both ends must have the same.
pub(super) const VERSION: u32 = 1;

/// Status of a stream whose opening is none.
pub(super) const STATUS_NO_BENCH: u32 = 1100;
/// Status of a stream that belongs to no test.
pub(super) const STATUS_NO_TEST: u32 = 1101;
/// Status of what a bound refuses.
pub(super) const STATUS_LIMIT: u32 = 1102;

/// All that is read of an opening before its version is known.
#[derive(Deserialize)]
pub(super) struct VersionOnly {
    pub(super) ringway_bench: u32,
}

/// What a new stream is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Opening {
    pub(super) ringway_bench: u32,
    pub(super) purpose: Purpose,
}

/// See [`Opening`]. `test` is the id of the session that began the test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Purpose {
    /// The control stream of a new test.
    Begin { plan: Box<Plan> },
    /// Bodies from the client.
    Up { test: String, index: u32 },
    /// Bodies from the server.
    Down { test: String, index: u32 },
    /// Records to be echoed.
    Echo { test: String },
}

/// What the client asks on the control stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// Count from now on.
    Measure,
    /// Tell what was counted.
    End,
}

/// What the server answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Answer {
    /// To the opening.
    Accepted { facts: Box<Facts> },
    /// To the opening.
    Refused { refusal: Refusal },
    /// To [`Ask::Measure`].
    Measuring,
    /// To [`Ask::End`].
    Account { account: Box<Account> },
}

/// What a result says of the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) environment: Environment,
    pub(super) shards: usize,
    #[serde(default)]
    pub(super) spin: bool,
    /// Of its shards, where they are kept; empty where they may run anywhere.
    #[serde(default)]
    pub(super) cores: Vec<usize>,
    pub(super) checksum: Checksum,
    pub(super) path: String,
    pub(super) congestion: Option<String>,
}

/// Why a server does not do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) code: RefusalCode,
    /// For people.
    pub(super) message: String,
    /// Of a limit: asked for and allowed.
    #[serde(default)]
    pub(super) wanted: Option<u64>,
    #[serde(default)]
    pub(super) allowed: Option<u64>,
}

/// For programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RefusalCode {
    /// Another test is running.
    Busy,
    /// Beyond what this server allows.
    Limit,
    /// The ends speak different versions.
    Version,
    /// This server was started without what the plan needs.
    Option,
    /// The plan contradicts itself.
    Plan,
    /// A file of the server's.
    File,
    /// Something newer than this client knows.
    #[serde(other)]
    Other,
}

impl Refusal {
    pub(super) fn new(code: RefusalCode, message: impl std::fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
            wanted: None,
            allowed: None,
        }
    }

    /// Beyond a bound, with both numbers.
    pub(super) fn limit(what: &str, wanted: u64, allowed: u64) -> Self {
        let message = format!("{what}: {wanted} asked for, this server allows {allowed}");
        Self {
            wanted: Some(wanted),
            allowed: Some(allowed),
            ..Self::new(RefusalCode::Limit, message)
        }
    }

    /// The other end has another version.
    pub(super) fn version(theirs: u32) -> Self {
        let message = format!(
            "this server speaks version {VERSION} of the bench exchange, the client {theirs}: run \
             the same ringway at both ends"
        );
        Self {
            wanted: Some(theirs.into()),
            allowed: Some(VERSION.into()),
            ..Self::new(RefusalCode::Version, message)
        }
    }
}

impl Opening {
    pub(super) fn new(purpose: Purpose) -> Self {
        Self {
            ringway_bench: VERSION,
            purpose,
        }
    }
}

/// As a record. Values of ours always have a form in JSON.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// From a record.
pub(super) fn decode<T: DeserializeOwned>(record: &[u8]) -> Option<T> {
    serde_json::from_slice(record).ok()
}

/// Counters by name.
pub(super) type Counters = BTreeMap<String, u64>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_of_any_version_tells_its_version() {
        let future = br#"{"ringway_bench":7,"purpose":{"kind":"dance"},"more":1}"#;
        assert_eq!(
            decode::<VersionOnly>(future).expect("told").ringway_bench,
            7
        );
        assert!(decode::<Opening>(future).is_none());
        assert!(decode::<VersionOnly>(b"\x81\xa7version\x01").is_none());
    }

    #[test]
    fn a_refusal_of_a_newer_server_is_understood_as_far_as_possible() {
        let newer = br#"{"kind":"refused","refusal":{"code":"moon","message":"full moon"}}"#;
        let Some(Answer::Refused { refusal }) = decode(newer) else {
            panic!("not a refusal");
        };
        assert_eq!(refusal.code, RefusalCode::Other);
        assert_eq!(
            (refusal.message.as_str(), refusal.wanted),
            ("full moon", None)
        );
    }
}
