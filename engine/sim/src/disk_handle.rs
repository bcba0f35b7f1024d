//! A host's disk as a test sees it: behind the back of the code under test.

use std::path::Path;

use ringway_io::{Errno, FileStat};

use crate::content::Content;
use crate::disk::{Disk, DiskCall};
use crate::fault::FaultKind;
use crate::node::{Body, Names, Node};
use crate::path::Start;
use crate::{HostId, World};

/// Plants, reads and breaks files of one host. What is planted is on the device at once.
#[derive(Clone, Debug)]
pub struct DiskHandle {
    world: World,
    host: HostId,
}

impl DiskHandle {
    pub(crate) fn new(world: World, host: HostId) -> Self {
        Self { world, host }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Disk, i128) -> R) -> R {
        let mut state = self.world.0.borrow_mut();
        state.settle();
        let now_ns = state.wall_ns();
        act(&mut state.hosts[self.host.0].disk, now_ns)
    }

    fn count_change(&self) {
        let mut state = self.world.0.borrow_mut();
        state.tally.add(FaultKind::FileChanged, 1);
    }

    /// Adds a node; directories on the way are made, a node of that name is replaced.
    fn plant(&self, path: &Path, body: Body, mode: u32) {
        self.with(|disk, now_ns| {
            let parents: Vec<_> = path.ancestors().skip(1).collect();
            for parent in parents.iter().rev() {
                // There already, or the root.
                let _ = disk.make_directory(Start::Ambient, parent, 0o755, now_ns);
            }
            let place = disk
                .walk(Start::Ambient, path, false)
                .expect("a path to plant at leads through directories");
            disk.add(&place, Node::new(body, mode, now_ns), now_ns)
                .expect("the parent is a directory");
            disk.sync_all();
        });
    }

    /// Puts a file with these bytes, mode 0644.
    ///
    /// # Panics
    /// If the path leads through something that is not a directory; so do the others.
    pub fn plant_file(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let mut content = Content::default();
        content.write(0, bytes);
        self.plant(path.as_ref(), Body::Regular(content), 0o644);
    }

    /// Puts a file of `length` bytes of [`crate::pattern_bytes`]; it takes no memory.
    pub fn plant_pattern(&self, path: impl AsRef<Path>, seed: u64, length: u64) {
        let content = Content::pattern(seed, length);
        self.plant(path.as_ref(), Body::Regular(content), 0o644);
    }

    /// Puts an empty directory.
    pub fn plant_directory(&self, path: impl AsRef<Path>) {
        let names = Names::default();
        self.plant(path.as_ref(), Body::Directory(names), 0o755);
    }

    /// Puts a symbolic link.
    pub fn plant_symlink(&self, path: impl AsRef<Path>, target: impl AsRef<Path>) {
        let target = target.as_ref().to_owned();
        self.plant(path.as_ref(), Body::Symlink(target), 0o777);
    }

    /// Puts a FIFO.
    pub fn plant_fifo(&self, path: impl AsRef<Path>) {
        self.plant(path.as_ref(), Body::Special, 0o644);
    }

    /// What a file holds now; `None` when there is no such file.
    #[must_use]
    pub fn read_file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.with(|disk, _| {
            let place = disk.walk(Start::Ambient, path.as_ref(), true).ok()?;
            let node = place.node?;
            let length = disk.node(node).ok()?.content()?.len();
            let mut bytes = vec![0; usize::try_from(length).ok()?];
            disk.peek(node, 0, &mut bytes);
            Some(bytes)
        })
    }

    /// Changes a file in place, as another process would.
    ///
    /// # Errors
    /// `ENOENT` when there is none; what a write says.
    pub fn overwrite(
        &self,
        path: impl AsRef<Path>,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Errno> {
        self.count_change();
        self.with(|disk, now_ns| {
            let place = disk.walk(Start::Ambient, path.as_ref(), true)?;
            let node = place.node.ok_or(Errno::ENOENT)?;
            disk.write(node, offset, bytes, now_ns).map(|_| ())
        })
    }

    /// Cuts or extends a file, as another process would.
    ///
    /// # Errors
    /// `ENOENT` when there is none.
    pub fn truncate(&self, path: impl AsRef<Path>, length: u64) -> Result<(), Errno> {
        self.count_change();
        self.with(|disk, now_ns| {
            let place = disk.walk(Start::Ambient, path.as_ref(), true)?;
            let node = place.node.ok_or(Errno::ENOENT)?;
            disk.truncate(node, length, now_ns)
        })
    }

    /// What stat says, links not followed; `None` when there is nothing.
    #[must_use]
    pub fn stat(&self, path: impl AsRef<Path>) -> Option<FileStat> {
        self.with(|disk, _| {
            let place = disk.walk(Start::Ambient, path.as_ref(), false).ok()?;
            disk.stat(place.node?).ok()
        })
    }

    /// Names in a directory, sorted; empty when there is none.
    #[must_use]
    pub fn list(&self, path: impl AsRef<Path>) -> Vec<String> {
        self.with(|disk, _| {
            let place = disk.walk(Start::Ambient, path.as_ref(), true);
            let node = place.ok().and_then(|place| place.node);
            let entries = node.and_then(|node| disk.entries(node).ok());
            let name =
                |entry: ringway_io::DirectoryEntry| entry.name.to_string_lossy().into_owned();
            entries.into_iter().flatten().map(name).collect()
        })
    }

    /// Lets a call on a path fail from now on.
    pub fn fail(&self, path: impl AsRef<Path>, call: DiskCall, errno: Errno) {
        let path = path.as_ref().to_owned();
        self.with(|disk, _| disk.faults.insert((path, call), errno));
    }

    /// Takes all planted errors away.
    pub fn heal(&self) {
        self.with(|disk, _| disk.faults.clear());
    }

    /// Sets how much fits, bytes.
    pub fn set_capacity(&self, bytes: u64) {
        self.with(|disk, _| disk.config.capacity_bytes = bytes);
    }

    /// Leaves room for so many further bytes.
    pub fn leave_room(&self, bytes: u64) {
        self.with(|disk, _| disk.config.capacity_bytes = disk.used.saturating_add(bytes));
    }

    /// Flushes everything.
    pub fn sync(&self) {
        self.with(|disk, _| disk.sync_all());
    }
}
