//! Checksums behind bodies: agreed or absent, and nothing counts before they have come.

use ringway_proto::testing::Frame;
use ringway_proto::{
    BodyChecksum, Features, Link, Next, Rule, SessionConfig, Side, StreamId, Trailer,
};

use crate::harness::Pair;

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;

fn checked() -> SessionConfig {
    SessionConfig {
        body_checksum: BodyChecksum::Always,
        ..SessionConfig::default()
    }
}

// C17
#[test]
fn a_corrupted_body_is_named_with_both_values_and_comes_again() {
    let mut pair = Pair::attached(checked());
    let id = pair.open(A);
    pair.record(A, id, 5000);
    pair.pump(A);
    let good = crc32c::crc32c(&pair.wires[0][40..5040]);
    pair.wires[0][40 + 1234] ^= 0x10;
    let bad = crc32c::crc32c(&pair.wires[0][40..5040]);
    let violation = pair.try_deliver(A, usize::MAX).expect_err("corrupted");
    assert_eq!(
        (violation.rule, violation.stream),
        (Rule::BodyChecksum, Some(id))
    );
    assert_eq!(
        (violation.got, violation.expected),
        (good.into(), bad.into())
    );
    pair.run();
    assert!(pair.received(B, id).is_empty() && !pair.see(A).acked.contains_key(&id));
    // The session does not have to end of it: the connection does.
    pair.cut_and_attach();
    pair.run();
    assert_eq!(pair.received(B, id).len(), 5000);
    assert_eq!(pair.see(B).received[&id].records, vec![5000]);
}

#[test]
fn nothing_of_a_body_is_acked_before_its_checksum() {
    let mut pair = Pair::attached(checked());
    let id = pair.open(A);
    pair.send(A, id, 300_000);
    pair.pump(A);
    let count = pair.wires[0].len();
    pair.deliver(A, count - 1);
    pair.pass(3_000_000);
    pair.pump(B);
    pair.deliver(B, usize::MAX);
    assert!(!pair.see(A).acked.contains_key(&id));
    pair.deliver(A, 1);
    pair.pass(3_000_000);
    pair.pump(B);
    pair.deliver(B, usize::MAX);
    assert_eq!(pair.see(A).acked.get(&id), Some(&300_000));
}

/// A caller may report the last bytes before or after the checksum.
#[test]
fn the_order_of_the_last_bytes_and_the_checksum_does_not_matter() {
    for is_trailer_first in [true, false] {
        let mut pair = Pair::attached(checked());
        let now = pair.now;
        let mut frame = Vec::new();
        data(true).emit(&mut frame);
        let session = &mut pair.end(B).session;
        let parsed = session
            .handle_bytes(now, Link::MESSAGE, &frame)
            .expect("agreed");
        assert!(matches!(parsed.next, Next::Body(incoming) if incoming.trailer));
        session.handle_body(now, Link::MESSAGE, 4).expect("a part");
        if is_trailer_first {
            session
                .handle_trailer(now, Link::MESSAGE, 7, 7)
                .expect("the same");
        }
        let received = session.progress(StreamId(0)).expect("open").received;
        assert_eq!(received, if is_trailer_first { 4 } else { 0 });
        session
            .handle_body(now, Link::MESSAGE, 6)
            .expect("the rest");
        if !is_trailer_first {
            assert_eq!(session.progress(StreamId(0)).expect("open").received, 0);
            session
                .handle_trailer(now, Link::MESSAGE, 7, 7)
                .expect("the same");
        }
        assert_eq!(session.progress(StreamId(0)).expect("open").received, 10);
    }
}

/// Else what an application takes of it piece by piece is no credit to the peer, ever.
#[test]
fn a_verified_body_that_is_taken_in_pieces_is_received_and_consumed_in_pieces() {
    let mut pair = Pair::attached(checked());
    let now = pair.now;
    let mut frame = Vec::new();
    data(true).emit(&mut frame);
    let session = &mut pair.end(B).session;
    session
        .handle_bytes(now, Link::MESSAGE, &frame)
        .expect("agreed");
    session
        .handle_trailer(now, Link::MESSAGE, 7, 7)
        .expect("the same");
    for taken in [4, 3, 3] {
        session
            .handle_body(now, Link::MESSAGE, taken)
            .expect("a part");
        session.consume(now, StreamId(0), taken);
    }
    let [.., received, taken, _] = ringway_proto::testing::stream_ledgers(session)[0].1;
    assert_eq!((received, taken), (10, 10));
}

fn data(trailer: bool) -> Frame {
    Frame::Data {
        stream: StreamId(0),
        offset: 0,
        record: 0,
        length: 10,
        opens: true,
        end_of_record: false,
        finishes: false,
        trailer,
    }
}

#[test]
fn a_checksum_that_was_not_agreed_is_a_violation() {
    let mut pair = Pair::attached(SessionConfig::default());
    let now = pair.now;
    let mut frame = Vec::new();
    data(true).emit(&mut frame);
    let violation = pair
        .end(B)
        .session
        .handle_bytes(now, Link::MESSAGE, &frame)
        .expect_err("not agreed");
    assert_eq!((violation.rule, violation.got), (Rule::Reserved, 32));
    // Nor is one sent.
    let id = pair.open(A);
    pair.send(A, id, 10);
    pair.pump_with(A, 1 << 20, 1 << 20, |_| None);
    let offer = pair.see(A).offer().expect("an offer");
    let mut out = Vec::new();
    let session = &mut pair.end(A).session;
    assert!(!session.commit(now, offer, 10, Trailer::Behind, &mut out) && out.is_empty());
}

#[test]
fn checksums_need_both_ends() {
    let mut pair = Pair::new(checked());
    let (mut dialer, _) = pair.handshake();
    assert!(dialer.features.contains(Features::BODY_CHECKSUM));
    dialer.features = Features::NONE;
    pair.attach_at(A, &dialer);
    assert_eq!(pair.see(A).session.body_checksum(), BodyChecksum::Off);
    let pair = Pair::attached(checked());
    assert_eq!(pair.see(B).session.body_checksum(), BodyChecksum::Always);
    let pair = Pair::attached(SessionConfig::default());
    assert_eq!(pair.see(B).session.body_checksum(), BodyChecksum::Off);
}
