//! Handshakes that succeed, or are refused for an honest reason.

use proptest::prelude::*;
use ringway_proto::{
    Accept, Authentication, Decision, Dial, Epoch, Features, HandshakeError, Intent, Key,
    LocalEndpoint, Need, Refusal, RefusalCode, Role,
};

use crate::wire::{
    Keeper, PREFIX, accept, dial, endpoint, feed_dial, grant, grant_for, key, key_id, keyed_dial,
    message, repair, run, session,
};

#[test]
fn both_ends_agree_on_everything() {
    let outcome = run(
        keyed_dial(),
        accept(Authentication::Keyed),
        Keeper::new(grant()),
        |_, _| {},
    );
    let dialer = outcome.dialer.expect("no error").expect("established");
    let acceptor = outcome.acceptor.expect("no error").expect("established");
    assert_eq!((dialer.session, dialer.epoch), (session(), Epoch(1)));
    assert_eq!((acceptor.session, acceptor.epoch), (session(), Epoch(1)));
    assert_eq!(
        (dialer.version, dialer.features),
        (acceptor.version, acceptor.features)
    );
    assert_eq!((dialer.resumed, acceptor.resumed), (false, false));
    assert_eq!(
        (dialer.peer.name.as_str(), dialer.peer.incarnation),
        ("node-b", 9)
    );
    assert_eq!(
        (acceptor.peer.name.as_str(), acceptor.peer.incarnation),
        ("node-a", 7)
    );
    assert_eq!(acceptor.peer.key_id, Some(key_id()));
    assert_eq!(dialer.peer_limits, endpoint("x", 0).limits);
}

#[test]
fn insecure_mode_works_when_both_ends_want_it() {
    let outcome = run(
        dial(None),
        accept(Authentication::Insecure),
        Keeper::new(None),
        |_, _| {},
    );
    let acceptor = outcome.acceptor.expect("no error").expect("established");
    assert_eq!(acceptor.peer.key_id, None);
    assert!(outcome.dialer.expect("no error").is_some());
}

/// A dialer with a key must never be talked into going without (a downgrade).
#[test]
fn one_side_with_a_key_and_the_other_without_do_not_meet() {
    let outcome = run(
        dial(None),
        accept(Authentication::Keyed),
        Keeper::new(grant()),
        |_, _| {},
    );
    assert_eq!(outcome.acceptor, Err(HandshakeError::KeyExpected));
    assert!(outcome.dialer.is_err_and(|error| error.is_authentication()));

    let insecure = accept(Authentication::Insecure);
    let outcome = run(keyed_dial(), insecure, Keeper::new(None), |_, _| {});
    assert!(outcome.dialer.is_err_and(|error| error.is_authentication()));
    assert!(outcome.claims.is_empty());
}

/// The answer to the first try got lost: the second finds the session and resumes it.
#[test]
fn a_retried_new_is_a_resume() {
    let mut keeper = Keeper::new(grant());
    keeper.decision = |claim| Decision::Resume { epoch: claim.epoch };
    let outcome = run(
        keyed_dial(),
        accept(Authentication::Keyed),
        keeper,
        |_, _| {},
    );
    assert_eq!(outcome.claims[0].intent, Intent::New);
    assert_eq!(outcome.claims[0].session, session());
    assert!(
        outcome
            .dialer
            .expect("no error")
            .expect("established")
            .resumed
    );
    assert!(
        outcome
            .acceptor
            .expect("no error")
            .expect("established")
            .resumed
    );
}

// S16
#[test]
fn an_unknown_session_is_refused_typed() {
    let mut keeper = Keeper::new(grant());
    keeper.decision = |claim| Decision::Refuse(Refusal::unknown_session(claim.session));
    let local = endpoint("node-a", 7);
    let credentials = Some((key_id(), key()));
    let dial = Dial::new(
        &local,
        credentials,
        Intent::Resume,
        session(),
        Epoch(4),
        [1; 32],
    );
    let outcome = run(dial, accept(Authentication::Keyed), keeper, |_, _| {});
    let claim = &outcome.claims[0];
    assert_eq!((claim.intent, claim.epoch), (Intent::Resume, Epoch(4)));
    let error = outcome.dialer.expect_err("refused");
    assert_eq!(
        error.refusal().map(|refusal| refusal.code),
        Some(RefusalCode::UnknownSession)
    );
    assert!(
        outcome
            .acceptor
            .is_ok_and(|established| established.is_none())
    );
}

fn attach(features: Features) -> Dial {
    let mut local = endpoint("node-a", 7);
    local.features = features;
    let credentials = Some((key_id(), key()));
    let (session, epoch) = (session(), Epoch(5));
    Dial::new(&local, credentials, Intent::Attach, session, epoch, [1; 32])
}

fn accept_bulk() -> Accept {
    accept(Authentication::Keyed)
}

#[test]
fn an_attach_that_one_side_did_not_offer_is_refused() {
    for (dial, accept) in [
        (attach(Features::NONE), accept_bulk()),
        (attach(Features::BODY_CHECKSUM), accept_bulk()),
        (
            attach(Features::BULK_CONNECTIONS),
            Accept::new(&without_bulk(), Authentication::Keyed, [0xac; 32]),
        ),
    ] {
        let outcome = run(dial, accept, Keeper::new(grant()), |_, _| {});
        let error = outcome.dialer.expect_err("refused");
        let code = error.refusal().map(|refusal| refusal.code);
        assert_eq!(code, Some(RefusalCode::Unsupported));
        assert!(outcome.claims.is_empty());
    }
}

fn without_bulk() -> LocalEndpoint {
    let mut local = endpoint("node-b", 9);
    local.features = Features::NONE;
    local
}

#[test]
fn an_attach_names_the_epoch_it_belongs_to_and_carries_bodies_only() {
    let mut keeper = Keeper::new(grant());
    keeper.decision = |claim| Decision::Attach { epoch: claim.epoch };
    let dial = attach(Features::BULK_CONNECTIONS);
    let outcome = run(dial, accept_bulk(), keeper, |_, _| {});
    let claim = &outcome.claims[0];
    assert_eq!((claim.intent, claim.epoch), (Intent::Attach, Epoch(5)));
    for end in [outcome.dialer, outcome.acceptor] {
        let established = end.expect("no error").expect("established");
        assert_eq!(
            (established.role, established.epoch),
            (Role::Bulk, Epoch(5))
        );
    }
}

/// Intent and role are two fields of the hello: each combination but three is refused.
#[test]
fn a_role_that_does_not_fit_the_intent_is_refused() {
    const ROLE_AT: usize = PREFIX + 2 + 2 + 8 + 1;
    let plain = || (keyed_dial(), 2);
    let bulk = || (attach(Features::BULK_CONNECTIONS), 1);
    for (dial, role) in [plain(), bulk()] {
        let outcome = run(dial, accept_bulk(), Keeper::new(grant()), |at, message| {
            if at == 0 {
                message[ROLE_AT] = role;
                repair(message);
            }
        });
        let error = outcome.dialer.expect_err("refused");
        let code = error.refusal().map(|refusal| refusal.code);
        assert_eq!(code, Some(RefusalCode::Unsupported));
    }
}

// C25
#[test]
fn a_peer_without_a_common_version_learns_both_ranges() {
    for (min, max) in [(0_u16, 0_u16), (2, 2), (7, 90)] {
        let altered = |index: usize, message: &mut Vec<u8>| {
            if index == 0 {
                message[12..14].copy_from_slice(&min.to_le_bytes());
                message[14..16].copy_from_slice(&max.to_le_bytes());
                repair(message);
            }
        };
        let outcome = run(
            keyed_dial(),
            accept(Authentication::Keyed),
            Keeper::new(grant()),
            altered,
        );
        let expected = HandshakeError::Version {
            theirs_min: min,
            theirs_max: max,
            ours_min: 1,
            ours_max: 1,
        };
        assert_eq!(outcome.acceptor, Err(expected));
        let error = outcome.dialer.expect_err("refused");
        let refusal = error.refusal().expect("a refusal");
        assert_eq!(refusal.code, RefusalCode::Version);
        let (theirs, ours) = (format!("{min} to {max}"), "1 to 1");
        assert!(
            refusal.text.contains(&theirs) && refusal.text.contains(ours),
            "{refusal}"
        );
    }
}

// C25: what a newer hello holds behind the versions is not ours to judge.
#[test]
fn a_newer_hello_with_another_layout_is_a_matter_of_version() {
    let hello = message(1, &[3, 0, 5, 0, 0xaa, 0xbb]);
    let mut accept = accept(Authentication::Keyed);
    let result = crate::wire::feed_accept(&mut accept, &mut Keeper::new(grant()), &hello);
    assert!(matches!(
        result,
        Err(HandshakeError::Version {
            theirs_min: 3,
            theirs_max: 5,
            ..
        })
    ));
    let mut dial = keyed_dial();
    let verdict = accept.poll_transmit().expect("a refusal");
    let error = feed_dial(&mut dial, &verdict).expect_err("refused");
    assert_eq!(
        error.refusal().map(|refusal| refusal.code),
        Some(RefusalCode::Version)
    );
}

// C25: a range that overlaps works.
#[test]
fn an_acceptor_picks_the_newest_common_version() {
    let hello = keyed_dial().poll_transmit().expect("a hello");
    for max in [1_u16, 2, 900] {
        let mut hello = hello.clone();
        hello[14..16].copy_from_slice(&max.to_le_bytes());
        repair(&mut hello);
        let mut accept = accept(Authentication::Keyed);
        let fed = crate::wire::feed_accept(&mut accept, &mut Keeper::new(grant()), &hello);
        assert_eq!(fed, Ok(()), "at most {max}");
        let challenge = accept.poll_transmit().expect("a challenge");
        assert_eq!(challenge[12..14], 1_u16.to_le_bytes());
    }
}

#[test]
fn a_key_claims_only_its_names() {
    let allowed = Keeper::new(grant_for("node-a"));
    let outcome = run(
        keyed_dial(),
        accept(Authentication::Keyed),
        allowed,
        |_, _| {},
    );
    assert!(
        outcome
            .acceptor
            .is_ok_and(|established| established.is_some())
    );

    let other = Keeper::new(grant_for("node-z"));
    let outcome = run(
        keyed_dial(),
        accept(Authentication::Keyed),
        other,
        |_, _| {},
    );
    assert!(outcome.claims.is_empty());
    assert!(outcome.dialer.is_err_and(|error| error.is_authentication()));
}

#[test]
fn each_question_is_asked_once() {
    let mut accept = accept(Authentication::Keyed);
    let hello = keyed_dial().poll_transmit().expect("a hello");
    accept.handle_bytes(&hello[..12]).expect("a prefix");
    assert_eq!(accept.bytes_wanted(), hello.len() - 12);
    accept.handle_bytes(&hello[12..]).expect("a hello");
    assert_eq!(accept.poll_need(), Some(Need::Key(key_id())));
    assert_eq!((accept.poll_need(), accept.bytes_wanted()), (None, 0));
    assert!(accept.poll_transmit().is_none());
}

proptest! {
    /// TCP may cut the bytes anywhere.
    #[test]
    fn messages_may_come_in_any_pieces(sizes in prop::collection::vec(1_usize..40, 1..40)) {
        let (mut dial, mut accept) = (keyed_dial(), accept(Authentication::Keyed));
        let mut keeper = Keeper::new(grant());
        let mut sizes = sizes.into_iter().cycle();
        for _ in 0..2 {
            let message = dial.poll_transmit().expect("a message");
            let mut rest = &message[..];
            while !rest.is_empty() {
                let size = sizes.next().unwrap_or(1).min(accept.bytes_wanted()).min(rest.len());
                accept.handle_bytes(&rest[..size]).expect("valid");
                keeper.answer(&mut accept);
                rest = &rest[size..];
            }
            let message = accept.poll_transmit().expect("an answer");
            let mut rest = &message[..];
            while !rest.is_empty() {
                let size = sizes.next().unwrap_or(1).min(dial.bytes_wanted()).min(rest.len());
                dial.handle_bytes(&rest[..size]).expect("valid");
                rest = &rest[size..];
            }
        }
        prop_assert!(dial.poll_established().is_some());
        prop_assert!(accept.poll_established().is_some());
        prop_assert_eq!((dial.bytes_wanted(), accept.bytes_wanted()), (0, 0));
    }
}

// W-1.13
#[test]
fn a_dialer_with_two_secrets_meets_an_acceptor_that_has_either() {
    let other = Key::from_bytes([0x55; 32]);
    for (present, previous) in [(key(), other.clone()), (other, key())] {
        let dialer = dial(Some((key_id(), present))).with_previous(Some(previous));
        let accept = accept(Authentication::Keyed);
        let outcome = run(dialer, accept, Keeper::new(grant()), |_, _| {});
        assert!(outcome.dialer.expect("no error").is_some());
        assert!(outcome.acceptor.expect("no error").is_some());
    }
}

#[test]
fn a_dialer_with_two_wrong_secrets_meets_nobody() {
    let [present, previous] = [0x55, 0x66].map(|byte| Key::from_bytes([byte; 32]));
    let dialer = dial(Some((key_id(), present))).with_previous(Some(previous));
    let accept = accept(Authentication::Keyed);
    let outcome = run(dialer, accept, Keeper::new(grant()), |_, _| {});
    assert_eq!(outcome.dialer, Err(HandshakeError::Proof));
    assert!(outcome.claims.is_empty());
}

/// The key before must not make up for having none.
#[test]
fn a_previous_secret_without_a_key_is_none() {
    let dialer = dial(None).with_previous(Some(key()));
    let accept = accept(Authentication::Keyed);
    let outcome = run(dialer, accept, Keeper::new(grant()), |_, _| {});
    assert_eq!(outcome.acceptor, Err(HandshakeError::KeyExpected));
    assert!(outcome.dialer.is_err());
}
