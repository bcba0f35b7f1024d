//! The names of our own files beside a target (F-52).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use xxhash_rust::xxh3::xxh3_64;

use crate::limits::NAME_BYTES_MAX;

const PARTIAL: &[u8] = b".ringway-partial";
const SIDECAR: &[u8] = b".ringway-sidecar";
const SIDECAR_NEW: &[u8] = b".ringway-sidecar-new";

/// Room for the leading dot, the longest suffix, and `~` with 16 digits where a name is cut.
const KEPT_BYTES_MAX: usize = NAME_BYTES_MAX - 1 - SIDECAR_NEW.len();

fn beside(name: &OsStr, suffix: &[u8]) -> OsString {
    let bytes = name.as_bytes();
    let mut own = vec![b'.'];
    if bytes.len() <= KEPT_BYTES_MAX {
        own.extend(bytes);
    } else {
        // Too long for a suffix: the cut name is told from others by a hash of the whole.
        own.extend(&bytes[..KEPT_BYTES_MAX - 17]);
        own.extend(format!("~{:016x}", xxh3_64(bytes)).as_bytes());
    }
    own.extend(suffix);
    OsString::from_vec(own)
}

/// Where a target's content is written until it is complete.
pub(crate) fn partial(name: &OsStr) -> OsString {
    beside(name, PARTIAL)
}

/// Where the partial file's sidecar is.
pub(crate) fn sidecar(name: &OsStr) -> OsString {
    beside(name, SIDECAR)
}

/// Where the next sidecar is written before it replaces the present one.
pub(crate) fn sidecar_new(name: &OsStr) -> OsString {
    beside(name, SIDECAR_NEW)
}

/// Whether a name is one of ours: never a target, never listed, never transferred.
pub(crate) fn is_reserved(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    let ends = [PARTIAL, SIDECAR, SIDECAR_NEW]
        .iter()
        .any(|suffix| bytes.ends_with(suffix));
    bytes.first() == Some(&b'.') && ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_are_hidden_reserved_and_fit_whatever_the_target_is_called() {
        for length in [1, 100, KEPT_BYTES_MAX, KEPT_BYTES_MAX + 1, NAME_BYTES_MAX] {
            let name = OsString::from("n".repeat(length));
            for own in [partial(&name), sidecar(&name), sidecar_new(&name)] {
                assert!(own.len() <= NAME_BYTES_MAX, "{length}: {}", own.len());
                assert!(is_reserved(&own));
            }
        }
        assert_eq!(partial(OsStr::new("a.bin")), ".a.bin.ringway-partial");
        assert!(
            !is_reserved(OsStr::new("a.ringway-partial")),
            "no leading dot: somebody's own"
        );
    }

    #[test]
    fn long_names_that_differ_at_their_ends_do_not_share_a_partial_file() {
        let (one, two) = ("n".repeat(254) + "1", "n".repeat(254) + "2");
        assert_ne!(partial(OsStr::new(&one)), partial(OsStr::new(&two)));
    }
}
