//! The records that travel (F-1 to F-6). One stream carries one request.
//!
//! MessagePack maps with named fields: unknown fields are ignored, so that a later minor addition
//! needs no new version.

use bytes::Bytes;
use ringway::Stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Halt};
use crate::identity::{SourceIdentity, Timestamp};
use crate::limits::RECORD_BYTES_MAX;
use crate::list::Entry;
use crate::{Overwrite, RemotePath};

/// The version of the file protocol, one integer.
pub(crate) const VERSION: u32 = 1;

/// Status codes that end or stop a stream (F-6), besides those of the engine.
pub(crate) mod status {
    /// The reply record says why.
    pub(crate) const REFUSED: u32 = 1000;
    /// The server is being stopped.
    pub(crate) const DRAINING: u32 = 1001;
}

/// The first record of a stream.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) version: u32,
    pub(crate) request: Request,
}

/// What a client asks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// What is at a path?
    Look {
        path: RemotePath,
    },
    /// What is in a directory?
    List {
        path: RemotePath,
        recursive: bool,
    },
    /// Make directories, each parent before what it holds; those that exist are fine.
    MakeDirectories {
        paths: Vec<RemotePath>,
    },
    /// Set attributes of directories, each after what it holds.
    SetDirectories {
        directories: Vec<DirectoryAttributes>,
    },
    Put(Put),
    Get(Get),
}

/// Attributes of one directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DirectoryAttributes {
    pub(crate) path: RemotePath,
    pub(crate) mode: u32,
    pub(crate) modified: Timestamp,
}

/// Put one file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Put {
    pub(crate) path: RemotePath,
    pub(crate) source: SourceIdentity,
    pub(crate) mode: u32,
    pub(crate) overwrite: Overwrite,
    pub(crate) restart: bool,
    /// The body waits for [`Reply::Offset`]; always so for a large file.
    pub(crate) ask: bool,
    /// Read the file back and tell its digest.
    pub(crate) digest: bool,
}

/// Get one file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Get {
    pub(crate) path: RemotePath,
    /// What the client already has of it.
    pub(crate) resume: Option<Resume>,
    /// Send a digest of the whole after the body.
    pub(crate) digest: bool,
}

/// A partial file at the client.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Resume {
    pub(crate) source: SourceIdentity,
    pub(crate) offset: u64,
}

/// What a server answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// To a look: nothing is there, or this.
    Looked { entry: Option<Entry> },
    /// To a list; the finish of the stream says that no page follows.
    Page { entries: Vec<Entry> },
    /// To a request about directories.
    Done,
    /// To a put: send the body from here.
    Offset { offset: u64 },
    /// To a put: complete, synced and in its place.
    Placed { digest: Option<Digest> },
    /// To a put: the target exists and is kept.
    Kept,
    /// To a get: the body follows, from `offset` to the size in `source`.
    Body {
        source: SourceIdentity,
        mode: u32,
        offset: u64,
    },
    /// To a get, after the body, if it was asked for.
    Digest(Digest),
    /// To anything: it did not happen.
    Failed(Failure),
}

/// XXH3-128, high half first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest(pub(crate) u64, pub(crate) u64);

impl From<u128> for Digest {
    fn from(value: u128) -> Self {
        Self((value >> 64) as u64, value as u64)
    }
}

impl From<Digest> for u128 {
    fn from(digest: Digest) -> Self {
        Self::from(digest.0) << 64 | Self::from(digest.1)
    }
}

impl Request {
    pub(crate) fn encode(self) -> Bytes {
        let (version, request) = (VERSION, self);
        encode(&Envelope { version, request })
    }
}

/// Encodes a record of ours; none of them can fail to encode.
pub(crate) fn encode(record: &impl Serialize) -> Bytes {
    rmp_serde::to_vec_named(record)
        .expect("records of ours always encode")
        .into()
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Halt> {
    rmp_serde::from_slice(bytes).map_err(|error| Halt::broken("F-2", error))
}

/// Sends a request as the stream's first record.
pub(crate) async fn ask(stream: &Stream, request: Request) -> Result<u64, Halt> {
    Ok(stream.send_record(request.encode()).await?)
}

/// The next reply; a failure at the server is an error here.
pub(crate) async fn receive_reply(stream: &Stream) -> Result<Reply, Halt> {
    match try_receive_reply(stream).await? {
        Some(reply) => Ok(reply),
        None => Err(Halt::broken("F-3", "the stream ended without a reply")),
    }
}

/// The next reply, `None` at the end.
pub(crate) async fn try_receive_reply(stream: &Stream) -> Result<Option<Reply>, Halt> {
    let Some(record) = stream.receive_record(RECORD_BYTES_MAX).await? else {
        return Ok(None);
    };
    match decode(&record)? {
        Reply::Failed(failure) => Err(Halt::Peer(failure)),
        reply => Ok(Some(reply)),
    }
}

/// A reply that does not fit its request.
pub(crate) fn unexpected(reply: &Reply) -> Halt {
    Halt::broken("F-4", format_args!("unexpected reply {reply:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_an_unknown_field_is_still_understood() {
        #[derive(Serialize)]
        struct Later {
            version: u32,
            shade: &'static str,
            request: Request,
        }
        let path = RemotePath::parse("a/b").expect("plain");
        let later = Later {
            version: 1,
            shade: "blue",
            request: Request::Look { path },
        };
        let envelope: Envelope = decode(&encode(&later)).expect("understood");
        assert!(matches!(envelope.request, Request::Look { .. }));
    }

    #[test]
    fn garbage_is_a_typed_violation_and_never_a_panic() {
        let good = Request::List {
            path: RemotePath::root(),
            recursive: true,
        }
        .encode();
        for length in 0..good.len() {
            assert!(decode::<Envelope>(&good[..length]).is_err());
        }
        for byte in 0..=255 {
            assert!(decode::<Envelope>(&[byte; 40]).is_err());
        }
    }

    #[test]
    fn a_path_that_would_escape_is_no_request() {
        #[derive(Serialize)]
        enum Hostile {
            Look { path: Bytes },
        }
        let hostile = Hostile::Look {
            path: Bytes::from_static(b"../etc/passwd"),
        };
        assert!(decode::<Request>(&encode(&hostile)).is_err());
    }

    #[test]
    fn digests_keep_all_their_bits() {
        let value = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;
        assert_eq!(u128::from(Digest::from(value)), value);
    }
}
