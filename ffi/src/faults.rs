//! Faults of an engine, as text.

use ringway::{FaultPlan, Faults};
use serde_json::{Map, Value, json};

use crate::code::ringway_code::RINGWAY_E_STATE;
use crate::failure::{Failure, Result};
use crate::instance::Instance;

/// # Errors
/// `RINGWAY_E_ARGUMENT` says what would be understood.
pub(crate) fn plan(text: &str) -> Result<FaultPlan> {
    if text.is_empty() {
        return Ok(FaultPlan::default());
    }
    text.parse()
        .map_err(|error: ringway::FaultSyntaxError| Failure::argument(error.to_string()))
}

/// # Errors
/// `RINGWAY_E_STATE` when the engine has none.
pub(crate) fn of(instance: &Instance) -> Result<&Faults> {
    instance
        .faults
        .as_ref()
        .ok_or_else(|| RINGWAY_E_STATE.into())
}

/// How many were injected, by kind.
pub(crate) fn json(faults: &Faults) -> String {
    let counts = faults.injected().into_iter();
    let counts: Map<String, Value> = counts
        .map(|(kind, count)| (kind.to_owned(), json!(count)))
        .collect();
    Value::Object(counts).to_string()
}
