//! A peer without the key learns nothing, changes nothing and ends nothing.

use ringway_proto::{
    Authentication, Dial, Epoch, HandshakeError, Intent, Key, KeyGrant, KeyId, RefusalCode,
};

use crate::proofs::{mac, split};
use crate::wire::{
    CHECKSUM, Keeper, Outcome, PREFIX, accept, contains, endpoint, feed_accept, feed_dial, grant,
    grant_for, key, key_id, keyed_dial, message, repair, run, session,
};

/// A dialer that knows the id of a live session and has a key of its own making.
fn intruder(id: &str, intent: Intent) -> Dial {
    let credentials = Some((KeyId::new(id).expect("valid"), Key::from_bytes([0x66; 32])));
    let local = endpoint("node-a", 7);
    Dial::new(&local, credentials, intent, session(), Epoch(9), [0xee; 32])
}

/// Goes on though the acceptor's proof is wrong: sends an identity with a proof of its own key.
fn intrude(id: &str, intent: Intent, grant: Option<KeyGrant>) -> Outcome {
    let mut accept = accept(Authentication::Keyed);
    let mut keeper = Keeper::new(grant);
    let hello = intruder(id, intent).poll_transmit().expect("a hello");
    feed_accept(&mut accept, &mut keeper, &hello).expect("a good hello");
    let challenge = accept.poll_transmit().expect("a challenge");
    let good = run(
        keyed_dial(),
        self::accept(Authentication::Keyed),
        Keeper::new(self::grant()),
        |_, _| {},
    );
    let mut identity = good.messages[2].clone();
    let (body, _) = split(&good.messages[2]);
    let proof = mac(
        &[0x66; 32],
        "ringway 1 dialer proof",
        &[&hello, &challenge, body],
    );
    let end = identity.len() - CHECKSUM;
    identity[end - 32..end].copy_from_slice(&proof);
    repair(&mut identity);
    let acceptor = feed_accept(&mut accept, &mut keeper, &identity).map(|()| None);
    let refusal = accept.poll_transmit().expect("a refusal");
    Outcome {
        dialer: feed_dial(&mut intruder(id, intent), &refusal).map(|()| None),
        acceptor,
        claims: keeper.claims,
        messages: vec![hello, challenge, identity, refusal],
    }
}

// S32
#[test]
fn a_wrong_key_for_a_live_session_fences_and_reveals_nothing() {
    for intent in [Intent::Resume, Intent::Attach] {
        let outcome = intrude("alice", intent, grant());
        assert_eq!(outcome.acceptor, Err(HandshakeError::Proof));
        assert!(
            outcome.claims.is_empty(),
            "nobody was asked about the session"
        );
        let revealed = outcome.revealed();
        assert!(!contains(&revealed, b"node-b"), "the acceptor's name");
        assert!(!contains(&revealed, &session().to_bytes()), "the session");
    }
}

// S32
#[test]
fn an_unknown_key_id_looks_like_a_wrong_key() {
    let resume = Intent::Resume;
    let wrong = intrude("alice", resume, grant());
    let unknown = intrude("mallory", resume, None);
    let stranger = intrude("alice", resume, grant_for("node-z"));
    for other in [&unknown, &stranger] {
        assert_eq!(other.acceptor, wrong.acceptor);
        assert_eq!(other.dialer, wrong.dialer);
        assert_eq!(
            other.messages[3], wrong.messages[3],
            "the same refusal, byte for byte"
        );
        assert_eq!(other.messages[1].len(), wrong.messages[1].len());
        assert!(other.claims.is_empty());
    }
}

/// The stand-in for an unknown key must not be computable from what is on the wire.
#[test]
fn the_key_that_stands_in_for_an_unknown_one_is_secret() {
    let outcome = intrude("mallory", Intent::Resume, None);
    let [hello, challenge, ..] = &outcome.messages[..] else {
        panic!("two messages")
    };
    let (body, proof) = split(challenge);
    let nonce = &body[body.len() - 32..];
    for guess in [nonce, &[0; 32], &[0xac; 32], &[0xee; 32]] {
        let guessed = mac(guess, "ringway 1 acceptor proof", &[hello, body]);
        // 0xac is what the test gave the acceptor as its secret: it must not serve as it is.
        assert_ne!(
            guessed, proof,
            "a stranger can tell that the key id is unknown"
        );
    }
}

#[test]
fn a_name_that_the_key_may_not_claim_is_refused_like_a_wrong_key() {
    let outcome = run(
        keyed_dial(),
        accept(Authentication::Keyed),
        Keeper::new(grant_for("node-z")),
        |_, _| {},
    );
    assert_eq!(outcome.acceptor, Err(HandshakeError::Proof));
    let error = outcome.dialer.expect_err("refused");
    assert_eq!(
        error.refusal().map(|refusal| refusal.code),
        Some(RefusalCode::Authentication)
    );
    assert_eq!(
        outcome.messages[3],
        intrude("alice", Intent::Resume, grant()).messages[3]
    );
}

#[test]
fn a_replayed_proof_is_worth_nothing() {
    let good = run(
        keyed_dial(),
        accept(Authentication::Keyed),
        Keeper::new(grant()),
        |_, _| {},
    );
    let mut accept =
        ringway_proto::Accept::new(&endpoint("node-b", 9), Authentication::Keyed, [0xaf; 32]);
    let mut keeper = Keeper::new(grant());
    feed_accept(&mut accept, &mut keeper, &good.messages[0]).expect("a recorded hello");
    let result = feed_accept(&mut accept, &mut keeper, &good.messages[2]);
    assert_eq!(result, Err(HandshakeError::Proof));
    assert!(keeper.claims.is_empty());

    // And the other way: a recorded challenge does not fit a new hello.
    let local = endpoint("node-a", 7);
    let credentials = Some((key_id(), key()));
    let mut dial = Dial::new(
        &local,
        credentials,
        Intent::New,
        session(),
        Epoch(1),
        [0xd2; 32],
    );
    assert_eq!(
        feed_dial(&mut dial, &good.messages[1]),
        Err(HandshakeError::Proof)
    );
}

#[test]
fn a_proof_sent_back_to_its_maker_is_worth_nothing() {
    let reflect = |index: usize, message: &mut Vec<u8>| {
        // Message 2 gets the proof of message 1, which was captured through a static of the test.
        thread_local!(static SEEN: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) });
        let end = message.len() - CHECKSUM;
        match index {
            1 => SEEN.with_borrow_mut(|seen| seen.clone_from(&message[end - 32..end].to_vec())),
            2 => SEEN.with_borrow(|seen| message[end - 32..end].copy_from_slice(seen)),
            _ => {}
        }
        repair(message);
    };
    let outcome = run(
        keyed_dial(),
        accept(Authentication::Keyed),
        Keeper::new(grant()),
        reflect,
    );
    assert_eq!(outcome.acceptor, Err(HandshakeError::Proof));
    assert!(outcome.claims.is_empty());
}

/// Somebody on the way alters one byte and repairs the checksum: versions, features, intent,
/// epoch, nonces, names, limits. No end may come to believe it.
#[test]
fn nothing_on_the_way_can_be_altered() {
    let good = run(
        keyed_dial(),
        accept(Authentication::Keyed),
        Keeper::new(grant()),
        |_, _| {},
    );
    for (index, length) in good.messages.iter().map(Vec::len).enumerate() {
        for at in PREFIX..length - CHECKSUM {
            for bit in [0x01, 0x80] {
                let alter = |now: usize, message: &mut Vec<u8>| {
                    if now == index {
                        message[at] ^= bit;
                        repair(message);
                    }
                };
                let keeper = Keeper::new(grant());
                let outcome = run(keyed_dial(), accept(Authentication::Keyed), keeper, alter);
                assert!(outcome.dialer.is_err(), "message {index}, byte {at}");
                let is_before_the_decision = index < 3;
                if is_before_the_decision {
                    assert!(outcome.claims.is_empty(), "message {index}, byte {at}");
                }
            }
        }
    }
}

/// Anybody may answer on a port. Only who has the key may say that the session is gone.
#[test]
fn a_refusal_without_proof_ends_no_session() {
    for code in 1_u16..=8 {
        let body = [&code.to_le_bytes()[..], &[2, 0], b"no", &[0; 32]].concat();
        let forged = message(4, &body);
        let good = run(
            keyed_dial(),
            accept(Authentication::Keyed),
            Keeper::new(grant()),
            |_, _| {},
        );
        for challenge in [None, Some(&good.messages[1])] {
            let mut dial = keyed_dial();
            if let Some(challenge) = challenge {
                feed_dial(&mut dial, challenge).expect("a challenge");
            }
            let error = feed_dial(&mut dial, &forged).expect_err("refused or forged");
            let believed = error.refusal().map(|refusal| refusal.code);
            let harmless = [
                None,
                Some(RefusalCode::Version),
                Some(RefusalCode::Authentication),
                Some(RefusalCode::Unsupported),
                Some(RefusalCode::Malformed),
            ];
            assert!(harmless.contains(&believed), "{believed:?} without proof");
        }
    }
}
