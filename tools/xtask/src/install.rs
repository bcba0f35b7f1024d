//! `cargo xtask install`: what a C program builds with, below a prefix.
//!
//! ```text
//!   lib/libringway.a            the static library, as cargo builds it
//!   lib/libringway.so.0.1.0     linked from it by the C compiler, with versioned symbols
//!   lib/libringway.so.0, .so    links to it
//!   lib/pkgconfig/ringway.pc    include/ringway.h    share/man/man3/ringway_*.3
//! ```
//!
//! The shared library is not a `cdylib`, because the symbols of one cannot be versioned.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::header;
use crate::invocation::Invocation;
use crate::manual;
use crate::workspace::Workspace;

/// Install the C library, its header, pkg-config file and manual pages
#[derive(clap::Args)]
pub struct Options {
    /// Where to; made if it is not there
    #[arg(long, value_name = "DIR")]
    prefix: PathBuf,
    /// Build without optimisation, for debugging
    #[arg(long)]
    debug: bool,
}

impl Options {
    /// For checks: what is built for tests anyway.
    pub fn unoptimised(prefix: &Path) -> Self {
        Self {
            prefix: prefix.to_owned(),
            debug: true,
        }
    }
}

/// What the system's libraries are that Rust's own need.
const SYSTEM_LIBRARIES: [&str; 6] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

/// Builds and installs.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let archive = build(workspace, options.debug)?;
    let prefix = std::path::absolute(&options.prefix).map_err(Failure::file(&options.prefix))?;
    let library = prefix.join("lib");
    for folder in [
        &library,
        &library.join("pkgconfig"),
        &prefix.join("include"),
    ] {
        fs::create_dir_all(folder).map_err(Failure::file(folder))?;
    }
    let static_library = library.join("libringway.a");
    copy(&archive, &static_library)?;
    let header = header::path(workspace);
    copy(&header, &prefix.join("include/ringway.h"))?;
    let shared = link(workspace, &static_library, &library)?;
    check_symbols(&shared, &header)?;
    let description = library.join("pkgconfig/ringway.pc");
    fs::write(&description, pkg_config(&prefix)).map_err(Failure::file(&description))?;
    let pages = manual::write(&header, &prefix.join("share/man/man3"))?;
    println!("installed into {}, {pages} manual pages", prefix.display());
    Ok(())
}

fn build(workspace: &Workspace, debug: bool) -> Result<PathBuf> {
    let profile = if debug { "dev" } else { "release" };
    let build = Invocation::cargo().args(["build", "-p", "ringway-ffi", "--profile", profile]);
    build.stream()?;
    let folder = if debug { "debug" } else { "release" };
    Ok(workspace.cache_dir(folder).join("libringway_ffi.a"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).map_err(Failure::file(from))
}

/// Links the shared library and its two names.
fn link(workspace: &Workspace, archive: &Path, folder: &Path) -> Result<PathBuf> {
    let version = env!("CARGO_PKG_VERSION");
    let major = env!("CARGO_PKG_VERSION_MAJOR");
    let soname = format!("libringway.so.{major}");
    let file = folder.join(format!("libringway.so.{version}"));
    let script = workspace.root().join("ffi/ringway.map");
    let option = |name: &str, path: &Path| format!("{name}{}", path.display());
    let arguments = [
        "-shared".to_owned(),
        "-o".to_owned(),
        file.display().to_string(),
        format!("-Wl,-soname,{soname}"),
        option("-Wl,--version-script=", &script),
        "-Wl,--gc-sections,-z,defs,-z,relro,-z,now,--build-id".to_owned(),
        "-Wl,--whole-archive".to_owned(),
        archive.display().to_string(),
        "-Wl,--no-whole-archive".to_owned(),
    ];
    let cc = Invocation::new("cc").args(arguments);
    cc.args(SYSTEM_LIBRARIES).stream()?;
    for name in [soname.as_str(), "libringway.so"] {
        let link = folder.join(name);
        let _ = fs::remove_file(&link);
        symlink(format!("libringway.so.{version}"), &link).map_err(Failure::file(&link))?;
    }
    Ok(file)
}

/// What the shared library offers is exactly what the header declares.
fn check_symbols(shared: &Path, header: &Path) -> Result<()> {
    let nm = Invocation::new("nm").args(["-D", "--defined-only", "--format=posix"]);
    let listed = nm.args([shared]).capture()?;
    let mut offered: Vec<String> = (listed.lines())
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|name| name.split('@').next())
        .filter(|name| name.starts_with("ringway_"))
        .map(str::to_owned)
        .collect();
    let text = fs::read_to_string(header).map_err(Failure::file(header))?;
    let mut declared: Vec<String> = (manual::functions(&text).into_iter())
        .map(|function| function.name)
        .collect();
    offered.sort();
    declared.sort();
    let missing = declared.iter().filter(|name| !offered.contains(name));
    let surplus = offered.iter().filter(|name| !declared.contains(name));
    let names: Vec<&str> = missing.chain(surplus).map(String::as_str).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(Failure::Symbols {
            names: names.join(", "),
        }),
    }
}

fn pkg_config(prefix: &Path) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let private = SYSTEM_LIBRARIES.join(" ");
    format!(
        "prefix={}\n\
         libdir=${{prefix}}/lib\n\
         includedir=${{prefix}}/include\n\
         \n\
         Name: ringway\n\
         Description: Zero-copy transport on io_uring, with streams that survive connection loss\n\
         Version: {version}\n\
         Libs: -L${{libdir}} -lringway\n\
         Libs.private: {private}\n\
         Cflags: -I${{includedir}}\n",
        prefix.display()
    )
}
