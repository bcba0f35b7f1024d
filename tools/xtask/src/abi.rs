//! `cargo xtask abi`: programs built with an older header keep running with this library.
//!
//! ```text
//!   ffi/abi/ringway-0.1.0.h ─▶ witness.c ─▶ old.so ─┐
//!                                                   ├─▶ abidiff, with ffi/abi/growth.abignore
//!   ffi/include/ringway.h   ─▶ witness.c ─▶ new.so ─┘
//! ```
//!
//! What is compared is the C view of the interface: a witness defines every function of a header and
//! does nothing. The library itself tells abidiff the types of Rust, whose names change with the
//! compiler. That it offers exactly the functions of the header, `cargo xtask install` checks; that
//! the header is what the functions make, `cargo xtask header --check`.
//!
//! A header in ffi/abi is never changed: a release adds one.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::apt;
use crate::failure::{Failure, Result};
use crate::header;
use crate::invocation::Invocation;
use crate::manual;
use crate::workspace::Workspace;

/// Compares the header with each that was released, as programs built with those see it
#[derive(clap::Args)]
pub struct Options {}

/// Compares.
pub fn run(workspace: &Workspace, _: &Options) -> Result<()> {
    apt::ensure(&["abigail-tools"])?;
    let folder = workspace.cache_dir("abi");
    fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;
    let present = witness(&header::path(workspace), &folder.join("new"))?;
    let released = workspace.root().join("ffi/abi");
    for header in headers(&released)? {
        let old = witness(&header, &folder.join("old"))?;
        let compare = Invocation::new("abidiff")
            .args(["--no-added-syms", "--suppressions"])
            .args([released.join("growth.abignore"), old, present.clone()]);
        println!("{compare}");
        compare.stream()?;
        println!("compatible with {}", header.display());
    }
    Ok(())
}

fn headers(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut headers = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::file(folder))? {
        let path = entry.map_err(Failure::file(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "h") {
            headers.push(path);
        }
    }
    headers.sort();
    Ok(headers)
}

/// A shared library with everything that the header declares, and with what abidiff reads.
fn witness(header: &Path, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).map_err(Failure::file(folder))?;
    let text = fs::read_to_string(header).map_err(Failure::file(header))?;
    for (name, content) in [("ringway.h", &text), ("witness.c", &source(&text))] {
        let file = folder.join(name);
        fs::write(&file, content).map_err(Failure::file(&file))?;
    }
    // One name for both: abidiff compares the name that programs ask for, too.
    let library = folder.join("libringway.so");
    let cc = Invocation::new("cc")
        .args(["-shared", "-fPIC", "-g", "-O0", "-I"])
        .args([folder])
        .args(["-Wl,-soname,libringway.so", "-o"])
        .args([&library, &folder.join("witness.c")]);
    cc.stream()?;
    Ok(library)
}

/// The source of a witness: every function, and a variable of every enumeration, since the
/// functions take plain numbers.
fn source(header: &str) -> String {
    let mut source = String::from("#include <ringway.h>\n");
    for function in manual::functions(header) {
        let first = function.comment.first().map_or("", String::as_str);
        if first.starts_with("EXPERIMENTAL") {
            continue;
        }
        let _ = write!(source, "{}\n{{ return 0; }}\n", function.declaration);
    }
    let enums = header.lines().filter_map(|line| {
        let rest = line.strip_prefix("typedef enum ")?;
        rest.strip_suffix(" {")
    });
    for name in enums {
        let _ = writeln!(source, "{name} witness_of_{name};");
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "\
typedef enum ringway_code {
    RINGWAY_OK = 0,
} ringway_code;

/**
 * EXPERIMENTAL: may go.
 */
int ringway_risky(void);

/**
 * Does it.
 */
int ringway_do(int n,
               int m);
";

    #[test]
    fn a_witness_has_every_lasting_function_and_enumeration() {
        assert_eq!(
            source(HEADER),
            "#include <ringway.h>\n\
             int ringway_do(int n,\n               int m)\n{ return 0; }\n\
             ringway_code witness_of_ringway_code;\n"
        );
    }
}
