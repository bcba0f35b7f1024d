//! What may lie in the root directory: the list a newcomer sees first stays short.

use std::fs;
use std::path::Path;

use super::Finding;
use crate::failure::{Failure, Result};

const ALLOWED: [&str; 15] = [
    "Cargo.toml",
    "Cargo.lock",
    "engine",
    "ffi",
    "benches",
    "tools",
    "docs",
    ".github",
    ".ci",
    ".cargo",
    ".git",
    ".gitignore",
    "README.md",
    "CHANGELOG.md",
    "rustfmt.toml",
];

/// The build directory: ignored by git, but it lies there.
const BUILD_DIR: &str = "target";

/// Every top-level entry that is not on the list.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for entry in fs::read_dir(root).map_err(Failure::file(root))? {
        let name = entry.map_err(Failure::file(root))?.file_name();
        let name = name.to_string_lossy();
        if !is_allowed(&name) {
            findings.push(Finding::new(
                name,
                "does not belong into the root directory",
            ));
        }
    }
    Ok(findings)
}

fn is_allowed(name: &str) -> bool {
    ALLOWED.contains(&name) || name == BUILD_DIR || name.starts_with("LICENSE-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_entry_is_found() {
        let root = tempfile::tempdir().expect("a scratch directory");
        for name in ["Cargo.toml", "LICENSE-MIT", "scripts"] {
            fs::write(root.path().join(name), "").expect("it is writable");
        }
        let findings = check(root.path()).expect("it is readable");
        assert_eq!(
            findings,
            [Finding::new(
                "scripts",
                "does not belong into the root directory"
            )]
        );
    }
}
