//! One host's disk: inodes, names, space, and what survives a crash.
//!
//! Strict on purpose: a name is on the device only once its directory was synced, content only
//! once the file was. Real file systems are often kinder, none promises to be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ringway_io::{DirectoryEntry, Errno, FileKind, FileStat, OpenHow};

use crate::config::DiskConfig;
use crate::content::Content;
use crate::node::{BLOCK_BYTES, Body, Names, Node};
use crate::path::{Place, Start};
use crate::queue::PAGE_BYTES;
use crate::random::Random;

/// Inode of the root directory.
pub(crate) const ROOT: u64 = 1;
const PAGE: u64 = PAGE_BYTES as u64;
/// No such device or address: a FIFO that nobody reads (errno(3)).
const ENXIO: Errno = Errno(6);
const ENOTEMPTY: Errno = Errno(39);

/// A call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskCall {
    /// Opening it.
    Open,
    /// Reading and splicing from it.
    Read,
    /// Writing and splicing to it.
    Write,
    /// Flushing it.
    Sync,
    /// Renaming it, or something onto it.
    Rename,
}

/// The disk of a host.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) config: DiskConfig,
    device: u64,
    nodes: BTreeMap<u64, Node>,
    node_next: u64,
    pub(crate) used: u64,
    pub(crate) faults: BTreeMap<(PathBuf, DiskCall), Errno>,
}

impl Disk {
    pub(crate) fn new(config: DiskConfig, device: u64) -> Self {
        let root = Node::new(Body::Directory(Names::default()), 0o755, 0);
        Self {
            config,
            device,
            nodes: BTreeMap::from([(ROOT, root)]),
            node_next: ROOT + 1,
            used: 0,
            faults: BTreeMap::new(),
        }
    }

    pub(crate) fn node(&self, node: u64) -> Result<&Node, Errno> {
        self.nodes.get(&node).ok_or(Errno::ENOENT)
    }

    pub(crate) fn node_mut(&mut self, node: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&node).ok_or(Errno::ENOENT)
    }

    // --- faults and space ---------------------------------------------------------------

    /// The error planted for a call on a node, if any.
    pub(crate) fn check(&self, node: u64, call: DiskCall) -> Result<(), Errno> {
        for ((path, planted), &errno) in &self.faults {
            let place = self.walk(Start::Ambient, path, true);
            if *planted == call && place.is_ok_and(|place| place.node == Some(node)) {
                return Err(errno);
            }
        }
        Ok(())
    }

    /// Counts a node's space again after it changed.
    fn recharge(&mut self, node: u64) {
        let Some(it) = self.nodes.get_mut(&node) else {
            return;
        };
        let pages = it.content().map_or(0, Content::page_bytes);
        let charge = if it.names_now + it.opens > 0 {
            pages.max(it.reserved)
        } else {
            0
        };
        self.used = self.used - it.charged + charge;
        it.charged = charge;
    }

    /// Bytes that a write may add to a node.
    fn free_bytes(&self, node: &Node) -> u64 {
        let pages = node.content().map_or(0, Content::page_bytes);
        let reserved = node.reserved.saturating_sub(pages);
        self.config.capacity_bytes.saturating_sub(self.used) + reserved
    }

    /// Lets go of a node that nothing leads to any more.
    fn forget_if_unused(&mut self, node: u64) {
        self.recharge(node);
        let is_unused =
            |it: &Node| it.names_now + it.names_durable + it.opens == 0 && it.charged == 0;
        if node != ROOT && self.nodes.get(&node).is_some_and(is_unused) {
            self.nodes.remove(&node);
        }
    }

    /// Names a node in a directory.
    fn link(&mut self, place: &Place, node: u64, now_ns: i128) -> Result<(), Errno> {
        let parent = self.node_mut(place.parent)?;
        parent.touch(now_ns);
        let names = parent.names_mut().ok_or(Errno::ENOTDIR)?;
        let replaced = names.now.insert(place.name.clone(), node);
        self.node_mut(node)?.names_now += 1;
        self.unnamed(replaced);
        Ok(())
    }

    /// Takes a name away.
    fn unlink(&mut self, place: &Place, now_ns: i128) -> Result<(), Errno> {
        let parent = self.node_mut(place.parent)?;
        parent.touch(now_ns);
        let names = parent.names_mut().ok_or(Errno::ENOTDIR)?;
        let removed = names.now.remove(&place.name);
        self.unnamed(removed);
        Ok(())
    }

    fn unnamed(&mut self, node: Option<u64>) {
        let Some(node) = node else {
            return;
        };
        if let Some(it) = self.nodes.get_mut(&node) {
            it.names_now -= 1;
        }
        self.forget_if_unused(node);
    }

    // --- files --------------------------------------------------------------------------

    /// Adds a node under a name.
    pub(crate) fn add(
        &mut self,
        place: &Place,
        mut node: Node,
        now_ns: i128,
    ) -> Result<u64, Errno> {
        node.touch(now_ns);
        let id = self.node_next;
        self.node_next += 1;
        self.nodes.insert(id, node);
        self.link(place, id, now_ns)?;
        self.recharge(id);
        Ok(id)
    }

    /// Opens or makes a file.
    pub(crate) fn open(
        &mut self,
        start: Start,
        path: &Path,
        how: OpenHow,
        now_ns: i128,
    ) -> Result<u64, Errno> {
        let is_new_only = how.exclusive && how.create_mode.is_some();
        let place = self.walk(start, path, !how.no_follow && !is_new_only)?;
        let node = match (place.node, how.create_mode) {
            (Some(_), Some(_)) if how.exclusive => return Err(Errno::EEXIST),
            (Some(node), _) => node,
            (None, None) => return Err(Errno::ENOENT),
            (None, Some(mode)) => {
                let file = Node::new(Body::Regular(Content::default()), mode, now_ns);
                self.add(&place, file, now_ns)?
            }
        };
        self.check(node, DiskCall::Open)?;
        // A new file may be opened for writing whatever its mode.
        may_open(self.node(node)?, how, place.node.is_none())?;
        if how.truncate && how.write {
            self.truncate(node, 0, now_ns)?;
        }
        self.node_mut(node)?.opens += 1;
        Ok(node)
    }

    pub(crate) fn make_directory(
        &mut self,
        start: Start,
        path: &Path,
        mode: u32,
        now_ns: i128,
    ) -> Result<(), Errno> {
        let place = self.walk_to_name(start, path)?;
        if place.node.is_some() {
            return Err(Errno::EEXIST);
        }
        let directory = Node::new(Body::Directory(Names::default()), mode, now_ns);
        self.add(&place, directory, now_ns).map(|_| ())
    }

    /// A node that is open is opened once more.
    pub(crate) fn reopen(&mut self, node: u64) -> Result<(), Errno> {
        self.node_mut(node)?.opens += 1;
        Ok(())
    }

    /// A descriptor of a node is closed.
    pub(crate) fn close(&mut self, node: u64, descriptor: u64) {
        if let Ok(it) = self.node_mut(node) {
            it.opens = it.opens.saturating_sub(1);
            if it.lock == Some(descriptor) {
                it.lock = None;
            }
            self.forget_if_unused(node);
        }
    }

    /// Copies content without an open; returns how much there is.
    pub(crate) fn peek(&self, node: u64, offset: u64, out: &mut [u8]) -> usize {
        let content = self.nodes.get(&node).and_then(Node::content);
        content.map_or(0, |content| content.read(offset, out))
    }

    pub(crate) fn read(&mut self, node: u64, offset: u64, out: &mut [u8]) -> Result<usize, Errno> {
        self.check(node, DiskCall::Read)?;
        if self.node(node)?.kind() == FileKind::Directory {
            return Err(Errno::EISDIR);
        }
        let count = self.peek(node, offset, out);
        self.make_resident(node, offset, count as u64);
        Ok(count)
    }

    /// Writes what there is space for.
    pub(crate) fn write(
        &mut self,
        node: u64,
        offset: u64,
        bytes: &[u8],
        now_ns: i128,
    ) -> Result<usize, Errno> {
        self.check(node, DiskCall::Write)?;
        let it = self.node(node)?;
        let content = it.content().ok_or(Errno::EINVAL)?;
        let pages_free = self.free_bytes(it) / PAGE;
        let mut count = bytes.len();
        while content.pages_missing(offset, count) > pages_free {
            // Back to the last page boundary: short writes end there on real file systems.
            let over = (offset + count as u64 - 1) % PAGE + 1;
            count = count.saturating_sub(over as usize);
        }
        if count == 0 && !bytes.is_empty() {
            return Err(Errno::ENOSPC);
        }
        let it = self.node_mut(node)?;
        it.touch(now_ns);
        if let Some(content) = it.content_mut() {
            content.write(offset, &bytes[..count]);
        }
        self.make_resident(node, offset, count as u64);
        self.recharge(node);
        Ok(count)
    }

    pub(crate) fn truncate(&mut self, node: u64, length: u64, now_ns: i128) -> Result<(), Errno> {
        let it = self.node_mut(node)?;
        it.content_mut().ok_or(Errno::EINVAL)?.truncate(length);
        it.reserved = it.reserved.min(length.next_multiple_of(PAGE));
        it.touch(now_ns);
        self.recharge(node);
        Ok(())
    }

    /// Reserves space up to `length`.
    pub(crate) fn allocate(&mut self, node: u64, length: u64) -> Result<(), Errno> {
        let it = self.node(node)?;
        it.content().ok_or(Errno::EINVAL)?;
        let reserved = length.next_multiple_of(PAGE).max(it.reserved);
        if reserved.saturating_sub(it.charged)
            > self.config.capacity_bytes.saturating_sub(self.used)
        {
            return Err(Errno::ENOSPC);
        }
        self.node_mut(node)?.reserved = reserved;
        self.recharge(node);
        Ok(())
    }

    pub(crate) fn stat(&self, node: u64) -> Result<FileStat, Errno> {
        Ok(self.node(node)?.stat(node, self.device))
    }

    pub(crate) fn is_resident(&self, node: u64, offset: u64, length: u64) -> bool {
        let Ok(it) = self.node(node) else {
            return false;
        };
        let end = it
            .content()
            .map_or(0, Content::len)
            .min(offset.saturating_add(length));
        let per_mille = self.config.resident_per_mille;
        (offset / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES))
            .all(|block| it.is_resident(node, block, per_mille))
    }

    pub(crate) fn make_resident(&mut self, node: u64, offset: u64, length: u64) {
        if let Ok(it) = self.node_mut(node) {
            let blocks = offset / BLOCK_BYTES..(offset + length).div_ceil(BLOCK_BYTES);
            it.resident.extend(blocks);
        }
    }

    // --- names --------------------------------------------------------------------------

    pub(crate) fn entries(&self, directory: u64) -> Result<Vec<DirectoryEntry>, Errno> {
        let names = self.node(directory)?.names().ok_or(Errno::ENOTDIR)?;
        let entry = |(name, &node): (&std::ffi::OsString, &u64)| {
            Ok(DirectoryEntry {
                name: name.clone(),
                kind: self.node(node)?.kind(),
            })
        };
        names.now.iter().map(entry).collect()
    }

    pub(crate) fn rename(
        &mut self,
        from: &Place,
        to: &Place,
        no_replace: bool,
        now_ns: i128,
    ) -> Result<(), Errno> {
        let moved = from.node.ok_or(Errno::ENOENT)?;
        self.check(moved, DiskCall::Rename)?;
        if let Some(replaced) = to.node {
            self.check(replaced, DiskCall::Rename)?;
            if no_replace {
                return Err(Errno::EEXIST);
            }
            if replaced == moved {
                return Ok(());
            }
            self.may_replace(moved, replaced)?;
        }
        if self.is_within(to.parent, moved) {
            return Err(Errno::EINVAL);
        }
        // The new name first: a node without any would be forgotten.
        self.link(to, moved, now_ns)?;
        self.unlink(from, now_ns)?;
        self.node_mut(moved)?.changed_ns = now_ns;
        Ok(())
    }

    fn may_replace(&self, moved: u64, replaced: u64) -> Result<(), Errno> {
        let moves_directory = self.node(moved)?.names().is_some();
        match self.node(replaced)?.names() {
            Some(_) if !moves_directory => Err(Errno::EISDIR),
            Some(names) if !names.now.is_empty() => Err(ENOTEMPTY),
            None if moves_directory => Err(Errno::ENOTDIR),
            _ => Ok(()),
        }
    }

    /// Whether `node` is `ancestor` or lies somewhere in it.
    fn is_within(&self, node: u64, ancestor: u64) -> bool {
        if node == ancestor {
            return true;
        }
        let names = self.nodes.get(&ancestor).and_then(Node::names);
        names.is_some_and(|names| names.now.values().any(|&child| self.is_within(node, child)))
    }

    pub(crate) fn remove(
        &mut self,
        place: &Place,
        is_directory: bool,
        now_ns: i128,
    ) -> Result<(), Errno> {
        let node = place.node.ok_or(Errno::ENOENT)?;
        match self.node(node)?.names() {
            Some(_) if !is_directory => return Err(Errno::EISDIR),
            Some(names) if !names.now.is_empty() => return Err(ENOTEMPTY),
            None if is_directory => return Err(Errno::ENOTDIR),
            _ => {}
        }
        self.unlink(place, now_ns)
    }

    // --- durability ---------------------------------------------------------------------

    pub(crate) fn sync(&mut self, node: u64) -> Result<(), Errno> {
        self.check(node, DiskCall::Sync)?;
        match &mut self.node_mut(node)?.body {
            Body::Regular(content) => content.sync(),
            Body::Directory(names) => {
                let before = std::mem::replace(&mut names.durable, names.now.clone());
                let after: Vec<u64> = names.now.values().copied().collect();
                self.recount_durable(before.into_values().collect(), after);
            }
            Body::Symlink(_) | Body::Special => {}
        }
        Ok(())
    }

    fn recount_durable(&mut self, before: Vec<u64>, after: Vec<u64>) {
        for node in after {
            if let Some(it) = self.nodes.get_mut(&node) {
                it.names_durable += 1;
            }
        }
        for node in before {
            if let Some(it) = self.nodes.get_mut(&node) {
                it.names_durable -= 1;
            }
            self.forget_if_unused(node);
        }
    }

    /// Flushes everything, whatever faults are planted.
    pub(crate) fn sync_all(&mut self) {
        let faults = std::mem::take(&mut self.faults);
        let nodes: Vec<u64> = self.nodes.keys().copied().collect();
        for node in nodes {
            // Nodes may go while directories are synced; there is nothing to flush of them.
            let _ = self.sync(node);
        }
        self.faults = faults;
    }

    /// The machine lost power. Returns how many pages were lost, and how many torn.
    pub(crate) fn crash(&mut self, random: &mut Random) -> (u64, u64) {
        let (mut lost, mut torn) = (0, 0);
        for node in self.nodes.values_mut() {
            node.opens = 0;
            node.lock = None;
            match &mut node.body {
                Body::Regular(content) => {
                    let (pages_lost, pages_torn) = content.crash(random, &self.config);
                    lost += pages_lost;
                    torn += pages_torn;
                }
                Body::Directory(names) => names.now = names.durable.clone(),
                Body::Symlink(_) | Body::Special => {}
            }
        }
        let mut reached = BTreeMap::new();
        self.reach(ROOT, &mut reached);
        self.nodes.retain(|node, _| reached.contains_key(node));
        self.used = self.nodes.values().map(|node| node.charged).sum();
        for (node, names) in reached {
            if let Some(it) = self.nodes.get_mut(&node) {
                (it.names_now, it.names_durable) = (names, names);
            }
            self.recharge(node);
        }
        (lost, torn)
    }

    /// Counts the names of everything that can be reached from a node.
    fn reach(&self, node: u64, reached: &mut BTreeMap<u64, u32>) {
        reached.entry(node).or_insert(0);
        let names = self.nodes.get(&node).and_then(Node::names);
        for &child in names.into_iter().flat_map(|names| names.now.values()) {
            self.reach(child, reached);
            *reached.entry(child).or_insert(0) += 1;
        }
    }
}

/// Whether a node can be opened in this way.
fn may_open(node: &Node, how: OpenHow, is_new: bool) -> Result<(), Errno> {
    match node.kind() {
        FileKind::Symlink => return Err(Errno::ELOOP),
        FileKind::Directory if how.write || how.create_mode.is_some() => {
            return Err(Errno::EISDIR);
        }
        FileKind::Regular | FileKind::Special if how.directory => return Err(Errno::ENOTDIR),
        FileKind::Special if how.write && !how.read && how.non_blocking => return Err(ENXIO),
        _ => {}
    }
    let refused = (how.read && node.mode & 0o400 == 0) || (how.write && node.mode & 0o200 == 0);
    if refused && !is_new {
        return Err(Errno::EACCES);
    }
    Ok(())
}
