//! What is in a file: pages, what of them is on the device, and planted patterns.
//!
//! Pages are kept one by one, so that a file may be large and mostly empty; a planted pattern
//! costs nothing at all, however long.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::DiskConfig;
use crate::queue::PAGE_BYTES;
use crate::random::{Random, mix};

const PAGE: u64 = PAGE_BYTES as u64;
/// What a device writes at once; pages may be written in part when the power goes, bytes.
const SECTOR_BYTES: usize = 512;

type Page = Arc<[u8; PAGE_BYTES]>;

/// The content of a file, in the page cache and on the device.
#[derive(Debug, Default)]
pub(crate) struct Content {
    shape: Shape,
    pages: BTreeMap<u64, Page>,
    /// What a crash restores: the shape and, of each page changed since, what it was.
    durable_shape: Shape,
    durable_pages: BTreeMap<u64, Option<Page>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    length: u64,
    /// Seed of the pattern below the pages, and where it ends.
    pattern: Option<(u64, u64)>,
}

/// The bytes of the pattern `seed` from `offset` on: what [`crate::DiskHandle::plant_pattern`]
/// puts into a file.
#[must_use]
pub fn pattern_bytes(seed: u64, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fill_pattern(seed, offset, &mut bytes);
    bytes
}

fn fill_pattern(seed: u64, offset: u64, out: &mut [u8]) {
    let mut at = 0;
    while at < out.len() {
        let position = offset + at as u64;
        let word = mix(seed ^ mix(position / 8)).to_le_bytes();
        let skip = (position % 8) as usize;
        let count = (8 - skip).min(out.len() - at);
        out[at..at + count].copy_from_slice(&word[skip..skip + count]);
        at += count;
    }
}

impl Content {
    /// A file of `length` bytes of a pattern, on the device.
    pub(crate) fn pattern(seed: u64, length: u64) -> Self {
        let shape = Shape {
            length,
            pattern: Some((seed, length)),
        };
        Self {
            shape,
            durable_shape: shape,
            ..Self::default()
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.shape.length
    }

    /// Bytes of the pages it occupies.
    pub(crate) fn page_bytes(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }

    /// Copies what is at `offset` into `out`; returns how much there is.
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let there = self.shape.length.saturating_sub(offset);
        let count = out.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        for_pages(offset, count, |page, within, range| {
            match self.pages.get(&page) {
                Some(bytes) => {
                    out[range.clone()].copy_from_slice(&bytes[within..within + range.len()]);
                }
                None => self.read_below(page * PAGE + within as u64, &mut out[range]),
            }
        });
        count
    }

    /// What lies below the pages: the pattern as far as it goes, then zeros.
    fn read_below(&self, offset: u64, out: &mut [u8]) {
        out.fill(0);
        if let Some((seed, end)) = self.shape.pattern {
            let count = end.saturating_sub(offset).min(out.len() as u64);
            fill_pattern(seed, offset, &mut out[..count as usize]);
        }
    }

    /// How many pages a write would add.
    pub(crate) fn pages_missing(&self, offset: u64, length: usize) -> u64 {
        if length == 0 {
            return 0;
        }
        let (first, last) = (offset / PAGE, (offset + length as u64 - 1) / PAGE);
        last - first + 1 - self.pages.range(first..=last).count() as u64
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for_pages(offset, bytes.len(), |page, within, range| {
            let target = self.page_mut(page);
            target[within..within + range.len()].copy_from_slice(&bytes[range]);
        });
        self.shape.length = self.shape.length.max(offset + bytes.len() as u64);
    }

    /// A page to be changed; what it was is kept for a crash.
    fn page_mut(&mut self, page: u64) -> &mut [u8; PAGE_BYTES] {
        let before = self.pages.get(&page).cloned();
        self.durable_pages.entry(page).or_insert(before);
        if !self.pages.contains_key(&page) {
            let mut bytes = [0; PAGE_BYTES];
            self.read_below(page * PAGE, &mut bytes);
            self.pages.insert(page, Arc::new(bytes));
        }
        Arc::make_mut(self.pages.get_mut(&page).expect("inserted above"))
    }

    pub(crate) fn truncate(&mut self, length: u64) {
        if length < self.shape.length {
            self.cut_off(length);
        }
        self.shape.length = length;
    }

    fn cut_off(&mut self, length: u64) {
        let kept = length.div_ceil(PAGE);
        for (page, bytes) in self.pages.split_off(&kept) {
            self.durable_pages.entry(page).or_insert(Some(bytes));
        }
        let within = (length % PAGE) as usize;
        if within > 0 && self.pages.contains_key(&(length / PAGE)) {
            self.page_mut(length / PAGE)[within..].fill(0);
        }
        if let Some((_, end)) = &mut self.shape.pattern {
            *end = length.min(*end);
        }
    }

    /// Everything is on the device.
    pub(crate) fn sync(&mut self) {
        self.durable_shape = self.shape;
        self.durable_pages.clear();
    }

    /// The machine lost power: unsynced pages are what they were, but for a drawn few. Returns
    /// how many were lost and how many survived in part.
    pub(crate) fn crash(&mut self, random: &mut Random, disk: &DiskConfig) -> (u64, u64) {
        self.shape = self.durable_shape;
        let (mut lost, mut torn) = (0, 0);
        for (page, before) in std::mem::take(&mut self.durable_pages) {
            let is_within = page * PAGE < self.shape.length;
            if is_within && random.chance(disk.crash_keeps_per_mille) {
                continue;
            }
            let tears = is_within && random.chance(disk.crash_tears_per_mille);
            let after = self.pages.get(&page).cloned().filter(|_| tears);
            match before {
                Some(bytes) => self.pages.insert(page, bytes),
                None => self.pages.remove(&page),
            };
            match after {
                Some(after) => {
                    self.tear(page, &after, random);
                    torn += 1;
                }
                None => lost += 1,
            }
        }
        // What was kept or torn is on the device now.
        self.durable_pages.clear();
        (lost, torn)
    }

    /// Each sector of a page is the new one or the old one, as drawn.
    fn tear(&mut self, page: u64, after: &[u8; PAGE_BYTES], random: &mut Random) {
        let bytes = self.page_mut(page);
        for start in (0..PAGE_BYTES).step_by(SECTOR_BYTES) {
            if random.chance(500) {
                let sector = start..start + SECTOR_BYTES;
                bytes[sector.clone()].copy_from_slice(&after[sector]);
            }
        }
    }
}

/// Splits a range of a file at its pages: page, offset within it, range of the buffer.
fn for_pages(
    offset: u64,
    length: usize,
    mut visit: impl FnMut(u64, usize, std::ops::Range<usize>),
) {
    let mut at = 0;
    while at < length {
        let position = offset + at as u64;
        let within = (position % PAGE) as usize;
        let count = (PAGE_BYTES - within).min(length - at);
        visit(position / PAGE, within, at..at + count);
        at += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(content: &Content) -> Vec<u8> {
        let mut bytes = vec![0; content.len() as usize];
        assert_eq!(content.read(0, &mut bytes), bytes.len());
        bytes
    }

    #[test]
    fn content_equals_a_vector_through_random_changes() {
        let mut random = Random::new(5, 0);
        let mut content = Content::pattern(9, 30_000);
        let mut naive = pattern_bytes(9, 0, 30_000);
        for _ in 0..300 {
            let offset = random.below(40_000) as usize;
            if random.chance(200) {
                content.truncate(offset as u64);
                naive.resize(offset, 0);
            } else {
                let mut bytes = vec![0; random.below(9_000) as usize + 1];
                random.fill(&mut bytes);
                content.write(offset as u64, &bytes);
                naive.resize(naive.len().max(offset + bytes.len()), 0);
                naive[offset..offset + bytes.len()].copy_from_slice(&bytes);
            }
            assert_eq!(all(&content), naive);
        }
    }

    #[test]
    fn a_crash_restores_exactly_what_was_synced() {
        let mut random = Random::new(6, 0);
        let mut content = Content::default();
        content.write(0, &[1; 10_000]);
        content.sync();
        let synced = all(&content);
        content.write(5_000, &[2; 20_000]);
        content.truncate(100);
        content.write(50, &[3; 9_000]);
        content.crash(&mut random, &DiskConfig::default());
        assert_eq!(all(&content), synced);
    }
}
