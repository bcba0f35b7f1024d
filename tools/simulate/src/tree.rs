//! A tree of files that is moved, and what may be found where it goes: every file absent, or whole
//! as some version of its source. Never a mixture, never a prefix.

use ringway_sim::DiskHandle;

use crate::content::content;
use crate::draw::Draw;

/// The longest part of a content that is made at once.
const PIECE_BYTES: usize = 8 << 20;

/// One state of a source file: the first bytes of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    key: u64,
    length: u64,
}

impl Version {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < self.length {
            let at = bytes.len();
            let length = (self.length as usize - at).min(PIECE_BYTES);
            bytes.extend_from_slice(content(self.key, at as u64, length));
        }
        bytes
    }
}

/// One file of a tree.
#[derive(Clone, Debug)]
struct Planted {
    /// Below the tree.
    path: String,
    /// All that its source has been, the present state last.
    versions: Vec<Version>,
}

/// A tree of files.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    /// Where its source is.
    source: String,
    /// Where it goes.
    target: String,
    files: Vec<Planted>,
    next_key: u64,
}

/// What a check found at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Absent,
    /// An older version of the source.
    Older,
    /// The source as it is.
    Present,
}

impl Tree {
    /// Draws a tree whose files are in no other one, and plants it.
    pub(crate) fn plant(
        number: u64,
        disk: &DiskHandle,
        (source, target): (String, String),
        draw: &mut Draw,
    ) -> Self {
        let mut tree = Self {
            source,
            target,
            files: Vec::new(),
            next_key: (number + 1) << 20,
        };
        disk.plant_directory(&tree.source);
        let small = draw.pick(&[0, 1, 5, 20]);
        for index in 0..small {
            let folder = draw.pick(&["", "d1/", "d1/d2/", "d3/"]);
            let path = format!("{folder}small-{index}");
            tree.add(disk, path, draw.size(64 << 10));
        }
        let large = draw.pick(&[0, 1, 1]).max(u64::from(small == 0));
        for index in 0..large {
            // Files of this size resume.
            let length = (1 << 20) + draw.size(1 << 20);
            tree.add(disk, format!("large-{index}"), length);
        }
        tree
    }

    /// The same names with other contents at another place, to go to the same target.
    pub(crate) fn rival(&self, disk: &DiskHandle, source: String) -> Self {
        let mut rival = Self {
            source,
            files: Vec::new(),
            next_key: self.next_key + (1 << 19),
            target: self.target.clone(),
        };
        for file in &self.files {
            let length = file.versions[0].length;
            rival.add(disk, file.path.clone(), length);
        }
        rival
    }

    fn add(&mut self, disk: &DiskHandle, path: String, length: u64) {
        let key = self.next_key;
        self.next_key += 1;
        let version = Version { key, length };
        disk.plant_file(format!("{}/{path}", self.source), &version.bytes());
        let versions = vec![version];
        self.files.push(Planted { path, versions });
    }

    /// Changes one of the sources in place, as another process would: all of it, or its length.
    pub(crate) fn change(&mut self, disk: &DiskHandle, draw: &mut Draw) {
        let index = draw.below(self.files.len() as u64) as usize;
        let key = self.next_key;
        self.next_key += 1;
        let Planted { path, versions } = &mut self.files[index];
        let place = format!("{}/{path}", self.source);
        let last = versions[versions.len() - 1];
        let next = match draw.chance(50) {
            true => Version { key, ..last },
            false => Version {
                length: draw.below(last.length + 1),
                ..last
            },
        };
        let changed = match next.key == key {
            true => disk.overwrite(&place, 0, &next.bytes()),
            false => disk.truncate(&place, next.length),
        };
        // A full disk refuses some of it: then nobody can say what the source is.
        changed.expect("sources are on a disk with room");
        // A crash that takes it back would make a version that nobody has written.
        disk.sync();
        versions.push(next);
    }

    /// Where its source is.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Where it goes.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Paths of all files below the tree, and the sizes of their sources.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        let files = self.files.iter();
        files.map(|file| {
            (
                file.path.as_str(),
                file.versions[file.versions.len() - 1].length,
            )
        })
    }

    /// Whether a source was changed since it was planted.
    pub(crate) fn has_changed(&self) -> bool {
        self.files.iter().any(|file| file.versions.len() > 1)
    }

    /// What is at the target of the file at `path` below the tree.
    ///
    /// # Panics
    /// If it is no version of its source, nor of the rival's.
    pub(crate) fn find(&self, rival: Option<&Self>, disk: &DiskHandle, path: &str) -> Found {
        let Some(bytes) = disk.read_file(format!("{}/{path}", self.target)) else {
            return Found::Absent;
        };
        let versions = |tree: &Self| {
            let file = tree.files.iter().find(|file| file.path == path);
            file.map(|file| file.versions.clone()).unwrap_or_default()
        };
        let ours = versions(self);
        if ours.last().is_some_and(|last| last.bytes() == bytes) {
            return Found::Present;
        }
        let theirs = rival.map(versions).unwrap_or_default();
        let mut all = ours.iter().chain(&theirs);
        assert!(
            all.any(|version| version.bytes() == bytes),
            "{}/{path}: {} bytes are neither absent nor whole: {ours:?}, {theirs:?}",
            self.target,
            bytes.len(),
        );
        Found::Older
    }

    /// Every file is absent or whole.
    pub(crate) fn check(&self, rival: Option<&Self>, disk: &DiskHandle) {
        for (path, _) in self.sizes() {
            self.find(rival, disk, path);
        }
    }

    /// Every file is the source as it is now, and nothing of an unfinished one is left.
    pub(crate) fn check_done(&self, disk: &DiskHandle) {
        for file in &self.files {
            let place = format!("{}/{}", self.target, file.path);
            let bytes = disk.read_file(&place).unwrap_or_default();
            let is = |version: &Version| version.bytes() == bytes;
            let is_copy = file.versions.last().is_some_and(is);
            let which = file.versions.iter().position(is);
            assert!(is_copy, "{place} is version {which:?} of {file:?}");
        }
        for folder in ["", "d1", "d1/d2", "d3"] {
            let names = disk.list(format!("{}/{folder}", self.target));
            let left: Vec<_> = names.iter().filter(|name| name.starts_with('.')).collect();
            assert!(
                left.is_empty(),
                "left in {folder} of {}: {left:?}",
                self.target
            );
        }
    }
}
