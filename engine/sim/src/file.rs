//! What ops on files do when their time on the disk is over.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ringway_io::{
    BlockingCall, Capability, Descriptor, Directory, Errno, FileKind, Op, OpId, OpenHow, Payload,
    Residency,
};

use crate::KernelId;
use crate::fault::FaultKind;
use crate::object::{Object, OpenFile, number};
use crate::op::take_buffer;
use crate::path::Start;
use crate::ring::{Answer, Stage};
use crate::state::State;
use crate::worker::place_of;

/// An answer larger than its bound (errno(3) `EOVERFLOW`).
const EOVERFLOW: Errno = Errno(75);
/// Offsets and lengths of direct I/O are multiples of this, bytes (open(2), `O_DIRECT`).
const DIRECT_BYTES: u64 = 512;

/// What an op on files gives.
type Given = Result<(u32, Payload), Errno>;

/// The descriptor that a blocking call names.
pub(crate) fn named_by(call: &BlockingCall) -> Option<&Descriptor> {
    match call {
        BlockingCall::Resolve { .. } => None,
        BlockingCall::ReadDirectory {
            directory: file, ..
        }
        | BlockingCall::SetAttributes { file, .. }
        | BlockingCall::Truncate { file, .. }
        | BlockingCall::Allocate { file, .. }
        | BlockingCall::OpenDirect { file }
        | BlockingCall::SyncFileSystem { file }
        | BlockingCall::Lock { file } => Some(file),
    }
}

impl State {
    /// The wall clock of a host.
    pub(crate) fn wall_ns(&self) -> i128 {
        self.config.epoch_ns + i128::from(self.now_ns)
    }

    /// Whether an op never ends by itself: a FIFO opened so that it waits for its other side.
    pub(crate) fn hangs(&self, kernel: KernelId, id: OpId) -> bool {
        let Some(Op::Open {
            directory,
            path,
            how,
        }) = self.op(kernel, id)
        else {
            return false;
        };
        if how.non_blocking {
            return false;
        }
        let disk = &self.hosts[self.rings[kernel.0].host.0].disk;
        let place = self
            .start_of(directory)
            .and_then(|start| disk.walk(start, path, !how.no_follow));
        let node = place.ok().and_then(|place| place.node);
        node.is_some_and(|node| {
            disk.node(node)
                .is_ok_and(|node| node.kind() == FileKind::Special)
        })
    }

    /// An op's time on the disk is over.
    pub(crate) fn on_disk_done(&mut self, kernel: KernelId, id: OpId) {
        if self.stage(kernel, id) != Some(Stage::Running) {
            return;
        }
        let Some(mut op) = self
            .in_flight(kernel, id)
            .and_then(|flight| flight.op.take())
        else {
            return;
        };
        let place = place_of(&op);
        let given = self.perform(kernel, &mut op);
        let (result, payload) = match given {
            Ok((count, payload)) => (Ok(count), payload),
            Err(errno) => (Err(errno), take_buffer(&mut op)),
        };
        if let Some(flight) = self.in_flight(kernel, id) {
            flight.op = Some(op);
        }
        self.leave_place(kernel, id, place);
        self.finish(kernel, id, Answer::new(result, payload));
    }

    fn perform(&mut self, kernel: KernelId, op: &mut Op) -> Given {
        match op {
            Op::Read { .. } | Op::Write { .. } => self.perform_io(op),
            Op::SpliceFromFile {
                file,
                offset,
                pipe,
                length,
            } => {
                self.require(kernel, Capability::Splice)?;
                self.draw_disk_error()?;
                plain(self.splice_file_range(file, *offset, pipe, *length))
            }
            Op::SpliceToFile {
                pipe,
                file,
                offset,
                length,
            } => {
                self.require(kernel, Capability::Splice)?;
                plain(self.splice_to_file(pipe, file, *offset, *length))
            }
            Op::Sync { file, .. } => {
                let open = self.file_of(file)?;
                self.draw_disk_error()?;
                done(self.disk_mut(open).sync(open.node))
            }
            Op::StatDescriptor { file } => {
                let open = self.file_of(file)?;
                let stat = self.disk_mut(open).stat(open.node)?;
                Ok((0, Payload::Stat(stat)))
            }
            Op::Open {
                directory,
                path,
                how,
            } => self.perform_open(kernel, directory, path, *how),
            Op::Blocking(BlockingCall::OpenDirect { file }) => self.open_direct(kernel, file),
            Op::Blocking(call) => self.perform_blocking(call),
            _ => self.perform_on_name(kernel, op),
        }
    }

    fn disk_mut(&mut self, open: OpenFile) -> &mut crate::disk::Disk {
        &mut self.hosts[open.host.0].disk
    }

    /// Where a path starts.
    fn start_of(&self, directory: &Directory) -> Result<Start, Errno> {
        match directory {
            Directory::Ambient => Ok(Start::Ambient),
            Directory::Beneath(descriptor) => Ok(Start::Beneath(self.file_of(descriptor)?.node)),
        }
    }

    fn perform_io(&mut self, op: &mut Op) -> Given {
        let now_ns = self.wall_ns();
        match op {
            Op::Read {
                file,
                offset,
                buffer,
            } => {
                let open = self.file_of(file)?;
                if !open.read {
                    return Err(Errno::EBADF);
                }
                check_direct(open, *offset, buffer.len())?;
                self.draw_disk_error()?;
                let most = self.draw_disk_bytes(open, buffer.len());
                let disk = self.disk_mut(open);
                let into = &mut buffer.as_mut_slice()[..most];
                let count = disk.read(open.node, *offset, into)?;
                self.tally.bytes_moved += count as u64;
                Ok((count as u32, take_buffer(op)))
            }
            Op::Write {
                file,
                offset,
                buffer,
            } => {
                let open = self.file_of(file)?;
                if !open.write {
                    return Err(Errno::EBADF);
                }
                check_direct(open, *offset, buffer.len())?;
                self.draw_disk_error()?;
                let most = self.draw_disk_bytes(open, buffer.len());
                let bytes = &buffer.as_slice()[..most];
                let count = self.write_to_disk(open, *offset, bytes, now_ns)?;
                Ok((count as u32, Payload::None))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// A device that fails now and then.
    fn draw_disk_error(&mut self) -> Result<(), Errno> {
        let per_mille = self.config.faults.disk_error_per_mille;
        match self.fault(FaultKind::DiskError, per_mille) {
            true => Err(Errno::EIO),
            false => Ok(()),
        }
    }

    /// How much of `length` a read or write moves; direct I/O stays aligned.
    fn draw_disk_bytes(&mut self, open: OpenFile, length: usize) -> usize {
        let per_mille = self.config.faults.disk_short_per_mille;
        let unit = if open.direct {
            DIRECT_BYTES as usize
        } else {
            1
        };
        let units = length / unit;
        if units < 2 || !self.fault(FaultKind::DiskShort, per_mille) {
            return length;
        }
        unit * self.random.faults.between(1, units as u64 - 1) as usize
    }

    fn write_to_disk(
        &mut self,
        open: OpenFile,
        offset: u64,
        bytes: &[u8],
        now_ns: i128,
    ) -> Result<usize, Errno> {
        let written = self.disk_mut(open).write(open.node, offset, bytes, now_ns);
        let is_full = match written {
            Ok(count) => count < bytes.len(),
            Err(errno) => errno == Errno::ENOSPC,
        };
        self.tally.add(FaultKind::DiskFull, u64::from(is_full));
        self.tally.bytes_moved += written.unwrap_or(0) as u64;
        written
    }

    /// Writes what is in a pipe; what does not fit stays in it.
    fn splice_to_file(
        &mut self,
        pipe: &Descriptor,
        file: &Descriptor,
        offset: u64,
        length: u32,
    ) -> Result<u32, Errno> {
        let open = self.file_of(file)?;
        if !open.write {
            return Err(Errno::EBADF);
        }
        let now_ns = self.wall_ns();
        let state = self.pipe_state(pipe)?;
        if state.is_empty() {
            return if state.ends[1].is_some() {
                Err(Errno::EAGAIN)
            } else {
                Ok(0)
            };
        }
        let held = state.len();
        self.draw_disk_error()?;
        let most = self.draw_disk_bytes(open, held.min(length as usize));
        let mut queue = self.pipe_state(pipe)?.take(most);
        let bytes = self.resolve(queue.clone());
        let written = self.write_to_disk(open, offset, &bytes, now_ns);
        let _ = queue.take(written.unwrap_or(0));
        self.pipe_state(pipe)?.put_back(queue);
        self.touch_pipe(pipe);
        written.map(|count| count as u32)
    }

    fn perform_open(
        &mut self,
        kernel: KernelId,
        directory: &Directory,
        path: &Path,
        how: OpenHow,
    ) -> Given {
        let host = self.rings[kernel.0].host;
        let (start, now_ns) = (self.start_of(directory)?, self.wall_ns());
        let node = self.hosts[host.0].disk.open(start, path, how, now_ns)?;
        let open = OpenFile {
            host,
            node,
            read: how.read,
            write: how.write,
            direct: how.direct,
        };
        self.describe(kernel, open)
    }

    /// The same file once more; its node counts who has it open.
    fn open_direct(&mut self, kernel: KernelId, file: &Descriptor) -> Given {
        let open = self.file_of(file)?;
        self.disk_mut(open).reopen(open.node)?;
        let direct = OpenFile {
            direct: true,
            ..open
        };
        self.describe(kernel, direct)
    }

    /// A descriptor for what was just opened.
    fn describe(&mut self, kernel: KernelId, open: OpenFile) -> Given {
        match self.open_object(kernel, Object::File(open)) {
            Ok(descriptor) => Ok((0, Payload::Descriptor(descriptor))),
            Err(errno) => {
                self.disk_mut(open).close(open.node, 0);
                Err(errno)
            }
        }
    }

    fn perform_on_name(&mut self, kernel: KernelId, op: &Op) -> Given {
        let host = self.rings[kernel.0].host;
        match op {
            Op::Stat { directory, path } => {
                let start = self.start_of(directory)?;
                let disk = &self.hosts[host.0].disk;
                let node = disk.walk(start, path, false)?.node.ok_or(Errno::ENOENT)?;
                Ok((0, Payload::Stat(disk.stat(node)?)))
            }
            Op::Rename {
                from_directory,
                from,
                to_directory,
                to,
                no_replace,
            } => {
                let (start, end) = (self.start_of(from_directory)?, self.start_of(to_directory)?);
                let now_ns = self.wall_ns();
                let disk = &mut self.hosts[host.0].disk;
                let from = disk.walk_to_name(start, from)?;
                let to = disk.walk_to_name(end, to)?;
                done(disk.rename(&from, &to, *no_replace, now_ns))
            }
            Op::Remove {
                directory,
                path,
                is_directory,
            } => self.remove(kernel, directory, path, *is_directory),
            Op::MakeDirectory {
                directory,
                path,
                mode,
            } => {
                let (start, now_ns) = (self.start_of(directory)?, self.wall_ns());
                done(
                    self.hosts[host.0]
                        .disk
                        .make_directory(start, path, *mode, now_ns),
                )
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn remove(
        &mut self,
        kernel: KernelId,
        directory: &Directory,
        path: &Path,
        is_directory: bool,
    ) -> Given {
        let (start, now_ns) = (self.start_of(directory)?, self.wall_ns());
        let host = &mut self.hosts[self.rings[kernel.0].host.0];
        // The path of a Unix socket: names of the network, not of the disk.
        if start == Start::Ambient && host.stale.remove(path) {
            return Ok((0, Payload::None));
        }
        let place = host.disk.walk_to_name(start, path)?;
        done(host.disk.remove(&place, is_directory, now_ns))
    }

    fn perform_blocking(&mut self, call: &BlockingCall) -> Given {
        let now_ns = self.wall_ns();
        let file = match named_by(call) {
            None => return self.perform_resolve(call),
            Some(descriptor) => descriptor,
        };
        let open = self.file_of(file)?;
        let disk = self.disk_mut(open);
        match call {
            BlockingCall::ReadDirectory { entries_max, .. } => {
                let entries = disk.entries(open.node)?;
                if entries.len() > *entries_max {
                    return Err(EOVERFLOW);
                }
                Ok((entries.len() as u32, Payload::Entries(entries)))
            }
            BlockingCall::SetAttributes {
                mode, modified_ns, ..
            } => {
                let node = disk.node_mut(open.node)?;
                node.mode = mode.unwrap_or(node.mode);
                node.modified_ns = modified_ns.unwrap_or(node.modified_ns);
                node.changed_ns = now_ns;
                Ok((0, Payload::None))
            }
            BlockingCall::Truncate { length, .. } if open.write => {
                done(disk.truncate(open.node, *length, now_ns))
            }
            BlockingCall::Allocate { length, .. } if open.write => {
                done(disk.allocate(open.node, *length))
            }
            BlockingCall::SyncFileSystem { .. } => {
                disk.sync_all();
                Ok((0, Payload::None))
            }
            BlockingCall::Lock { file } => {
                let holder = number(file)?;
                let node = disk.node_mut(open.node)?;
                if node.lock.is_some_and(|other| other != holder) {
                    return Err(Errno::EAGAIN);
                }
                node.lock = Some(holder);
                Ok((0, Payload::None))
            }
            _ => Err(Errno::EBADF),
        }
    }

    fn perform_resolve(&self, call: &BlockingCall) -> Given {
        let BlockingCall::Resolve { host, port } = call else {
            return Err(Errno::EINVAL);
        };
        let addresses = match host.parse::<IpAddr>() {
            Ok(literal) => vec![literal],
            Err(_) if host == "localhost" => vec![IpAddr::from([127, 0, 0, 1])],
            Err(_) => {
                let named = self.hosts.iter().find(|each| each.name == *host);
                named.ok_or(Errno::ENOENT)?.addresses.clone()
            }
        };
        let answers: Vec<_> = addresses
            .iter()
            .map(|&ip| SocketAddr::new(ip, *port))
            .collect();
        if answers.is_empty() {
            return Err(Errno::ENOENT);
        }
        Ok((answers.len() as u32, Payload::Addresses(answers)))
    }

    pub(crate) fn residency(
        &self,
        kernel: KernelId,
        file: &Descriptor,
        offset: u64,
        length: u32,
    ) -> Residency {
        let can_ask = self.has(kernel, Capability::CacheStat);
        let Some(open) = self.file_of(file).ok().filter(|_| can_ask) else {
            return Residency::Unknown;
        };
        let disk = &self.hosts[open.host.0].disk;
        if disk.is_resident(open.node, offset, u64::from(length)) {
            Residency::Resident
        } else {
            Residency::Absent
        }
    }
}

fn plain(result: Result<u32, Errno>) -> Given {
    result.map(|count| (count, Payload::None))
}

fn done(result: Result<(), Errno>) -> Given {
    result.map(|()| (0, Payload::None))
}

/// Direct I/O wants aligned offsets and lengths.
fn check_direct(open: OpenFile, offset: u64, length: usize) -> Result<(), Errno> {
    let is_aligned = (offset | length as u64).is_multiple_of(DIRECT_BYTES);
    if open.direct && !is_aligned {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
