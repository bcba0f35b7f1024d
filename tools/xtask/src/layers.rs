//! `cargo xtask layers`: the rules of the house, checked.
//!
//! The rules are data, in [`house`]. Three checks compare the checkout with them: [`edges`] (who
//! depends on whom), [`entries`] (what may lie in the root directory) and [`unsafety`] (which
//! sources may say `unsafe`). Each turns what it sees into [`Finding`]s and stops at none.
//!
//! The same checks run as a test of this crate, so `cargo test --workspace` notices too.

mod edges;
mod entries;
mod house;
mod source;
mod unsafety;

use std::fmt;

use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

/// One broken rule: where, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    place: String,
    problem: String,
}

impl Finding {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// Runs all checks and reports every finding at once.
pub fn run(workspace: &Workspace) -> Result<()> {
    let findings = findings(workspace)?;
    if findings.is_empty() {
        let members = workspace.members().len();
        println!("layers: {members} crates keep to the rules of the house");
        return Ok(());
    }
    Err(Failure::Layers(findings))
}

fn findings(workspace: &Workspace) -> Result<Vec<Finding>> {
    let members = edges::members(workspace);
    let mut findings = edges::check(&members);
    findings.extend(entries::check(workspace.root())?);
    findings.extend(unsafety::check(workspace)?);
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dependency against the table is how layers rot; here it is a red test.
    #[test]
    fn this_checkout_keeps_to_the_rules() {
        let workspace = Workspace::load().expect("cargo describes the workspace");
        run(&workspace).unwrap_or_else(|failure| panic!("{failure}"));
    }
}
