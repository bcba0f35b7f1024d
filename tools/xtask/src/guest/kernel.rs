//! A kernel out of Debian's packages.
//!
//! The cloud flavour is taken because it has everything a guest without devices needs built in:
//! serial ports, loopback, tmpfs, io_uring. Modules are kept for virtio's network devices only.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::apt::{self, Offer};
use crate::failure::{Failure, Result};
use crate::invocation::Invocation;

/// A series of kernels with long support.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Series {
    /// The oldest that Ringway supports (Debian 12)
    #[value(name = "6.1")]
    V6_1,
    /// One between the oldest and today's (Debian 13; also in Debian 12's security updates)
    #[value(name = "6.12")]
    V6_12,
}

impl Series {
    fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::V6_1 => "It is in the sources bookworm and bookworm-security.",
            Self::V6_12 => {
                "It is in the sources bookworm-security and bookworm-backports of Debian 12, and in trixie."
            }
        }
    }
}

/// A kernel as it lies in the cache.
pub struct Kernel {
    pub image: PathBuf,
    /// Of virtio's network devices, in the order in which they load.
    pub drivers: Vec<PathBuf>,
}

/// Each needs those before it. What a kernel has built in is no module of its package.
const DRIVERS: [&str; 8] = [
    "failover",
    "net_failover",
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_net",
];

/// The newest kernel of the series on offer, from `cache` if it is there already.
pub fn get(series: Series, cache: &Path) -> Result<Kernel> {
    // Stale package lists offer what their server has replaced since: ask once more with fresh ones.
    apt::or_after_update(|| {
        let offer = newest_on_offer(series)?;
        let home = cache.join(format!("{}_{}", offer.package, offer.version));
        if !home.exists() {
            fetch(&offer, cache, &home)?;
        }
        println!("kernel: {} {}", offer.package, offer.version);
        Ok(Kernel::in_dir(&home))
    })
}

impl Kernel {
    fn in_dir(home: &Path) -> Self {
        let drivers = DRIVERS.map(|name| home.join(format!("{name}.ko")));
        Self {
            image: home.join("vmlinuz"),
            drivers: drivers.into_iter().filter(|path| path.exists()).collect(),
        }
    }
}

fn newest_on_offer(series: Series) -> Result<Offer> {
    let name = series.name();
    // The dot keeps 6.1 from finding 6.12.
    let offers = apt::offers(&format!("linux-image-{name}."), "-cloud-amd64")?;
    newest(offers).ok_or(Failure::NoKernel {
        series: name,
        hint: series.hint(),
    })
}

fn newest(offers: Vec<Offer>) -> Option<Offer> {
    offers
        .into_iter()
        .max_by(|a, b| version_order(&a.version, &b.version))
}

/// Downloads and unpacks the package, and keeps the image and the drivers: all of them or nothing.
fn fetch(offer: &Offer, cache: &Path, home: &Path) -> Result<()> {
    fs::create_dir_all(cache).map_err(Failure::file(cache))?;
    let scratch = tempfile::tempdir_in(cache).map_err(Failure::file(cache))?;
    let scratch = scratch.path();
    apt::download(offer, scratch)?;
    let package = only_file(scratch, |name| name.ends_with(".deb"), offer)?;
    let unpacked = scratch.join("unpacked");
    Invocation::new("dpkg-deb")
        .args([Path::new("-x"), &package, &unpacked])
        .stream()?;
    let kept = scratch.join("kept");
    fs::create_dir(&kept).map_err(Failure::file(&kept))?;
    let vmlinuz = only_file(
        &unpacked.join("boot"),
        |name| name.starts_with("vmlinuz-"),
        offer,
    )?;
    let image = kept.join("vmlinuz");
    fs::rename(&vmlinuz, &image).map_err(Failure::file(&image))?;
    keep_drivers(&unpacked.join("lib/modules"), &kept)?;
    fs::rename(&kept, home).map_err(Failure::file(home))
}

fn keep_drivers(modules: &Path, kept: &Path) -> Result<()> {
    for path in files_below(modules)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((driver, ending)) = name.split_once(".ko") else {
            continue;
        };
        // Some names have a dash in the file and an underscore everywhere else.
        let driver = driver.replace('-', "_");
        if !DRIVERS.contains(&driver.as_str()) {
            continue;
        }
        let target = kept.join(format!("{driver}.ko{ending}"));
        fs::rename(&path, &target).map_err(Failure::file(&target))?;
        if ending == ".xz" {
            Invocation::new("xz")
                .args([Path::new("--decompress"), &target])
                .stream()?;
        }
    }
    Ok(())
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let listing = Invocation::new("find")
        .args([dir])
        .args(["-type", "f"])
        .capture()?;
    Ok(listing.lines().map(PathBuf::from).collect())
}

fn only_file(dir: &Path, is_it: impl Fn(&str) -> bool, offer: &Offer) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).map_err(Failure::file(dir))?;
    let mut names = entries.flatten().map(|entry| entry.file_name());
    names
        .find(|name| is_it(&name.to_string_lossy()))
        .map(|name| dir.join(name))
        .ok_or_else(|| Failure::NoImage {
            package: offer.package.clone(),
        })
}

/// Compares two versions of one series by their numbers. Debian's full order knows more (`~`,
/// letters), which versions of one package family in one release do not need.
fn version_order(a: &str, b: &str) -> Ordering {
    numbers(a).cmp(numbers(b))
}

fn numbers(version: &str) -> impl Iterator<Item = u64> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_found_by_number_not_by_letter() {
        let offers = ["6.1.99-1", "6.1.192-2", "6.1.192-1", "6.1.187-1"].map(|version| Offer {
            package: "linux-image".to_owned(),
            version: version.to_owned(),
        });
        let found = newest(offers.into()).expect("there are four");
        assert_eq!(found.version, "6.1.192-2");
    }
}
