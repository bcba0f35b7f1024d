//! Bodies with a checksum behind them (W-3.6): nothing of one is shown before all of it is verified.
//!
//! The price of a checksum is that a body is read once more at each end and gathered here first;
//! so it takes none of the ways that leave the bytes to the kernel.

use bytes::Bytes;
use ringway_io::Kernel;
use ringway_proto::{BodyChecksum, TRAILER_BYTES, Trailer};

use crate::connection::ConnectionKey;
use crate::shard::Shard;
use crate::statistics::BodyPath;

/// The trailer of a body.
pub(crate) fn trailer_bytes(body: &[u8]) -> [u8; TRAILER_BYTES] {
    crc32c::crc32c(body).to_le_bytes()
}

impl<K: Kernel> Shard<K> {
    /// Whether a body that takes this way is followed by a checksum: on `auto`, where its bytes
    /// pass through our hands anyway.
    pub(crate) fn trailer_for(&self, key: ConnectionKey, path: BodyPath) -> Trailer {
        let session = self
            .connections
            .get(key.0)
            .and_then(|connection| self.sessions.get(connection.session.0));
        let wanted = session.map_or(BodyChecksum::Off, |entry| entry.proto.body_checksum());
        let is_in_hand = matches!(
            path,
            BodyPath::Coalesced | BodyPath::Copy | BodyPath::ReadThenSend | BodyPath::DirectRead
        );
        if wanted != BodyChecksum::Off && is_in_hand {
            Trailer::Behind
        } else {
            Trailer::None
        }
    }

    /// Gathers bytes of a body and its trailer; how many were taken. Once both are whole and the
    /// checksum is right, the body stands first in the backlog.
    pub(crate) fn gather(&mut self, key: ConnectionKey, bytes: &Bytes) -> Option<usize> {
        let connection = self.connections.get_mut(key.0)?;
        let length = connection.ingress.body.as_ref()?.remaining;
        let gathered = connection.ingress.gathered.as_mut()?;
        let whole = usize::try_from(length).ok()? + TRAILER_BYTES;
        let count = bytes.len().min(whole - gathered.len());
        gathered.extend_from_slice(&bytes[..count]);
        if gathered.len() == whole {
            let gathered = connection.ingress.gathered.take()?;
            self.verify_body(key, gathered)?;
        }
        Some(count)
    }

    /// How many bytes of the body and its trailer are missing.
    pub(crate) fn ungathered(&self, key: ConnectionKey) -> Option<u64> {
        let ingress = &self.connections.get(key.0)?.ingress;
        let gathered = ingress.gathered.as_ref()?.len() as u64;
        let length = ingress.body.as_ref()?.remaining;
        Some(length + TRAILER_BYTES as u64 - gathered)
    }

    fn verify_body(&mut self, key: ConnectionKey, gathered: Vec<u8>) -> Option<()> {
        let now = self.now();
        let mut body = Bytes::from(gathered);
        let trailer = body.split_off(body.len() - TRAILER_BYTES);
        let received = u32::from_le_bytes(trailer[..].try_into().ok()?);
        let computed = crc32c::crc32c(&body);
        let owner = self.ingress_session(key)?;
        let link = self.connections.get(key.0)?.link;
        let session = self.sessions.get_mut(owner.0)?;
        if let Err(violation) = (session.proto).handle_trailer(now, link, received, computed) {
            self.violated(owner, &violation);
            return None;
        }
        let connection = self.connections.get_mut(key.0)?;
        connection.ingress.backlog.push_front(body);
        Some(())
    }
}
