//! Every planted bug: its name in the sources, what it does, and how many seeds may not find it.

use clap::builder::PossibleValuesParser;

/// A planted bug.
pub struct Mutant {
    /// Its value of `cfg(ringway_mutant)`.
    pub name: &'static str,
    /// What is wrong with it.
    pub what: &'static str,
    /// Within so many seeds it is to be found: several times what it took when it was planted.
    pub seeds_max: u64,
}

/// All of them.
pub const MUTANTS: [Mutant; 12] = [
    Mutant {
        name: "ack_off_by_one",
        what: "one byte more is acked than was received",
        seeds_max: 100,
    },
    Mutant {
        name: "partial_frame_acked",
        what: "with the first bytes of a body all of it is acked",
        seeds_max: 100,
    },
    Mutant {
        name: "body_acked_before_written",
        what: "a body is acked before its bytes are in the file",
        seeds_max: 500,
    },
    Mutant {
        name: "ack_before_fencing",
        what: "a connection is attached while ops of an older one are under way",
        seeds_max: 500,
    },
    Mutant {
        name: "stale_epoch_accepted",
        what: "a connection is attached that is older than the present one",
        seeds_max: 200,
    },
    Mutant {
        name: "lease_freed_at_notification",
        what: "a lease is given back when its op has ended, acked or not",
        seeds_max: 100,
    },
    Mutant {
        name: "reset_lease_not_fenced",
        what: "a lease of an aborted stream is given back before the peer has read past it",
        seeds_max: 500,
    },
    Mutant {
        name: "reset_credit_not_returned",
        what: "what a reset leaves out is never granted again",
        seeds_max: 500,
    },
    Mutant {
        name: "lost_credit_not_restated",
        what: "a grant of session credit that was lost with its connection is not said again",
        seeds_max: 500,
    },
    Mutant {
        name: "lost_finish_not_restated",
        what: "a finish that was lost with its connection is not said again",
        seeds_max: 100,
    },
    Mutant {
        name: "end_before_last_data",
        what: "an end is told before the bytes in front of it have come",
        seeds_max: 100,
    },
    Mutant {
        name: "completed_stream_replayed",
        what: "a stream that the peer has ended is sent again",
        seeds_max: 100,
    },
];

/// For the command line.
pub fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(MUTANTS.map(|mutant| mutant.name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::MUTANTS;
    use crate::workspace::Workspace;

    /// Names behind `ringway_mutant = ` in the sources under a folder.
    fn planted(folder: &Path, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                planted(&path, into);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                let names = text.split("ringway_mutant = \"").skip(1);
                into.extend(names.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }

    /// One that is planted and not in the table is never looked for; one that is only in the table
    /// would be looked for in vain.
    #[test]
    fn the_table_the_sources_and_the_lint_name_the_same_mutants() {
        let workspace = Workspace::load().expect("cargo describes the workspace");
        let named: BTreeSet<_> = MUTANTS.iter().map(|it| it.name.to_owned()).collect();
        let mut found = BTreeSet::new();
        planted(&workspace.root().join("engine"), &mut found);
        assert_eq!(found, named);
        let manifest = fs::read_to_string(workspace.root().join("Cargo.toml"));
        let manifest = manifest.expect("the manifest");
        let values = manifest.split("cfg(ringway_mutant, values(").nth(1);
        let values = values.and_then(|rest| rest.split_once("))"));
        let values = values
            .expect("the lint's list")
            .0
            .split('"')
            .skip(1)
            .step_by(2);
        assert_eq!(values.map(str::to_owned).collect::<BTreeSet<_>>(), named);
        assert_eq!(named.len(), MUTANTS.len());
    }
}
