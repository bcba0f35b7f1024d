//! What the runs in other surroundings leave out: tests that cannot tell these surroundings from the
//! plain ones, where they have run, and one that takes about as long as all others of its run.
//!
//! Only by this table: each run prints it, and fails if a row fits nothing that was built. Tests
//! below look into the sources of what is said to run on the simulated kernel alone.

use std::path::Path;

use crate::artifact::Executable;
use crate::failure::{Failure, Result};
use crate::invocation::Invocation;

/// One row.
pub struct LeftOut {
    /// The package, by its folder in `engine/`.
    folder: &'static str,
    /// The test program.
    program: &'static str,
    /// Its tests whose names have this in them; all of them if there is nothing.
    tests: Option<&'static str>,
    reason: &'static str,
}

const SIMULATED: &str = "runs on the simulated kernel, whose features are drawn from the seed";

/// All of it.
const LEFT_OUT: [LeftOut; 4] = [
    LeftOut {
        folder: "ringway",
        program: "simulated",
        tests: None,
        reason: SIMULATED,
    },
    LeftOut {
        folder: "ringway",
        program: "suite",
        tests: Some("sim::"),
        reason: SIMULATED,
    },
    LeftOut {
        folder: "ringway",
        program: "wakefulness",
        tests: None,
        reason: "a model in loom, which knows no kernel",
    },
    LeftOut {
        folder: "ringway",
        program: "suite",
        tests: Some("uring::a_hundred_thousand_streams_resume_while_another_session_goes_on"),
        reason: "takes about as long as all the rest, for what a stream does a hundred thousand times",
    },
];

impl LeftOut {
    fn is_of(&self, test: &Executable) -> bool {
        test.name == self.program && test.package_dir.ends_with(self.folder)
    }

    fn line(&self) -> String {
        let tests = self.tests.map_or(String::new(), |it| format!(", *{it}*"));
        format!("{}/{}{tests}: {}", self.folder, self.program, self.reason)
    }
}

/// The programs to start, each with the words that leave out some of its tests.
///
/// # Errors
/// A row of the table that leaves nothing out: something was renamed, and would be run again.
pub fn choose(tests: &[Executable]) -> Result<Vec<(&Executable, Vec<String>)>> {
    println!("left out, as it has run in the plain step:");
    for row in &LEFT_OUT {
        println!("  {}", row.line());
        let test = tests.iter().find(|test| row.is_of(test));
        let fits = match (test, row.tests) {
            (Some(_), None) => true,
            (Some(test), Some(part)) => names(&test.path)?.lines().any(|it| it.contains(part)),
            (None, _) => false,
        };
        if !fits {
            return Err(Failure::NothingLeftOut { line: row.line() });
        }
    }
    Ok(tests
        .iter()
        .filter_map(|test| Some((test, words(test)?)))
        .collect())
}

/// Nothing if no test of it is wanted.
fn words(test: &Executable) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for row in LEFT_OUT.iter().filter(|row| row.is_of(test)) {
        words.extend(["--skip".to_owned(), row.tests?.to_owned()]);
    }
    Some(words)
}

fn names(program: &Path) -> Result<String> {
    Invocation::new(program).args(["--list"]).capture()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace::Workspace;

    fn test(name: &str, folder: &str) -> Executable {
        Executable {
            name: name.to_owned(),
            path: "/bin/true".into(),
            package_dir: Path::new("/checkout/engine").join(folder),
            is_test: true,
        }
    }

    #[test]
    fn only_what_the_table_names_is_left_out() {
        assert_eq!(words(&test("simulated", "ringway")), None);
        assert_eq!(words(&test("simulated", "files")), Some(Vec::new()));
        assert_eq!(words(&test("cuts", "ringway")), Some(Vec::new()));
        let of_suite = words(&test("suite", "ringway")).expect("a part of it runs");
        assert_eq!(of_suite.iter().filter(|word| *word == "--skip").count(), 2);
    }

    #[test]
    fn a_row_that_fits_nothing_fails_the_run() {
        let failure = choose(&[test("cuts", "ringway")]).map(|_| ());
        assert!(matches!(failure, Err(Failure::NothingLeftOut { .. })));
    }

    /// What would start rings of the real kernel, or read which of its features to hide.
    const REAL: [&str; 4] = [
        "Engine::start",
        "from_environment",
        "RINGWAY_MASK",
        "ringway_uring",
    ];

    fn looks_real(path: &Path, found: &mut Vec<String>) {
        if path.is_dir() {
            for entry in fs::read_dir(path).expect("a folder of sources") {
                looks_real(&entry.expect("readable").path(), found);
            }
            return;
        }
        let text = fs::read_to_string(path).expect("a source");
        let words = REAL.iter().filter(|word| text.contains(**word));
        found.extend(words.map(|word| format!("{}: {word}", path.display())));
    }

    #[test]
    fn what_is_said_to_be_simulated_never_starts_a_real_ring() {
        let workspace = Workspace::load().expect("cargo describes the workspace");
        let tests = workspace.root().join("engine/ringway/tests");
        let mut found = Vec::new();
        for place in ["simulated", "wakefulness", "suite/on_sim.rs"] {
            looks_real(&tests.join(place), &mut found);
        }
        assert_eq!(found, [""; 0]);
        looks_real(&tests.join("suite/on_uring.rs"), &mut found);
        assert!(!found.is_empty(), "the check sees nothing");
    }
}
