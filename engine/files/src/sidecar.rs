//! The small file beside a partial file that says whose it is and how much of it to trust (F-50).
//!
//! ```text
//!  0  8  magic "RWSIDECR"
//!  8  4  version, 1                     little-endian throughout
//! 12  4  length of the whole, 96
//! 16 40  source: size u64, modified (seconds i64, nanoseconds u32),
//!        changed (seconds i64, nanoseconds u32), inode u64
//! 56  8  contiguous offset when this was written
//! 64  8  offset that had been synced to the device
//! 72 16  boot id of the machine, zero if unknown
//! 88  8  XXH3-64 of bytes 0..88
//! ```
//!
//! It is replaced as a whole, by rename, so it is never seen half-written; the checksum finds
//! what a crash of the machine makes of that.

use xxhash_rust::xxh3::xxh3_64;

use crate::identity::{SourceIdentity, Timestamp};

/// The version this program writes, and the newest it reads.
pub(crate) const VERSION: u32 = 1;
/// Bytes of a sidecar of that version.
pub(crate) const LENGTH: usize = 96;

const MAGIC: [u8; 8] = *b"RWSIDECR";
const SUMMED: usize = LENGTH - 8;

/// Names one run of a kernel; zero when it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BootId(pub(crate) [u8; 16]);

/// What a sidecar holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sidecar {
    pub(crate) source: SourceIdentity,
    pub(crate) contiguous: u64,
    pub(crate) synced: u64,
    pub(crate) boot: BootId,
}

/// Why bytes are no [`Sidecar`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SidecarError {
    /// Cut, altered, or something else altogether: worth nothing.
    Corrupt,
    /// Whole, and of a version we do not read.
    Version(u32),
}

struct Writer(Vec<u8>);

impl Writer {
    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    fn time(&mut self, time: Timestamp) {
        self.0.extend(time.seconds.to_le_bytes());
        self.u32(time.nanoseconds);
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Option<Timestamp> {
        Some(Timestamp {
            seconds: self.take().map(i64::from_le_bytes)?,
            nanoseconds: self.u32()?,
        })
    }
}

impl Sidecar {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut out = Writer(MAGIC.to_vec());
        out.u32(VERSION);
        out.u32(LENGTH as u32);
        out.u64(self.source.size);
        out.time(self.source.modified);
        out.time(self.source.changed);
        out.u64(self.source.inode);
        out.u64(self.contiguous);
        out.u64(self.synced);
        out.0.extend(self.boot.0);
        let sum = xxh3_64(&out.0);
        out.u64(sum);
        out.0
    }

    /// Reads a sidecar. A later version keeps the first 16 bytes and a sum at its end.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, SidecarError> {
        let mut reader = Reader(bytes);
        let head = (reader.take(), reader.u32(), reader.u32());
        let (Some(MAGIC), Some(version), Some(length)) = head else {
            return Err(SidecarError::Corrupt);
        };
        if bytes.len() != length as usize || length < 24 || !is_sum_right(bytes) {
            return Err(SidecarError::Corrupt);
        }
        if version != VERSION {
            return Err(SidecarError::Version(version));
        }
        if bytes.len() != LENGTH {
            return Err(SidecarError::Corrupt);
        }
        Self::parse_body(&mut reader).ok_or(SidecarError::Corrupt)
    }

    fn parse_body(reader: &mut Reader<'_>) -> Option<Self> {
        let source = SourceIdentity {
            size: reader.u64()?,
            modified: reader.time()?,
            changed: reader.time()?,
            inode: reader.u64()?,
        };
        Some(Self {
            source,
            contiguous: reader.u64()?,
            synced: reader.u64()?,
            boot: BootId(reader.take()?),
        })
    }

    /// How much of a partial file of `size` bytes can be trusted (F-51).
    ///
    /// The file is written in order and never extended otherwise, so in the same boot its size
    /// says what has arrived, even if its writer was killed. After a crash of the machine only
    /// what had been synced is sure. A file shorter than the sidecar says was tampered with.
    pub(crate) fn trusted(&self, size: u64, boot: BootId) -> u64 {
        let is_same_boot = self.boot == boot && boot != BootId::default();
        if size < self.synced || (is_same_boot && size < self.contiguous) {
            return 0;
        }
        let trusted = if is_same_boot { size } else { self.synced };
        trusted.min(self.source.size)
    }
}

fn is_sum_right(bytes: &[u8]) -> bool {
    let Some((summed, sum)) = bytes.split_last_chunk::<8>() else {
        return false;
    };
    xxh3_64(summed) == u64::from_le_bytes(*sum)
}

const _: () = assert!(SUMMED == 8 + 4 + 4 + 40 + 8 + 8 + 16);

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: BootId = BootId([7; 16]);

    fn sidecar() -> Sidecar {
        let source = SourceIdentity {
            size: 1000,
            modified: Timestamp::from_ns(-5),
            changed: Timestamp::from_ns(1_700_000_000_000_000_001),
            inode: 42,
        };
        Sidecar {
            source,
            contiguous: 600,
            synced: 400,
            boot: BOOT,
        }
    }

    #[test]
    fn it_is_read_back_as_written_and_has_the_documented_size() {
        let bytes = sidecar().emit();
        assert_eq!(bytes.len(), LENGTH);
        assert_eq!(Sidecar::parse(&bytes), Ok(sidecar()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = sidecar().emit();
        for bit in 0..LENGTH * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                Sidecar::parse(&wrong),
                Err(SidecarError::Corrupt),
                "bit {bit}"
            );
        }
        for length in 0..LENGTH {
            assert_eq!(Sidecar::parse(&bytes[..length]), Err(SidecarError::Corrupt));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Sidecar::parse(&longer), Err(SidecarError::Corrupt));
    }

    #[test]
    fn a_whole_sidecar_of_a_later_version_says_so() {
        let mut bytes = sidecar().emit();
        bytes[8] = 9;
        bytes.truncate(SUMMED);
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        assert_eq!(Sidecar::parse(&bytes), Err(SidecarError::Version(9)));
    }

    #[test]
    fn a_killed_writer_resumes_from_the_size_a_crashed_machine_from_the_sync() {
        let (sidecar, other) = (sidecar(), BootId([8; 16]));
        assert_eq!(sidecar.trusted(900, BOOT), 900);
        assert_eq!(sidecar.trusted(5000, BOOT), 1000, "never beyond the source");
        assert_eq!(sidecar.trusted(900, other), 400);
        assert_eq!(sidecar.trusted(500, BOOT), 0, "somebody cut it");
        assert_eq!(
            sidecar.trusted(300, other),
            0,
            "the synced part is not there"
        );
        let unknown = Sidecar {
            boot: BootId::default(),
            ..sidecar
        };
        assert_eq!(unknown.trusted(900, BootId::default()), 400);
    }
}
