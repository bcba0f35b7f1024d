//! Bytes that are no handshake: refused, never a panic, never memory by a size the peer chose.

use proptest::prelude::*;
use ringway_proto::{Authentication, HandshakeError};

use crate::wire::{
    Keeper, TYPE_AT, accept, feed_accept, feed_dial, grant, keyed_dial, message, run,
};

/// The four messages of a good handshake.
fn good() -> Vec<Vec<u8>> {
    run(
        keyed_dial(),
        accept(Authentication::Keyed),
        Keeper::new(grant()),
        |_, _| {},
    )
    .messages
}

#[test]
fn another_protocol_is_refused_without_an_answer() {
    for other in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0; 64],
        b"\x89RINGWAX\x01\x00\x08\x00",
    ] {
        let mut accept = accept(Authentication::Keyed);
        let result = feed_accept(&mut accept, &mut Keeper::new(grant()), other);
        assert_eq!(result, Err(HandshakeError::Magic));
        assert!(
            accept.poll_transmit().is_none(),
            "nothing we say would be understood"
        );
    }
}

#[test]
fn a_message_that_is_not_due_is_refused() {
    let [_, challenge, identity, verdict] = good().try_into().expect("four messages");
    for early in [challenge.clone(), identity, verdict.clone()] {
        let mut accept = accept(Authentication::Keyed);
        let result = feed_accept(&mut accept, &mut Keeper::new(grant()), &early);
        let got = early[TYPE_AT];
        assert_eq!(result, Err(HandshakeError::Message { got, expected: 1 }));
    }
    // An acceptance before the challenge would be one without proofs.
    let mut dial = keyed_dial();
    let result = feed_dial(&mut dial, &verdict);
    assert_eq!(
        result,
        Err(HandshakeError::Message {
            got: 4,
            expected: 2
        })
    );
    assert!(dial.poll_established().is_none());
}

#[test]
fn an_oversized_message_is_refused_by_its_prefix_with_both_numbers() {
    for length in [2049_u16, u16::MAX] {
        let mut prefix = message(1, &[])[..12].to_vec();
        prefix[10..12].copy_from_slice(&length.to_le_bytes());
        let mut accept = accept(Authentication::Keyed);
        let result = accept.handle_bytes(&prefix);
        let length = usize::from(length);
        assert_eq!(result, Err(HandshakeError::TooLong { length, max: 2048 }));
        assert_eq!(accept.bytes_wanted(), 0);
    }
}

#[test]
fn a_handshake_cut_at_any_byte_only_waits() {
    let messages = good();
    let from_dialer = [&messages[0][..], &messages[2]].concat();
    for cut in 0..from_dialer.len() {
        let (mut accept, mut keeper) = (accept(Authentication::Keyed), Keeper::new(grant()));
        let first = cut.min(messages[0].len());
        feed_accept(&mut accept, &mut keeper, &from_dialer[..first]).expect("so far good");
        feed_accept(&mut accept, &mut keeper, &from_dialer[first..cut]).expect("so far good");
        assert!(
            accept.bytes_wanted() > 0 && keeper.claims.is_empty(),
            "cut at {cut}"
        );
    }
    let from_acceptor = [&messages[1][..], &messages[3]].concat();
    for cut in 0..from_acceptor.len() {
        let mut dial = keyed_dial();
        feed_dial(&mut dial, &from_acceptor[..cut]).expect("so far good");
        assert!(
            dial.bytes_wanted() > 0 && dial.poll_established().is_none(),
            "cut at {cut}"
        );
    }
}

// C17
#[test]
fn a_flipped_bit_is_a_checksum_error_with_both_values() {
    let hello = good().swap_remove(0);
    for at in 12..hello.len() {
        let mut hello = hello.clone();
        hello[at] ^= 0x10;
        let result = feed_accept(
            &mut accept(Authentication::Keyed),
            &mut Keeper::new(grant()),
            &hello,
        );
        let Err(HandshakeError::Checksum { got, computed }) = result else {
            panic!("byte {at}: {result:?}");
        };
        assert_ne!(got, computed);
    }
}

/// A caller that goes on after the end breaks nothing.
#[test]
fn bytes_after_the_end_are_ignored() {
    let messages = good();
    let mut dial = keyed_dial();
    feed_dial(&mut dial, &messages[1]).expect("a challenge");
    feed_dial(&mut dial, &messages[3]).expect("a verdict");
    assert_eq!(dial.handle_bytes(b"more"), Ok(()));
    let mut dial = keyed_dial();
    assert!(dial.handle_bytes(&[0; 12]).is_err());
    assert_eq!(dial.handle_bytes(b"more"), Ok(()));
    let mut accept = accept(Authentication::Keyed);
    assert!(accept.handle_bytes(&[0; 12]).is_err());
    assert_eq!(accept.handle_bytes(b"more"), Ok(()));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_an_acceptor(kind in 0_u8..6, body in prop::collection::vec(any::<u8>(), 0..2044)) {
        let mut accept = accept(Authentication::Keyed);
        let mut keeper = Keeper::new(grant());
        let _ = feed_accept(&mut accept, &mut keeper, &message(kind, &body));
        prop_assert!(keeper.claims.is_empty());
    }

    #[test]
    fn arbitrary_bytes_never_panic_a_dialer(
        kind in 0_u8..6,
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4),
    ) {
        let mut dial = keyed_dial();
        for body in bodies {
            let _ = feed_dial(&mut dial, &message(kind, &body));
        }
        prop_assert!(dial.poll_established().is_none());
    }

    #[test]
    fn good_messages_with_bytes_replaced_never_panic(
        index in 0_usize..4,
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let altered = |now: usize, message: &mut Vec<u8>| {
            if now == index {
                let at = at.index(message.len() - 4);
                let end = (at + with.len()).min(message.len() - 4);
                message[at..end].copy_from_slice(&with[..end - at]);
                crate::wire::repair(message);
            }
        };
        let _ = run(keyed_dial(), accept(Authentication::Keyed), Keeper::new(grant()), altered);
    }
}
