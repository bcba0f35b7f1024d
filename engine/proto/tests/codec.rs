//! The frame codec against everything a peer can send.

use proptest::prelude::*;
use ringway_proto::testing::{Frame, FrameError, ResumeEntry};
use ringway_proto::{HEADER_BYTES, Rule, Status, StreamId, Violation};

const OFFSET_MAX: u64 = 1 << 62;
const TYPES: u8 = 14;

fn status() -> impl Strategy<Value = Status> {
    (any::<u32>(), "\\PC{0,300}").prop_map(|(code, text)| Status::new(code, &text))
}

fn stream() -> impl Strategy<Value = StreamId> {
    any::<u64>().prop_map(StreamId)
}

/// An offset or a count, small ones as likely as huge ones.
fn position() -> impl Strategy<Value = u64> {
    prop_oneof![0..1000_u64, 0..=OFFSET_MAX, Just(OFFSET_MAX)]
}

fn entry() -> impl Strategy<Value = ResumeEntry> {
    let fields = (
        stream(),
        position(),
        position(),
        position(),
        position(),
        any::<bool>(),
    );
    fields.prop_map(
        |(stream, received, records, consumed, credit, end_known)| ResumeEntry {
            stream,
            received,
            records,
            consumed,
            credit,
            end_known,
        },
    )
}

fn data() -> impl Strategy<Value = Frame> {
    let flags = any::<[bool; 4]>();
    (stream(), position(), position(), 0..=1_048_576_u32, flags).prop_map(
        |(stream, offset, record, length, [opens, end_of_record, finishes, trailer])| Frame::Data {
            stream,
            offset,
            record,
            length,
            opens,
            end_of_record,
            finishes,
            trailer: trailer && length > 0,
        },
    )
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        data(),
        entry().prop_map(|entry| Frame::Ack {
            stream: entry.stream,
            received: entry.received,
            records: entry.records,
            consumed: entry.consumed,
            credit: entry.credit,
            end_known: entry.end_known,
        }),
        position().prop_map(Frame::SessionCredit),
        position().prop_map(Frame::StreamCredit),
        (stream(), position(), position(), any::<bool>(), status()).prop_map(
            |(stream, offset, record, opens, status)| Frame::Finish {
                stream,
                offset,
                record,
                opens,
                status,
            }
        ),
        (stream(), position(), any::<bool>(), status()).prop_map(
            |(stream, offset, opens, status)| Frame::Reset {
                stream,
                offset,
                opens,
                status
            }
        ),
        (stream(), any::<bool>(), status()).prop_map(|(stream, opens, status)| Frame::Stop {
            stream,
            opens,
            status
        }),
        position().prop_map(Frame::Ping),
        position().prop_map(Frame::Pong),
        (
            position(),
            position(),
            any::<bool>(),
            prop::collection::vec(entry(), 0..=256)
        )
            .prop_map(|(opened, seen, is_last, entries)| Frame::Resume {
                opened,
                seen,
                is_last,
                entries
            }),
        Just(Frame::Drain),
        status().prop_map(Frame::Close),
        (stream(), any::<bool>(), [(); 4].map(|()| position())).prop_map(
            |(stream, opens, [offset, record, next_offset, next_record])| Frame::Gap {
                stream,
                offset,
                record,
                opens,
                next_offset,
                next_record,
            }
        ),
    ]
}

fn emitted(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.emit(&mut bytes);
    bytes
}

/// Makes the checksum of an altered header right again (W-2.2).
fn repair(bytes: &mut [u8]) {
    let checksum = crc32c::crc32c(&bytes[..36]);
    bytes[36..40].copy_from_slice(&checksum.to_le_bytes());
}

/// A header by the document (W-2.1), without the code under test.
fn header(kind: u8, flags: u8, length: u32, stream: u64, offset: u64, record: u64) -> Vec<u8> {
    let mut bytes = vec![kind, flags, 0, 0];
    bytes.extend(length.to_le_bytes());
    bytes.extend(stream.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend(record.to_le_bytes());
    bytes.extend([0; 8]);
    repair(&mut bytes);
    bytes
}

fn violation(bytes: &[u8]) -> Violation {
    match Frame::parse(bytes) {
        Err(FrameError::Violation(violation)) => violation,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn every_frame_survives_the_wire(frame in frame()) {
        let bytes = emitted(&frame);
        prop_assert_eq!(Frame::parse(&bytes), Ok((frame, bytes.len())));
    }

    #[test]
    fn what_follows_a_frame_is_left_alone(frame in frame(), rest in prop::collection::vec(any::<u8>(), 0..99)) {
        let mut bytes = emitted(&frame);
        let size = bytes.len();
        bytes.extend(rest);
        prop_assert_eq!(Frame::parse(&bytes), Ok((frame, size)));
    }

    /// A cut frame asks for what is missing: never for more than the whole, never for nothing.
    #[test]
    fn a_cut_frame_asks_for_no_more_than_its_rest(frame in frame(), cut in any::<prop::sample::Index>()) {
        let bytes = emitted(&frame);
        let cut = cut.index(bytes.len());
        match Frame::parse(&bytes[..cut]) {
            Err(FrameError::Incomplete(missing)) => {
                prop_assert!(missing > 0 && cut + missing <= bytes.len());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Frame::parse(&bytes);
    }

    /// With a good checksum, so that the fields themselves are tried. What is understood is
    /// written the same way again: there is one way to say a thing.
    #[test]
    fn arbitrary_fields_are_understood_in_one_way_or_refused(
        kind in 0..=TYPES + 2,
        flags in prop_oneof![Just(0_u8), 0..32_u8, any::<u8>()],
        payload in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..120),
        numbers in (prop_oneof![Just(0), any::<u64>()], prop_oneof![Just(0), any::<u64>()], prop_oneof![Just(0), any::<u64>()]),
    ) {
        let (stream, offset, record) = numbers;
        let mut bytes = header(kind, flags, payload.len() as u32, stream, offset, record);
        bytes.extend(&payload);
        if let Ok((frame, size)) = Frame::parse(&bytes) {
            prop_assert_eq!(emitted(&frame), &bytes[..size]);
        }
    }

    /// C17
    #[test]
    fn a_flipped_bit_in_a_header_is_found_with_both_values(frame in frame(), bit in 0..8 * HEADER_BYTES) {
        let mut bytes = emitted(&frame);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let violation = violation(&bytes);
        prop_assert_eq!(violation.rule, Rule::HeaderChecksum);
        prop_assert_ne!(violation.got, violation.expected);
    }
}

// B9
#[test]
fn an_oversized_frame_is_refused_by_its_header_with_both_numbers() {
    let status_max = 4 + 2 + 1024;
    for (kind, max) in [
        (1, 1 << 20),
        (2, 16),
        (5, status_max),
        (10, 256 * 48),
        (12, status_max),
        (13, 0),
        (14, 16),
    ] {
        for length in [max + 1, u32::MAX] {
            // Only the header is there: nothing was waited for, nothing allocated.
            let violation = violation(&header(kind, 0, length, 0, 0, 0));
            assert_eq!(violation.rule, Rule::PayloadLength);
            assert_eq!((violation.frame, violation.got), (kind, length.into()));
            assert_eq!(violation.expected, max.into());
        }
    }
}

#[test]
fn a_frame_type_that_does_not_exist_is_named() {
    for kind in [0, TYPES + 1, u8::MAX] {
        let violation = violation(&header(kind, 0, 0, 0, 0, 0));
        assert_eq!((violation.rule, violation.frame), (Rule::FrameType, kind));
    }
}

#[test]
fn what_a_type_does_not_use_is_zero() {
    // Flags of other types; then stream, offset and record where they mean nothing.
    for (kind, flags, stream, offset, record) in [
        (1, 0x08, 0, 0, 0),
        (2, 0x01, 0, 0, 0),
        (3, 0x00, 1, 0, 0),
        (4, 0x00, 0, 0, 1),
        (6, 0x00, 0, 0, 1),
        (7, 0x00, 0, 1, 0),
        (8, 0x00, 1, 0, 0),
        (10, 0x00, 1, 0, 0),
        (11, 0x00, 0, 1, 0),
        (11, 0x80, 0, 0, 0),
        (12, 0x00, 1, 0, 0),
        (13, 0x00, 1, 0, 0),
        (13, 0x01, 0, 1, 1),
        (14, 0x02, 0, 0, 0),
    ] {
        let length = match kind {
            2 | 14 => 16,
            6 | 7 | 12 => 6,
            _ => 0,
        };
        let mut bytes = header(kind, flags, length, stream, offset, record);
        bytes.resize(HEADER_BYTES + length as usize, 0);
        assert_eq!(violation(&bytes).rule, Rule::Reserved, "type {kind}");
    }
    let mut bytes = header(11, 0, 0, 0, 0, 0);
    bytes[2] = 1;
    repair(&mut bytes);
    assert_eq!(violation(&bytes).rule, Rule::Reserved);
}

#[test]
fn an_offset_that_could_overflow_a_sum_is_refused() {
    for (offset, record) in [
        (OFFSET_MAX + 1, 0),
        (0, OFFSET_MAX + 1),
        (u64::MAX, u64::MAX),
    ] {
        let violation = violation(&header(1, 0, 0, 0, offset, record));
        assert_eq!(violation.rule, Rule::Payload);
        assert_eq!(
            (violation.got, violation.expected),
            (offset.max(record), OFFSET_MAX)
        );
    }
    for at in [0, 8] {
        let mut bytes = header(2, 0, 16, 0, 0, 0);
        bytes.extend([0; 16]);
        bytes[HEADER_BYTES + at..][..8].copy_from_slice(&(OFFSET_MAX + 1).to_le_bytes());
        assert_eq!(violation(&bytes).rule, Rule::Payload);
    }
}

#[test]
fn a_text_that_is_no_text_is_refused() {
    for payload in [
        &[0, 0, 0, 0, 1, 0, 0xff][..],
        &[0, 0, 0, 0, 9, 0, b'x'],
        &[0, 0, 0, 0, 0, 0, b'x'],
    ] {
        let mut bytes = header(12, 0, payload.len() as u32, 0, 0, 0);
        bytes.extend(payload);
        assert_eq!(violation(&bytes).rule, Rule::Payload);
    }
}

#[test]
fn a_text_longer_than_allowed_is_cut_by_its_sender() {
    let status = Status {
        code: 7,
        text: "é".repeat(5000),
    };
    let bytes = emitted(&Frame::Close(status));
    let Ok((Frame::Close(status), _)) = Frame::parse(&bytes) else {
        panic!("a close")
    };
    assert_eq!(status.text.len(), 1024);
}
