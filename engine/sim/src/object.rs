//! What descriptors stand for, and what happens when the last holder lets go.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use ringway_io::{Address, CloseSimulated, Descriptor, Errno, SocketOption};

use crate::state::State;
use crate::{HostId, KernelId};

/// Numbers of descriptors that were closed since the world last looked. Behind a lock, because a
/// descriptor may be dropped anywhere, also while the world is being worked on.
#[derive(Debug, Default)]
pub(crate) struct Closer(Mutex<Vec<u64>>);

impl CloseSimulated for Closer {
    fn close(&self, number: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(number);
    }
}

impl Closer {
    pub(crate) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An open object.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) object: Object,
    /// Who made it.
    pub(crate) owner: KernelId,
}

/// What a descriptor stands for.
#[derive(Debug)]
pub(crate) enum Object {
    /// A socket before its dial.
    Unconnected {
        is_unix: bool,
        options: Vec<SocketOption>,
    },
    Listener(Listener),
    Socket {
        connection: u64,
        end: usize,
    },
    File(OpenFile),
    PipeRead(u64),
    PipeWrite(u64),
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) host: HostId,
    pub(crate) address: Address,
    pub(crate) backlog: usize,
    pub(crate) reuse_port: bool,
    /// Connections that nobody accepted yet.
    pub(crate) pending: VecDeque<u64>,
    /// Passed on to what is accepted.
    pub(crate) options: Vec<SocketOption>,
}

/// An open file description.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenFile {
    pub(crate) host: HostId,
    pub(crate) node: u64,
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) direct: bool,
}

/// The number of a descriptor of ours; `EBADF` for an operating-system descriptor.
pub(crate) fn number(descriptor: &Descriptor) -> Result<u64, Errno> {
    descriptor.simulated_number().ok_or(Errno::EBADF)
}

/// Not a socket (errno(3)).
const ENOTSOCK: Errno = Errno(88);

impl State {
    /// Makes a descriptor for `object`.
    ///
    /// # Errors
    /// `EMFILE` at the configured bound.
    pub(crate) fn open_object(
        &mut self,
        owner: KernelId,
        object: Object,
    ) -> Result<Descriptor, Errno> {
        let open = self.objects.values().filter(|entry| entry.owner == owner);
        // Counting is only paid where the bound is small enough to matter.
        let bound = self.config.kernel.descriptors_max;
        if self.objects.len() >= bound && open.count() >= bound {
            return Err(Errno::EMFILE);
        }
        let number = self.object_next;
        self.object_next += 1;
        self.objects.insert(number, Entry { object, owner });
        let closer: Arc<dyn CloseSimulated> = self.closer.clone();
        Ok(Descriptor::simulated(number, closer))
    }

    pub(crate) fn object(&self, number: u64) -> Result<&Object, Errno> {
        let entry = self.objects.get(&number).ok_or(Errno::EBADF)?;
        Ok(&entry.object)
    }

    /// The connection and end of a socket.
    pub(crate) fn socket_at(&self, number: u64) -> Result<(u64, usize), Errno> {
        match self.object(number)? {
            Object::Socket { connection, end } => Ok((*connection, *end)),
            Object::Unconnected { .. } | Object::Listener(_) => Err(Errno::ENOTCONN),
            _ => Err(ENOTSOCK),
        }
    }

    pub(crate) fn socket_of(&self, socket: &Descriptor) -> Result<(u64, usize), Errno> {
        self.socket_at(number(socket)?)
    }

    /// The open file behind a descriptor.
    pub(crate) fn file_of(&self, file: &Descriptor) -> Result<OpenFile, Errno> {
        match self.object(number(file)?)? {
            Object::File(file) => Ok(*file),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The pipe behind either of its ends.
    pub(crate) fn pipe_of(&self, pipe: &Descriptor) -> Result<u64, Errno> {
        match self.object(number(pipe)?)? {
            Object::PipeRead(pipe) | Object::PipeWrite(pipe) => Ok(*pipe),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The last holder of a descriptor let go.
    pub(crate) fn close_object(&mut self, number: u64) {
        let Some(entry) = self.objects.remove(&number) else {
            return;
        };
        match entry.object {
            Object::Unconnected { .. } => {}
            Object::Listener(listener) => self.close_listener(number, listener),
            Object::Socket { connection, end } => self.close_end(connection, end),
            Object::File(file) => {
                self.hosts[file.host.0].disk.close(file.node, number);
            }
            Object::PipeRead(pipe) => self.close_pipe_end(pipe, 0),
            Object::PipeWrite(pipe) => self.close_pipe_end(pipe, 1),
        }
    }

    fn close_listener(&mut self, number: u64, listener: Listener) {
        self.hosts[listener.host.0].unlisten(&listener.address, number);
        for connection in listener.pending {
            self.abort_end(connection, 1);
        }
    }

    fn close_pipe_end(&mut self, pipe: u64, end: usize) {
        let Some(state) = self.pipes.get_mut(&pipe) else {
            return;
        };
        state.ends[end] = None;
        match state.ends[1 - end] {
            Some(other) => {
                self.dirty.insert(other);
            }
            None => {
                self.pipes.remove(&pipe);
            }
        }
    }
}
