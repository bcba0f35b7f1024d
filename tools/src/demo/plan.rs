//! Where the cuts fall.

use super::content::Generator;

/// Body offsets, ascending, at which the connection is cut; the same for the same seed.
///
/// The file is divided into as many equal parts as there are cuts, and one falls into the first
/// half of each: so they never come so close together that one would meet a connection still
/// being made, and after the last one enough is left to show that the transfer goes on.
pub(super) fn cuts(bytes: u64, count: u32, seed: u64) -> Vec<u64> {
    // Another sequence than the file's content, which starts from the seed itself.
    let mut generator = Generator::new(seed ^ 0x6375_7473);
    let part = bytes / u64::from(count.max(1));
    let first_half = (part / 2).max(1);
    (0..u64::from(count))
        .map(|index| index * part + generator.next() % first_half)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_file_has_one_cut_in_its_first_half() {
        let bytes = 64 << 20;
        let offsets = cuts(bytes, 4, 7);
        assert_eq!(offsets, cuts(bytes, 4, 7), "the seed decides");
        assert_ne!(offsets, cuts(bytes, 4, 8));
        let part = bytes / 4;
        for (index, offset) in (0..).zip(offsets) {
            assert!((index * part..index * part + part / 2).contains(&offset));
        }
    }

    #[test]
    fn no_cuts_and_tiny_files_are_planned_too() {
        assert!(cuts(1 << 30, 0, 1).is_empty());
        assert_eq!(cuts(0, 2, 1), [0, 0]);
        assert_eq!(cuts(3, 5, 1).len(), 5);
    }
}
