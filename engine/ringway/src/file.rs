//! Files and directories through the engine's kernel: never blocking a shard, simulated where the
//! kernel is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringway_io::{
    BlockingCall, BufferMemory, BufferMut, BufferRef, Completion, Descriptor, DirectoryEntry,
    FileStat, Op, OpenHow, Payload,
};

use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::reply::reply;
use crate::{Engine, Error, FileRange};

/// An open file. Clones share it; it is closed when the last one and the last operation on it
/// are gone. Operations run on the shard it was opened through.
#[derive(Clone, Debug)]
pub struct File {
    open: Arc<OpenFile>,
    mailbox: Mailbox,
}

/// What stands behind a file, of whichever clone.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) descriptor: Descriptor,
    /// Past the page cache (`O_DIRECT`), if the application asked for it.
    pub(crate) direct: Option<Descriptor>,
}

/// A place where paths start.
#[derive(Clone, Debug)]
pub struct Directory {
    place: ringway_io::Directory,
    mailbox: Mailbox,
}

async fn run(mailbox: &Mailbox, operation: &'static str, op: Op) -> Result<Completion, Error> {
    let (reply, answer) = reply();
    let op = Box::new(op);
    mailbox.send(Message::Op { op, reply });
    let completion = answer.await?;
    match completion.result {
        Ok(_) => Ok(completion),
        Err(errno) => Err(Error::Kernel { operation, errno }),
    }
}

impl Engine {
    /// Paths as the local user types them: relative ones from the working directory. Never for
    /// a path that a peer chose: open a [`Directory`] and go on beneath it.
    #[must_use]
    pub fn ambient(&self) -> Directory {
        Directory {
            place: ringway_io::Directory::Ambient,
            mailbox: self.mailbox(),
        }
    }

    /// Takes an open regular file at once, without asking the shard; only on the real kernel.
    #[must_use]
    pub fn regular_file(&self, file: std::fs::File) -> File {
        File::new(Descriptor::from_os(file.into()), self.mailbox())
    }

    /// Takes an open file of the standard library.
    ///
    /// # Errors
    /// [`Error::Kernel`]; [`Error::EngineStopped`].
    pub async fn adopt_file(&self, file: std::fs::File) -> Result<File, Error> {
        let (reply, answer) = reply();
        let mailbox = self.mailbox();
        mailbox.send(Message::Adopt {
            descriptor: file.into(),
            reply,
        });
        let descriptor = answer.await??;
        Ok(File::new(descriptor, mailbox))
    }
}

impl Directory {
    fn one_name(&self, operation: &'static str, path: &Path) -> Result<PathBuf, Error> {
        let is_single = path.components().count() == 1 && path.file_name().is_some();
        match self.place {
            ringway_io::Directory::Beneath(_) if !is_single => Err(Error::Kernel {
                operation,
                errno: ringway_io::Errno::EINVAL,
            }),
            _ => Ok(path.to_owned()),
        }
    }

    /// Opens a file. Beneath an open directory the path cannot leave it, by `..`, by an absolute
    /// path or by a symbolic link.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `EXDEV` or `ELOOP` for an escape, else what openat2(2) says.
    pub async fn open(&self, path: impl AsRef<Path>, how: OpenHow) -> Result<File, Error> {
        let op = Op::Open {
            directory: self.place.clone(),
            path: path.as_ref().to_owned(),
            how,
        };
        match run(&self.mailbox, "open", op).await?.payload {
            Payload::Descriptor(descriptor) => Ok(File::new(descriptor, self.mailbox.clone())),
            _ => Err(Error::EngineStopped),
        }
    }

    /// Opens a directory beneath this one, or anywhere from the ambient place; there a symbolic
    /// link as the last component is followed.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_directory(&self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let file = self.open(path, OpenHow::DIRECTORY).await?;
        Ok(Self {
            place: ringway_io::Directory::Beneath(file.descriptor().clone()),
            mailbox: self.mailbox.clone(),
        })
    }

    /// Tells about a name without following a symbolic link; one component beneath an open
    /// directory, an empty path for the directory itself.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub async fn stat(&self, path: impl AsRef<Path>) -> Result<FileStat, Error> {
        let op = Op::Stat {
            directory: self.place.clone(),
            path: path.as_ref().to_owned(),
        };
        stat_of(&run(&self.mailbox, "stat", op).await?)
    }

    /// Renames; single names beneath open directories.
    ///
    /// # Errors
    /// [`Error::Kernel`]: `EEXIST` with `no_replace`.
    pub async fn rename(
        &self,
        from: impl AsRef<Path>,
        to_directory: &Self,
        to: impl AsRef<Path>,
        no_replace: bool,
    ) -> Result<(), Error> {
        let op = Op::Rename {
            from: self.one_name("rename", from.as_ref())?,
            from_directory: self.place.clone(),
            to: to_directory.one_name("rename", to.as_ref())?,
            to_directory: to_directory.place.clone(),
            no_replace,
        };
        run(&self.mailbox, "rename", op).await.map(drop)
    }

    /// Removes a file's name.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub async fn remove_file(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let op = Op::Remove {
            directory: self.place.clone(),
            path: self.one_name("remove", path.as_ref())?,
            is_directory: false,
        };
        run(&self.mailbox, "remove", op).await.map(drop)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// [`Error::Kernel`]: `EEXIST` if there is something of that name.
    pub async fn make_directory(&self, path: impl AsRef<Path>, mode: u32) -> Result<(), Error> {
        let op = Op::MakeDirectory {
            directory: self.place.clone(),
            path: self.one_name("make a directory", path.as_ref())?,
            mode,
        };
        run(&self.mailbox, "make a directory", op).await.map(drop)
    }

    /// What is in an open directory, unsorted, at most `entries_max` of them.
    ///
    /// # Errors
    /// [`Error::Kernel`]: `EOVERFLOW` when there are more, `EBADF` on the ambient place.
    pub async fn entries(&self, entries_max: usize) -> Result<Vec<DirectoryEntry>, Error> {
        let operation = "read a directory";
        let op = Op::Blocking(BlockingCall::ReadDirectory {
            directory: self.descriptor(operation)?,
            entries_max,
        });
        match run(&self.mailbox, operation, op).await?.payload {
            Payload::Entries(entries) => Ok(entries),
            _ => Err(Error::EngineStopped),
        }
    }

    /// Flushes the whole file system that an open directory is on.
    ///
    /// # Errors
    /// [`Error::Kernel`]: `EBADF` on the ambient place.
    pub async fn sync_file_system(&self) -> Result<(), Error> {
        let file = self.descriptor("sync a file system")?;
        let op = Op::Blocking(BlockingCall::SyncFileSystem { file });
        run(&self.mailbox, "sync a file system", op).await.map(drop)
    }

    /// Flushes an open directory itself, so that renames in it survive a crash.
    ///
    /// # Errors
    /// [`Error::Kernel`]: `EBADF` on the ambient place.
    pub async fn sync(&self) -> Result<(), Error> {
        self.as_file("sync a directory")?.sync(false).await
    }

    /// Sets permission bits and modification time of an open directory.
    ///
    /// # Errors
    /// [`Error::Kernel`]: `EBADF` on the ambient place.
    pub async fn set_attributes(
        &self,
        mode: Option<u32>,
        modified_ns: Option<i128>,
    ) -> Result<(), Error> {
        let file = self.as_file("set attributes")?;
        file.set_attributes(mode, modified_ns).await
    }

    fn as_file(&self, operation: &'static str) -> Result<File, Error> {
        let descriptor = self.descriptor(operation)?;
        Ok(File::new(descriptor, self.mailbox.clone()))
    }

    fn descriptor(&self, operation: &'static str) -> Result<Descriptor, Error> {
        match &self.place {
            ringway_io::Directory::Beneath(descriptor) => Ok(descriptor.clone()),
            ringway_io::Directory::Ambient => Err(Error::Kernel {
                operation,
                errno: ringway_io::Errno::EBADF,
            }),
        }
    }
}

fn stat_of(completion: &Completion) -> Result<FileStat, Error> {
    match completion.payload {
        Payload::Stat(stat) => Ok(stat),
        _ => Err(Error::EngineStopped),
    }
}

impl File {
    fn new(descriptor: Descriptor, mailbox: Mailbox) -> Self {
        let direct = None;
        let open = Arc::new(OpenFile { descriptor, direct });
        Self { open, mailbox }
    }

    pub(crate) fn descriptor(&self) -> &Descriptor {
        &self.open.descriptor
    }

    pub(crate) fn opened(&self) -> &Arc<OpenFile> {
        &self.open
    }

    /// The same file, used past the page cache (`O_DIRECT`) where that pays: ranges of it that are
    /// not in the cache are read ahead into the engine's memory, and large bodies are written to it
    /// from there. What is not a multiple of 4096 bytes at a multiple of 4096 (the ends), and what
    /// this handle reads and writes by itself, goes through the cache as before. Nothing is left in
    /// the cache: for files that are read or written once.
    ///
    /// Size and times are compared as for any source; [`sync`](Self::sync) is as necessary as ever.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `EINVAL` where the file system has no such I/O.
    pub async fn direct(&self) -> Result<Self, Error> {
        let file = self.descriptor().clone();
        let op = Op::Blocking(BlockingCall::OpenDirect { file });
        let Payload::Descriptor(direct) = self.run("open past the page cache", op).await?.payload
        else {
            return Err(Error::EngineStopped);
        };
        let open = OpenFile {
            descriptor: self.descriptor().clone(),
            direct: Some(direct),
        };
        Ok(Self {
            open: Arc::new(open),
            mailbox: self.mailbox.clone(),
        })
    }

    /// Whether it is used past the page cache ([`direct`](Self::direct)).
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.open.direct.is_some()
    }

    async fn run(&self, operation: &'static str, op: Op) -> Result<Completion, Error> {
        run(&self.mailbox, operation, op).await
    }

    /// Part of this file as a body for [`crate::Stream::send`].
    #[must_use]
    pub fn range(&self, offset: u64, length: u64) -> FileRange {
        FileRange {
            file: self.clone(),
            offset,
            length,
        }
    }

    /// Kind, size, times, mode.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub async fn stat(&self) -> Result<FileStat, Error> {
        let file = self.descriptor().clone();
        stat_of(&self.run("stat", Op::StatDescriptor { file }).await?)
    }

    /// Reads into `buffer` from its start; returns it and how many bytes were read, fewer than
    /// asked at the end of the file.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub async fn read_at(&self, offset: u64, buffer: Vec<u8>) -> Result<(Vec<u8>, usize), Error> {
        let mut filled = 0;
        let mut memory = buffer;
        while filled < memory.len() {
            let all = filled..memory.len();
            let op = Op::Read {
                file: self.descriptor().clone(),
                offset: offset + filled as u64,
                buffer: BufferMut::heap(memory).with_range(all),
            };
            let completion = self.run("read", op).await?;
            let Payload::Buffer(BufferMut {
                memory: BufferMemory::Heap(returned),
                ..
            }) = completion.payload
            else {
                return Err(Error::EngineStopped);
            };
            memory = returned;
            match completion.result {
                Ok(bytes) if bytes > 0 => filled += bytes as usize,
                _ => break,
            }
        }
        Ok((memory, filled))
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// [`Error::Kernel`], part of it may have been written.
    pub async fn write_at(&self, offset: u64, bytes: impl Into<bytes::Bytes>) -> Result<(), Error> {
        let bytes = bytes.into();
        let mut written = 0;
        while written < bytes.len() {
            let op = Op::Write {
                file: self.descriptor().clone(),
                offset: offset + written as u64,
                buffer: BufferRef::Bytes(bytes.slice(written..)),
            };
            match self.run("write", op).await?.result {
                Ok(0) | Err(_) => {
                    let (operation, errno) = ("write", ringway_io::Errno::EIO);
                    return Err(Error::Kernel { operation, errno });
                }
                Ok(count) => written += count as usize,
            }
        }
        Ok(())
    }

    /// Flushes to the device; `data_only`: what is needed to read the bytes back.
    ///
    /// # Errors
    /// [`Error::Kernel`]: after it, what was written may be lost.
    pub async fn sync(&self, data_only: bool) -> Result<(), Error> {
        let file = self.descriptor().clone();
        self.run("sync", Op::Sync { file, data_only })
            .await
            .map(drop)
    }

    /// Sets the length.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub async fn truncate(&self, length: u64) -> Result<(), Error> {
        let file = self.descriptor().clone();
        let op = Op::Blocking(BlockingCall::Truncate { file, length });
        self.run("truncate", op).await.map(drop)
    }

    /// Reserves space up to `length` without changing the size.
    ///
    /// # Errors
    /// [`Error::Kernel`]: `ENOSPC`; `EOPNOTSUPP` where the file system cannot.
    pub async fn allocate(&self, length: u64) -> Result<(), Error> {
        let file = self.descriptor().clone();
        let op = Op::Blocking(BlockingCall::Allocate { file, length });
        self.run("allocate", op).await.map(drop)
    }

    /// Sets permission bits and modification time (ns since 1970).
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub async fn set_attributes(
        &self,
        mode: Option<u32>,
        modified_ns: Option<i128>,
    ) -> Result<(), Error> {
        let op = Op::Blocking(BlockingCall::SetAttributes {
            file: self.descriptor().clone(),
            mode,
            modified_ns,
        });
        self.run("set attributes", op).await.map(drop)
    }

    /// Takes an exclusive lock without waiting; it lives as long as this open file.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `EAGAIN` when another open file holds it.
    pub async fn lock(&self) -> Result<(), Error> {
        let file = self.descriptor().clone();
        let op = Op::Blocking(BlockingCall::Lock { file });
        self.run("lock", op).await.map(drop)
    }
}
