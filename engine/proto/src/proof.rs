//! Proofs of a pre-shared key: HMAC-SHA-256 over the whole exchange so far (W-1.7).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::key::Key;

/// Which proof: each direction and step has its own, so that none can be reflected.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label {
    Acceptor,
    Dialer,
    Verdict,
}

impl Label {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Acceptor => b"ringway 1 acceptor proof",
            Self::Dialer => b"ringway 1 dialer proof",
            Self::Verdict => b"ringway 1 verdict proof",
        }
    }
}

/// The MAC of `parts`, each with its length in front, so that no two lists look alike.
pub(crate) fn prove(key: Option<&Key>, label: Label, parts: &[&[u8]]) -> [u8; 32] {
    let Some(key) = key else { return [0; 32] };
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any length is a key");
    mac.update(label.bytes());
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A value that only who has `seed` can compute, for one use.
pub(crate) fn derive(seed: &[u8; 32], purpose: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(seed).expect("any length is a key");
    mac.update(purpose.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Compares in constant time.
pub(crate) fn is_same(ours: &[u8; 32], theirs: &[u8; 32]) -> bool {
    ours.ct_eq(theirs).into()
}
