//! Debian packages: installing what a job needs, and fetching packages without installing them.
//!
//! Package lists may be missing or stale (a fresh image, a point release since). So each request is
//! tried with the lists at hand, and once more after `apt-get update`.

use std::path::Path;

use crate::failure::Result;
use crate::invocation::Invocation;

/// A version of a package that some source offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The package's name.
    pub package: String,
    /// Its version.
    pub version: String,
}

/// Installs those of `packages` that are missing.
pub fn ensure(packages: &[&str]) -> Result<()> {
    let mut missing = Vec::new();
    for package in packages {
        if !is_installed(package)? {
            missing.push(*package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let install = apt_get()
        .args(["install", "-y", "--no-install-recommends"])
        .args(missing);
    or_after_update(|| install.stream())
}

/// Fetches the package into `dir` as a `.deb` file; apt checks its signature chain.
pub fn download(offer: &Offer, dir: &Path) -> Result<()> {
    let wanted = format!("{}={}", offer.package, offer.version);
    // Apt's own user could not write into our directory: without this, root gets a warning.
    let as_us = ["-o", "APT::Sandbox::User=root"];
    let download = apt_get().args(as_us).args(["download", &wanted]);
    download.dir(dir).stream()
}

/// Everything on offer whose package name starts with `prefix` and ends with `suffix`.
pub fn offers(prefix: &str, suffix: &str) -> Result<Vec<Offer>> {
    let names = Invocation::new("apt-cache")
        .args(["pkgnames", prefix])
        .capture()?;
    let names = names.lines().filter(|name| name.ends_with(suffix));
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    // `pkgnames` also lists names that are only mentioned by other packages; `madison` does not.
    let table = Invocation::new("apt-cache")
        .args(["madison"])
        .args(names)
        .capture()?;
    Ok(table.lines().filter_map(offer).collect())
}

/// Tries, and after a failure tries once more with what the package sources offer now.
pub fn or_after_update<T>(attempt: impl Fn() -> Result<T>) -> Result<T> {
    attempt().or_else(|failure| {
        println!("{failure}; asking the package sources again");
        apt_get().args(["update"]).stream()?;
        attempt()
    })
}

fn apt_get() -> Invocation {
    Invocation::new("apt-get")
        .args(["-q"])
        .env("DEBIAN_FRONTEND", "noninteractive")
}

fn is_installed(package: &str) -> Result<bool> {
    let query = Invocation::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]);
    // It fails for a package it has never heard of, which is the answer.
    Ok(query.succeeds()? && query.capture()?.trim() == "installed")
}

/// A line of `apt-cache madison`: `package | version | source`.
fn offer(line: &str) -> Option<Offer> {
    let mut columns = line.split('|').map(str::trim);
    Some(Offer {
        package: columns.next()?.to_owned(),
        version: columns.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_madison_is_an_offer() {
        let line = " linux-image-6.1.0-1-cloud-amd64 |  6.1.4-1 | http://deb.debian.org/debian bookworm/main amd64 Packages";
        let expected = Offer {
            package: "linux-image-6.1.0-1-cloud-amd64".to_owned(),
            version: "6.1.4-1".to_owned(),
        };
        assert_eq!(offer(line), Some(expected));
    }
}
