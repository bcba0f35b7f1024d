//! Reading one directory: names in order, each with what stat says.

use std::ffi::OsString;
use std::path::Path;

use ringway::{Directory, Errno, Error, FileStat};

use crate::failure::{At, Failure, Fault, Halt, is_errno};
use crate::limits::STATS_IN_FLIGHT;
use crate::window::Window;

/// Names in a directory and what they stand for.
pub(crate) type Folder = Vec<(OsString, FileStat)>;

const EOVERFLOW: Errno = Errno(75);

/// Reads an open directory, sorted by name. What vanishes meanwhile is left out.
pub(crate) async fn read(
    directory: &Directory,
    entries_max: usize,
    shown: &Path,
) -> Result<Folder, Halt> {
    let names = match directory.entries(entries_max).await {
        Err(error) if is_errno(&error, EOVERFLOW) => {
            let allowed = entries_max as u64;
            let what = "entries in one directory".to_owned();
            let fault = Fault::Limit {
                what,
                wanted: allowed + 1,
                allowed,
            };
            return Err(Failure::new(fault, shown).into());
        }
        other => other.at(shown)?,
    };
    let mut names = names.into_iter().map(|entry| entry.name);
    let (mut folder, mut stats) = (Vec::with_capacity(names.len()), Window::new());
    loop {
        while stats.len() < STATS_IN_FLIGHT {
            let Some(name) = names.next() else { break };
            stats.push(look(directory, name));
        }
        match stats.next().await {
            None => break,
            Some(looked) => folder.extend(looked.at(shown)?),
        }
    }
    drop(stats);
    folder.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    Ok(folder)
}

async fn look(
    directory: &Directory,
    name: OsString,
) -> Result<Option<(OsString, FileStat)>, Error> {
    match directory.stat(&name).await {
        Err(error) if is_errno(&error, Errno::ENOENT) => Ok(None),
        stat => stat.map(|stat| Some((name, stat))),
    }
}
