//! `cargo xtask mutants`: planted bugs, and whether the simulator finds them.
//!
//! A mutant is about one expression in the engine, behind `cfg(ringway_mutant = "…")`: no cargo
//! feature, so that no dependency can turn it on. A wrapper around the compiler sets it for the
//! crates of the workspace only; dependencies are built once, for all of them.
//!
//! What a mutant proves: the workloads lead to where it matters, and a checker sees it. One that is
//! not found within its number of seeds is a hole in the simulator, and is mended there.

mod table;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use crate::artifact;
use crate::failure::{Failure, Result};
use crate::invocation::Invocation;
use crate::simulate::{self, Report};
use crate::workspace::Workspace;
use table::{MUTANTS, Mutant};

/// Plant bugs one by one, and see the simulator find each within its number of seeds
///
/// Prints how many seeds each took and what was violated. The build without a bug then runs the
/// same seeds, and must violate nothing: the one that campaigns run, which is optimised. The first run
/// builds dependencies, and takes a minute more.
#[derive(clap::Args)]
pub struct Options {
    /// Only this one; may be given several times
    #[arg(long, value_name = "NAME", value_parser = table::names())]
    only: Vec<String>,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

impl Options {
    /// All of them, from the first seed.
    pub fn all() -> Self {
        Self {
            only: Vec::new(),
            from: 0,
            json: false,
        }
    }
}

/// What came of some seeds.
struct Found {
    /// Up to the first violation, or all.
    seeds: u64,
    /// What was violated.
    kind: Option<String>,
    seconds: f64,
}

/// Builds and runs each, then the build without.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let is_wanted = |mutant: &&Mutant| {
        options.only.is_empty() || options.only.iter().any(|it| it == mutant.name)
    };
    let mut told = Vec::new();
    let mut missed = Vec::new();
    let mut seeds_most = 0;
    for mutant in MUTANTS.iter().filter(is_wanted) {
        let found = hunt(workspace, Some(mutant.name), options.from, mutant.seeds_max)?;
        if !options.json {
            println!("{}", found.line(mutant.name));
        }
        seeds_most = seeds_most.max(found.seeds);
        if found.kind.is_none() {
            missed.push(format!("{}: {}", mutant.name, mutant.what));
        }
        told.push(found.document(mutant));
    }
    let clean = hunt(workspace, None, options.from, seeds_most)?;
    if options.json {
        let unmutated = json!({ "seeds": clean.seeds, "violation": clean.kind });
        println!("{}", json!({ "mutants": told, "unmutated": unmutated }));
    } else {
        println!("{}", clean.line("without a mutant"));
    }
    match clean.kind {
        Some(text) => Err(Failure::Unmutated { text }),
        None if missed.is_empty() => Ok(()),
        None => Err(Failure::Missed(missed)),
    }
}

/// Runs seeds with a planted bug, or none, until something is violated.
fn hunt(workspace: &Workspace, mutant: Option<&str>, from: u64, seeds: u64) -> Result<Found> {
    let began = Instant::now();
    let program = artifact::program(&build(workspace, mutant)?, "simulate")?;
    let report = Report::new()?;
    let simulate = Invocation::new(program)
        .args(["--from", &from.to_string(), "--seeds", &seeds.to_string()])
        .args(["--first", "--report"])
        .args([report.path()]);
    // A violation is what is looked for: the report says more than the exit code.
    simulate.succeeds()?;
    let report = report.read()?;
    let first = report["violations"].get(0);
    let seed = first.and_then(|violation| violation["seed"].as_u64());
    Ok(Found {
        seeds: seed.map_or(seeds, |seed| seed - from + 1),
        kind: first.map(|violation| kind(violation["text"].as_str().unwrap_or_default())),
        seconds: began.elapsed().as_secs_f64(),
    })
}

fn build(workspace: &Workspace, mutant: Option<&str>) -> Result<Invocation> {
    let Some(name) = mutant else {
        return Ok(simulate::build());
    };
    Ok(Invocation::cargo()
        .env("CARGO_TARGET_DIR", workspace.cache_dir("mutants"))
        .env("RUSTC_WORKSPACE_WRAPPER", wrapper(workspace, name)?)
        .args(["build", "--profile", "mutant", "-p", "ringway-simulate"]))
}

/// A compiler that sets the mutant's `cfg`. Cargo tells builds apart by its path.
fn wrapper(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let path = workspace.cache_dir("mutants/wrappers").join(name);
    let text = format!("#!/bin/sh\nexec \"$@\" --cfg 'ringway_mutant=\"{name}\"'\n");
    if fs::read_to_string(&path).is_ok_and(|present| present == text) {
        // Cargo would take another time stamp for another compiler.
        return Ok(path);
    }
    let folder = workspace.cache_dir("mutants/wrappers");
    fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;
    fs::write(&path, text).map_err(Failure::file(&path))?;
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&path, mode).map_err(Failure::file(&path))?;
    Ok(path)
}

/// What a checker said, without the place in its source and the numbers of this seed.
fn kind(text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let said = match first.starts_with("panicked at") {
        true => lines.next().unwrap_or(first),
        false => first,
    };
    let end = said.find([':', '{', '[']).unwrap_or(said.len());
    said[..end].chars().take(60).collect()
}

impl Found {
    fn line(&self, name: &str) -> String {
        let (seeds, seconds) = (self.seeds, self.seconds);
        let kind = self.kind.as_deref().unwrap_or("nothing violated");
        format!("{name:28} {seeds:>5} seeds {seconds:>7.1} s  {kind}")
    }

    fn document(&self, mutant: &Mutant) -> Value {
        json!({
            "name": mutant.name,
            "what": mutant.what,
            "seeds_max": mutant.seeds_max,
            "seeds": self.seeds,
            "violation": self.kind,
            "seconds": self.seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_named_by_what_its_checker_said() {
        let text =
            "panicked at tools/simulate/src/inspect.rs:60:5:\nsession window: 7 is above 5: View";
        assert_eq!(kind(text), "session window");
        assert_eq!(
            kind("two runs of one seed differ: 1 and 2"),
            "two runs of one seed differ"
        );
        assert_eq!(kind(""), "");
    }
}
