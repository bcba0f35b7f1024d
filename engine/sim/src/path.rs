//! Walks paths, as openat2(2) does it: freely for the local user, strictly beneath a directory
//! for everybody else.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path};

use ringway_io::Errno;

use crate::disk::{Disk, ROOT};
use crate::node::Body;

/// Symbolic links followed in one path (path_resolution(7)).
const LINKS_MAX: u32 = 40;
/// Longest name of one component, bytes (limits.h `NAME_MAX`).
const NAME_BYTES_MAX: usize = 255;
const ENAMETOOLONG: Errno = Errno(36);

/// Where a path starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the root, which is the working directory too.
    Ambient,
    /// At this directory, and never out of it.
    Beneath(u64),
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) parent: u64,
    /// Its name there; empty when it is the start itself or was reached by `..`.
    pub(crate) name: OsString,
    /// What is there.
    pub(crate) node: Option<u64>,
}

enum Step {
    Up,
    Root,
    Name(OsString),
}

/// One walk.
struct Walk<'disk> {
    disk: &'disk Disk,
    is_beneath: bool,
    /// From the start to where we are.
    trail: Vec<u64>,
    rest: VecDeque<Step>,
    links: u32,
}

impl Disk {
    /// Resolves a path; a symbolic link at its end is followed if `follow_last`.
    pub(crate) fn walk(
        &self,
        start: Start,
        path: &Path,
        follow_last: bool,
    ) -> Result<Place, Errno> {
        let (is_beneath, first) = match start {
            Start::Ambient => (false, ROOT),
            Start::Beneath(directory) => (true, directory),
        };
        let walk = Walk {
            disk: self,
            is_beneath,
            trail: vec![first],
            rest: steps(path),
            links: 0,
        };
        walk.run(follow_last)
    }

    /// Resolves a name to be changed: a single component where it is beneath a directory.
    pub(crate) fn walk_to_name(&self, start: Start, path: &Path) -> Result<Place, Errno> {
        let is_single = matches!(
            path.components().collect::<Vec<_>>()[..],
            [Component::Normal(_)]
        );
        if start != Start::Ambient && !is_single {
            return Err(Errno::EINVAL);
        }
        let place = self.walk(start, path, false)?;
        if place.name.is_empty() {
            return Err(Errno::EINVAL);
        }
        Ok(place)
    }
}

fn steps(path: &Path) -> VecDeque<Step> {
    let step = |component: Component<'_>| match component {
        Component::ParentDir => Some(Step::Up),
        Component::RootDir | Component::Prefix(_) => Some(Step::Root),
        Component::Normal(name) => Some(Step::Name(name.to_owned())),
        Component::CurDir => None,
    };
    path.components().filter_map(step).collect()
}

impl Walk<'_> {
    fn run(mut self, follow_last: bool) -> Result<Place, Errno> {
        while let Some(step) = self.rest.pop_front() {
            match step {
                Step::Root if self.is_beneath => return Err(Errno::EXDEV),
                Step::Root => self.trail = vec![ROOT],
                Step::Up => self.up()?,
                Step::Name(name) => {
                    let is_last = self.rest.is_empty();
                    if let Some(place) = self.down(name, is_last, follow_last)? {
                        return Ok(place);
                    }
                }
            }
        }
        Ok(Place {
            parent: self.here(),
            name: OsString::new(),
            node: Some(self.here()),
        })
    }

    fn here(&self) -> u64 {
        *self.trail.last().expect("a walk has a start")
    }

    fn up(&mut self) -> Result<(), Errno> {
        if self.trail.len() > 1 {
            self.trail.pop();
        } else if self.is_beneath {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// One name further; the place when the path ends here.
    fn down(
        &mut self,
        name: OsString,
        is_last: bool,
        follow_last: bool,
    ) -> Result<Option<Place>, Errno> {
        let parent = self.here();
        let node = self.find(parent, &name)?;
        let Some(found) = node else {
            if is_last {
                return Ok(Some(Place { parent, name, node }));
            }
            return Err(Errno::ENOENT);
        };
        let link = match &self.disk.node(found)?.body {
            Body::Symlink(target) if follow_last || !is_last => Some(target.clone()),
            _ => None,
        };
        if let Some(target) = link {
            self.follow(&target)?;
        } else if is_last {
            return Ok(Some(Place { parent, name, node }));
        } else {
            self.trail.push(found);
        }
        Ok(None)
    }

    fn find(&self, parent: u64, name: &OsStr) -> Result<Option<u64>, Errno> {
        if name.len() > NAME_BYTES_MAX {
            return Err(ENAMETOOLONG);
        }
        let names = self.disk.node(parent)?.names().ok_or(Errno::ENOTDIR)?;
        Ok(names.now.get(name).copied())
    }

    fn follow(&mut self, target: &Path) -> Result<(), Errno> {
        self.links += 1;
        if self.is_beneath || self.links > LINKS_MAX {
            return Err(Errno::ELOOP);
        }
        let mut rest = steps(target);
        rest.append(&mut self.rest);
        self.rest = rest;
        Ok(())
    }
}
