//! Where sources may say `unsafe`.
//!
//! The compiler does the real work: each crate's root must carry `forbid`, or `deny` where one
//! folder may allow it again. The words of all files are checked as well, because tests, benches and
//! examples are crates of their own that no attribute of the library reaches, and because `deny` can
//! be lifted by anybody with `allow`.

use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::Package;

use super::Finding;
use super::house::{self, Unsafety};
use super::source;
use crate::failure::{Failure, Result};
use crate::workspace::{Workspace, dir_of};

/// Every source that says `unsafe` where it may not, or a crate root that does not rule it out.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in workspace.members() {
        // A member the house does not know has a finding already.
        let Some(member) = house::member(&package.name) else {
            continue;
        };
        let sources = Sources::new(package, workspace);
        findings.extend(sources.check(&member.unsafety)?);
    }
    Ok(findings)
}

/// The files of one package, and how to name them.
struct Sources<'a> {
    package: &'a Package,
    root: &'a Path,
    folder: &'a Path,
    /// Folders of other members, which are theirs to answer for (tools/xtask lies in tools).
    foreign: Vec<&'a Path>,
}

impl<'a> Sources<'a> {
    fn new(package: &'a Package, workspace: &'a Workspace) -> Self {
        let folder = dir_of(package);
        let others = workspace.members().iter().map(dir_of);
        let foreign = others.filter(|other| *other != folder).collect();
        Self {
            package,
            root: workspace.root(),
            folder,
            foreign,
        }
    }

    fn check(&self, rule: &Unsafety) -> Result<Vec<Finding>> {
        let (attribute, free_folder) = match rule {
            Unsafety::Forbidden => ("#![forbid(unsafe_code)]", None),
            Unsafety::Within(folder) => ("#![deny(unsafe_code)]", Some(self.folder.join(folder))),
        };
        let mut findings = self.check_roots(attribute)?;
        for file in rust_files(self.folder, &self.foreign)? {
            let is_free = free_folder
                .as_ref()
                .is_some_and(|free| file.starts_with(free));
            if !is_free {
                let name = self.name(&file);
                findings.extend(check_words(&name, &code_of(&file)?));
            }
        }
        Ok(findings)
    }

    /// The library and the programs; tests, benches and examples are covered by their words.
    fn check_roots(&self, attribute: &str) -> Result<Vec<Finding>> {
        let roots = self
            .package
            .targets
            .iter()
            .filter(|target| target.is_lib() || target.is_bin());
        let mut findings = Vec::new();
        for target in roots {
            let file = target.src_path.as_std_path();
            if !without_blanks(&code_of(file)?).contains(attribute) {
                let problem = format!("a crate root of `{}` needs {attribute}", self.package.name);
                findings.push(Finding::new(self.name(file), problem));
            }
        }
        Ok(findings)
    }

    fn name(&self, file: &Path) -> String {
        file.strip_prefix(self.root)
            .unwrap_or(file)
            .display()
            .to_string()
    }
}

fn check_words(name: &str, code: &str) -> Vec<Finding> {
    let mut findings: Vec<_> = source::words(code)
        .filter(|(_, word)| *word == "unsafe")
        .map(|(line, _)| Finding::new(format!("{name}:{line}"), "`unsafe` has no place here"))
        .collect();
    // The lint's name appears in attributes only: what neither forbids nor denies, allows.
    let mentions = source::words(code)
        .filter(|(_, word)| *word == "unsafe_code")
        .count();
    let compact = without_blanks(code);
    let refusals = compact.matches("forbid(unsafe_code)").count()
        + compact.matches("deny(unsafe_code)").count();
    if mentions > refusals {
        findings.push(Finding::new(
            name,
            "allows `unsafe_code`, which has no place here",
        ));
    }
    findings
}

fn code_of(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file).map_err(Failure::file(file))?;
    Ok(source::code_only(&text))
}

fn without_blanks(code: &str) -> String {
    code.split_whitespace().collect()
}

/// All `.rs` files below `folder`, in a stable order.
fn rust_files(folder: &Path, foreign: &[&Path]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::file(folder))? {
        let path = entry.map_err(Failure::file(folder))?.path();
        if path.is_dir() {
            if !foreign.contains(&path.as_path()) {
                files.extend(rust_files(&path, foreign)?);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        check_words("x.rs", &source::code_only(text))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn an_unsafe_block_is_found_with_its_line() {
        let text = "fn f() {\n    unsafe { g() }\n}";
        assert_eq!(findings(text), ["x.rs:2: `unsafe` has no place here"]);
    }

    #[test]
    fn prose_about_unsafe_is_not_found() {
        assert_eq!(
            findings("// unsafe\nconst WHY: &str = \"unsafe\";"),
            [""; 0]
        );
    }

    #[test]
    fn lifting_the_lint_is_found_however_it_is_written() {
        let expected = ["x.rs: allows `unsafe_code`, which has no place here"];
        for text in [
            "#[allow(unsafe_code)] mod sys;",
            "#![allow(\n    dead_code,\n    unsafe_code\n)]",
            "#![deny(unsafe_code)]\n#[expect(unsafe_code)] fn f() {}",
        ] {
            assert_eq!(findings(text), expected, "{text}");
        }
    }

    #[test]
    fn ruling_unsafe_out_is_not_found() {
        assert_eq!(
            findings("#![forbid(unsafe_code)]\n#![ deny( unsafe_code ) ]"),
            [""; 0]
        );
    }
}
