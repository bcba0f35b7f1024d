//! Sends one direction of a stream as its script says.

use ringway::{Error, File, OpenHow, Payload, Status, Stream};

use crate::content::content;
use crate::load::{Sent, WayKey};
use crate::party::Party;
use crate::scene::race;
use crate::script::{Ending, Item, Source, Way};

/// Sends all of a direction, and says how that ended.
pub(crate) async fn send(party: &Party, stream: &Stream, key: WayKey, way: &Way) -> Sent {
    let file = source_file(party, key, way).await;
    let mut at = 0;
    for item in &way.items {
        match send_item(party, stream, key, &file, at, item).await {
            Ok(end) => assert_eq!(end, at + item.length),
            Err(error) => {
                // Else the peer, which may never have heard of the stream, waits for more.
                stream.reset(Status::new(1003, "cannot send"));
                return Sent::Failed(error);
            }
        }
        at += item.length;
    }
    match way.ending {
        Ending::Reset(code) => {
            stream.reset(Status::new(code, "reset"));
            Sent::Reset
        }
        Ending::Finish(code) => finish(stream, code, at).await,
    }
}

async fn finish(stream: &Stream, code: u32, length: u64) -> Sent {
    let text = if code == 0 { "" } else { "all of it" };
    if let Err(error) = stream.finish(Status::new(code, text)).await {
        return Sent::Failed(error);
    }
    if let Err(error) = stream.finish_acked().await {
        return Sent::Failed(error);
    }
    assert!(
        stream.acked_now() >= length,
        "the end is acked before the bytes"
    );
    Sent::Finished
}

/// Sends one item, however often its future is dropped.
async fn send_item(
    party: &Party,
    stream: &Stream,
    key: WayKey,
    file: &Option<File>,
    at: u64,
    item: &Item,
) -> Result<u64, Error> {
    let payload = payload(party, key, file, at, item).await;
    if let Some(patience) = item.patience {
        let sent = send_payload(stream, payload.clone(), item);
        if let Some(sent) = race(sent, party.engine.sleep(patience)).await {
            return sent;
        }
        // Whole or not at all: the position says which.
        let progress = stream.progress().await?;
        if progress.accepted > at {
            assert_eq!(progress.accepted, at + item.length);
            return Ok(progress.accepted);
        }
    }
    send_payload(stream, payload, item).await
}

async fn send_payload(stream: &Stream, payload: Payload, item: &Item) -> Result<u64, Error> {
    if item.ends_record {
        stream.send_record(payload).await
    } else {
        stream.send(payload).await
    }
}

async fn payload(party: &Party, key: WayKey, file: &Option<File>, at: u64, item: &Item) -> Payload {
    let length = item.length as usize;
    let bytes = content(key.content(), at, length);
    match (item.source, file) {
        (Source::File, Some(file)) => file.range(at, item.length).into(),
        (Source::Lease, _) if length > 0 && length <= 1 << 20 => {
            match party.engine.lease(length).await.ok().flatten() {
                Some(mut lease) => {
                    lease[..length].copy_from_slice(bytes);
                    lease.freeze(length).into()
                }
                None => Payload::Bytes(bytes.into()),
            }
        }
        _ => Payload::Bytes(bytes.into()),
    }
}

/// The file that parts of a direction come from: byte for byte what the stream is to carry.
async fn source_file(party: &Party, key: WayKey, way: &Way) -> Option<File> {
    if way.items.iter().all(|item| item.source != Source::File) {
        return None;
    }
    let path = format!("/{}/from-{key}", party.name);
    let bytes = content(key.content(), 0, way.length() as usize);
    party.disk.plant_file(&path, bytes);
    Some(party.open_for_bodies(&path, OpenHow::READ).await)
}
