//! Who depends on whom: the workspace's members against the table of the house.

use std::path::Path;

use cargo_metadata::{DependencyKind, Package};

use super::Finding;
use super::house;
use crate::workspace::{Workspace, dir_of};

/// A workspace member with its dependencies, ours and foreign. Plain data, so that the check can be
/// tried on houses that do not exist.
#[derive(Debug)]
pub struct Crate {
    package: String,
    folder: String,
    uses: Vec<Edge>,
}

#[derive(Debug)]
struct Edge {
    to: String,
    only_in_tests: bool,
}

/// The members of the checkout.
pub fn members(workspace: &Workspace) -> Vec<Crate> {
    workspace
        .members()
        .iter()
        .map(|package| Crate::new(package, workspace.root()))
        .collect()
}

/// Every member that is unknown or lives elsewhere, and every forbidden edge between two of ours.
pub fn check(members: &[Crate]) -> Vec<Finding> {
    members.iter().flat_map(check_crate).collect()
}

impl Crate {
    fn new(package: &Package, root: &Path) -> Self {
        let folder = dir_of(package);
        Self {
            package: package.name.to_string(),
            folder: folder
                .strip_prefix(root)
                .unwrap_or(folder)
                .display()
                .to_string(),
            uses: package
                .dependencies
                .iter()
                .map(|dependency| Edge {
                    to: dependency.name.clone(),
                    only_in_tests: dependency.kind == DependencyKind::Development,
                })
                .collect(),
        }
    }
}

fn check_crate(member: &Crate) -> Vec<Finding> {
    let Some(rights) = house::member(&member.package) else {
        let problem = format!(
            "the house has no crate of this name; `{}` would need a row in tools/xtask/src/layers/house.rs",
            member.folder
        );
        return vec![Finding::new(&member.package, problem)];
    };
    let mut findings = Vec::new();
    if member.folder != rights.folder {
        let problem = format!(
            "lives in `{}`, its place is `{}`",
            member.folder, rights.folder
        );
        findings.push(Finding::new(&member.package, problem));
    }
    let ours = member
        .uses
        .iter()
        .filter(|edge| house::member(&edge.to).is_some());
    findings.extend(ours.filter_map(|edge| check_edge(rights, edge)));
    findings
}

fn check_edge(from: &house::Member, edge: &Edge) -> Option<Finding> {
    let allowed = if edge.only_in_tests {
        from.tests_may_use(&edge.to)
    } else {
        from.may_use(&edge.to)
    };
    let kind = if edge.only_in_tests {
        "dev-dependency"
    } else {
        "dependency"
    };
    (!allowed).then(|| {
        Finding::new(
            from.package,
            format!("{kind} on `{}` is not allowed", edge.to),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depends(package: &str, on: &str, only_in_tests: bool) -> Crate {
        let folder = house::member(package).map_or("engine/new", |member| member.folder);
        Crate {
            package: package.to_owned(),
            folder: folder.to_owned(),
            uses: vec![Edge {
                to: on.to_owned(),
                only_in_tests,
            }],
        }
    }

    fn dependency(package: &str, on: &str) -> Vec<String> {
        findings(&depends(package, on, false))
    }

    fn dev_dependency(package: &str, on: &str) -> Vec<String> {
        findings(&depends(package, on, true))
    }

    fn findings(member: &Crate) -> Vec<String> {
        check(std::slice::from_ref(member))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_table_allows_what_it_lists() {
        for (package, on) in [
            ("ringway-uring", "ringway-io"),
            ("ringway-sim", "ringway-io"),
            ("ringway", "ringway-proto"),
            ("ringway", "ringway-uring"),
            ("ringway-files", "ringway"),
            ("ringway-ffi", "ringway-rpc"),
            ("ringway-tools", "ringway-uring"),
            ("ringway-benches", "ringway-sim"),
            ("ringway-proto", "crc32c"),
        ] {
            assert_eq!(dependency(package, on), [""; 0], "{package} -> {on}");
        }
    }

    #[test]
    fn an_edge_outside_the_table_is_found() {
        for (package, on) in [
            ("ringway-io", "ringway-proto"),
            ("ringway-proto", "ringway-io"),
            ("ringway-uring", "ringway-proto"),
            ("ringway-sim", "ringway-uring"),
            ("ringway", "ringway-sim"),
            ("ringway", "ringway-files"),
            ("ringway-files", "ringway-io"),
            ("ringway-rpc", "ringway-files"),
            ("ringway-ffi", "ringway-uring"),
            ("xtask", "ringway-io"),
        ] {
            let expected = format!("{package}: dependency on `{on}` is not allowed");
            assert_eq!(dependency(package, on), [expected]);
        }
    }

    #[test]
    fn tests_may_use_the_simulator_and_nothing_else_extra() {
        assert_eq!(dev_dependency("ringway", "ringway-sim"), [""; 0]);
        assert_eq!(dev_dependency("ringway-files", "ringway-sim"), [""; 0]);
        assert_eq!(
            dev_dependency("ringway-files", "ringway-uring"),
            ["ringway-files: dev-dependency on `ringway-uring` is not allowed"]
        );
        assert_eq!(
            dev_dependency("ringway-proto", "ringway-sim"),
            ["ringway-proto: dev-dependency on `ringway-sim` is not allowed"]
        );
    }

    #[test]
    fn a_member_the_house_does_not_know_is_found() {
        let findings = dependency("ringway-common", "ringway-io");
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("ringway-common: the house has no crate"));
    }

    #[test]
    fn a_member_in_the_wrong_place_is_found() {
        let mut member = depends("ringway-files", "ringway", false);
        member.folder = "tools/files".to_owned();
        assert_eq!(
            findings(&member),
            ["ringway-files: lives in `tools/files`, its place is `engine/files`"]
        );
    }
}
