//! The proofs, recomputed from docs/WIRE.md W-1.7 without the code under test.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::wire::{CHECKSUM, Keeper, PREFIX, accept, grant, keyed_dial, run};
use ringway_proto::Authentication;

const PROOF: usize = 32;

/// HMAC-SHA-256 of a label and of parts, each with its length (u64) in front.
pub(crate) fn mac(key: &[u8], label: &str, parts: &[&[u8]]) -> [u8; PROOF] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(label.as_bytes());
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The body of a message without its proof, and the proof, which stands last.
pub(crate) fn split(message: &[u8]) -> (&[u8], &[u8]) {
    message[PREFIX..message.len() - CHECKSUM].split_at(message.len() - CHECKSUM - PREFIX - PROOF)
}

/// W-1.7: each proof covers everything before it, and its own message.
#[test]
fn proofs_cover_the_whole_exchange_as_documented() {
    let outcome = run(
        keyed_dial(),
        accept(Authentication::Keyed),
        Keeper::new(grant()),
        |_, _| {},
    );
    let [hello, challenge, identity, verdict] = &outcome.messages[..] else {
        panic!("four messages, not {}", outcome.messages.len());
    };
    let key = [0x11; 32];
    let (body, proof) = split(challenge);
    assert_eq!(mac(&key, "ringway 1 acceptor proof", &[hello, body]), proof);
    let (body, proof) = split(identity);
    assert_eq!(
        mac(&key, "ringway 1 dialer proof", &[hello, challenge, body]),
        proof
    );
    let (body, proof) = split(verdict);
    let parts: [&[u8]; 4] = [hello, challenge, identity, body];
    assert_eq!(mac(&key, "ringway 1 verdict proof", &parts), proof);
}
