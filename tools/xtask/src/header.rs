//! `cargo xtask header`: the C header, made from the exported functions.

use std::fs;
use std::path::PathBuf;

use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

/// Make ffi/include/ringway.h from the exported functions, or check that it is up to date
#[derive(clap::Args)]
pub struct Options {
    /// Change nothing; fail when the committed header is another one
    #[arg(long)]
    check: bool,
}

impl Options {
    /// To check only.
    pub fn checking() -> Self {
        Self { check: true }
    }
}

/// Makes or checks it.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let path = path(workspace);
    let made = make(workspace)?;
    if !options.check {
        fs::write(&path, made).map_err(Failure::file(&path))?;
        println!("wrote {}", path.display());
        return Ok(());
    }
    let committed = fs::read_to_string(&path).map_err(Failure::file(&path))?;
    if committed != made {
        return Err(Failure::Stale { path });
    }
    println!("{} is up to date", path.display());
    Ok(())
}

/// Where it lies.
pub fn path(workspace: &Workspace) -> PathBuf {
    workspace.root().join("ffi/include/ringway.h")
}

fn make(workspace: &Workspace) -> Result<String> {
    let folder = workspace.root().join("ffi");
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml"));
    let config = config.map_err(|text| Failure::Header { text })?;
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in sources(&folder)? {
        builder = builder.with_src(source);
    }
    let bindings = builder.generate();
    let bindings = bindings.map_err(|error| Failure::Header {
        text: error.to_string(),
    })?;
    let mut header = Vec::new();
    bindings.write(&mut header);
    Ok(String::from_utf8_lossy(&header).into_owned())
}

/// The sources that declare something for C, in the order in which it is to stand there.
fn sources(folder: &std::path::Path) -> Result<Vec<PathBuf>> {
    let first = [
        "code.rs",
        "detail.rs",
        "event.rs",
        "options.rs",
        "log.rs",
        "buffer.rs",
    ];
    let then = [
        "about.rs",
        "engine.rs",
        "faults.rs",
        "event_loop.rs",
        "keys.rs",
        "buffer.rs",
        "listener.rs",
        "session.rs",
        "remains.rs",
        "stream.rs",
        "transfer.rs",
        "log.rs",
    ];
    let source = folder.join("src");
    let abi = source.join("abi");
    let known: Vec<_> = (first.iter().map(|name| source.join(name)))
        .chain(then.iter().map(|name| abi.join(name)))
        .collect();
    // A new file of functions that nobody added here would be missing in the header.
    for entry in fs::read_dir(&abi).map_err(Failure::file(&abi))? {
        let path = entry.map_err(Failure::file(&abi))?.path();
        if !known.contains(&path) && !path.ends_with("pointer.rs") {
            return Err(Failure::Header {
                text: format!("{} is not in the list of sources", path.display()),
            });
        }
    }
    Ok(known)
}
