//! What this kernel can, found by trying it once per process on a small ring of its own.
//!
//! Features of one ring's memory (registered buffers, splicing from the arena, huge pages) are not
//! tried here but where that memory is made (`start`).

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::pipe2;
use ringway_io::{Capability, Descriptor, Errno};

use crate::arena::Arena;
use crate::ladder::SetupFlags;
use crate::locked_memory::{RING_PATIENCE, patiently};
use crate::probe::Finding;
use crate::provided::{GROUP, Provided};
use crate::request::{Memory, Request};
use crate::splice;

use crate::sys::file::cachestat;
use crate::sys::ring::{Event, KernelWait, Posted, Ring};

/// How long one trial may take.
const TRIAL_NS: u64 = 1_000_000_000;

/// Enters of one trial; each takes up to [`TRIAL_NS`].
const ENTERS_MAX: u32 = 8;

type Answer = Result<String, String>;

/// The findings of this process. Kept, unless there was no ring to try on.
pub(crate) fn findings() -> Vec<Finding> {
    static FINDINGS: OnceLock<Vec<Finding>> = OnceLock::new();
    if let Some(findings) = FINDINGS.get() {
        return findings.clone();
    }
    match patiently(RING_PATIENCE, small_ring) {
        Ok(mut ring) => FINDINGS.get_or_init(|| try_all(&mut ring)).clone(),
        Err(errno) => nothing_tried(errno),
    }
}

fn small_ring() -> Result<Ring, Errno> {
    let flags = SetupFlags {
        disabled: false,
        no_sqarray: false,
    };
    Ring::new(flags, 8, 64)
}

fn nothing_tried(errno: Errno) -> Vec<Finding> {
    let tried_on_a_ring = [
        Capability::SendZeroCopy,
        Capability::ZeroCopyReport,
        Capability::ReceiveMultishot,
        Capability::AcceptMultishot,
    ];
    let why = format!("no ring to try it on: {errno}");
    let absent = tried_on_a_ring.map(|each| Finding::new(each, Err(why.clone())));
    let mut findings: Vec<_> = absent.into();
    findings.push(Finding::new(Capability::CacheStat, try_cachestat()));
    findings.push(Finding::new(Capability::Splice, try_splice()));
    findings
}

fn try_all(ring: &mut Ring) -> Vec<Finding> {
    let (report, send) = try_send_zero_copy(ring);
    let answers = [
        (Capability::SendZeroCopy, send),
        (Capability::ZeroCopyReport, report),
        (Capability::ReceiveMultishot, try_receive_multishot(ring)),
        (Capability::AcceptMultishot, try_accept_multishot(ring)),
        (Capability::CacheStat, try_cachestat()),
        (Capability::Splice, try_splice()),
    ];
    let findings = answers.map(|(capability, answer)| Finding::new(capability, answer));
    findings.into()
}

fn try_accept_multishot(ring: &mut Ring) -> Answer {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("ringway-trial-{}-{number}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).map_err(|error| error.to_string())?;
    let listener = UnixListener::bind_addr(&address).map_err(|error| error.to_string())?;
    let request = Request::Accept {
        listener: Descriptor::from_os(listener.into()),
        multishot: true,
    };
    start(ring, request)?;
    ring.enter(KernelWait::No).map_err(text)?;
    let _peer = UnixStream::connect_addr(&address).map_err(|error| error.to_string())?;
    let event = next(ring)?;
    let accepted = event.descriptor.is_some() && event.finished.is_none();
    end(ring);
    match accepted {
        true => Ok("one accept stays armed after its first connection".into()),
        false => Err(refusal(&event)),
    }
}

fn try_receive_multishot(ring: &mut Ring) -> Answer {
    let mut provided = Provided::new(2, 4096).map_err(text)?;
    patiently(RING_PATIENCE, || {
        ring.register_provided(provided.memory(), GROUP)
    })
    .map_err(text)?;
    provided.publish();
    let (mut peer, socket) = UnixStream::pair().map_err(|error| error.to_string())?;
    let request = Request::ReceiveProvided {
        socket: Descriptor::from_os(socket.into()),
        multishot: true,
    };
    start(ring, request)?;
    peer.write_all(b"trial")
        .map_err(|error| error.to_string())?;
    let event = next(ring)?;
    let received = event.result == 5 && event.buffer.is_some() && event.finished.is_none();
    end(ring);
    match received {
        true => Ok("one receive stays armed after its first buffer".into()),
        false => Err(refusal(&event)),
    }
}

/// Zero-copy send, with and without the report of what it was worth.
fn try_send_zero_copy(ring: &mut Ring) -> (Answer, Answer) {
    let connection = loopback_pair();
    let Ok((_peer, socket)) = connection else {
        let what = "no loopback to try it on; the kernel's own list says".to_string();
        let send = match ring.knows_zero_copy_send() {
            true => Ok(format!("{what} yes")),
            false => Err(format!("{what} no")),
        };
        return (Err(format!("{what} nothing")), send);
    };
    let socket = Descriptor::from_os(socket);
    let report = send_zero_copy(ring, &socket, true);
    let send = match &report {
        Ok(_) => Ok("a zero-copy send was taken and its memory released".into()),
        Err(_) => send_zero_copy(ring, &socket, false),
    };
    (report, send)
}

fn loopback_pair() -> std::io::Result<(TcpStream, OwnedFd)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let peer = TcpStream::connect(listener.local_addr()?)?;
    let (socket, _) = listener.accept()?;
    Ok((peer, socket.into()))
}

fn send_zero_copy(ring: &mut Ring, socket: &Descriptor, report_usage: bool) -> Answer {
    let mut arena = Arena::new(1, false).map_err(text)?;
    let lease = arena.lend(4096).ok_or("no memory")?.freeze(64);
    let request = Request::SendZeroCopy {
        socket: socket.clone(),
        lease,
        more_follows: false,
        memory: Memory::Plain,
        report_usage,
    };
    start(ring, request)?;
    let first = next(ring)?;
    // Older kernels end a refused one without notification: look only at whether it is finished.
    let is_ended = first.finished.is_some();
    let notification = if is_ended { None } else { next(ring).ok() };
    // Known, and its flags accepted: only locked memory is short right now.
    if first.result == -libc::ENOMEM {
        return Ok("a zero-copy send was refused for want of locked memory only".into());
    }
    if first.result < 0 {
        return Err(refusal(&first));
    }
    match notification {
        Some(last) if last.is_notification => Ok("a notification told of the memory".into()),
        _ => Err("no notification came".into()),
    }
}

fn try_cachestat() -> Answer {
    let file = memfd_create(c"ringway-trial", MFdFlags::MFD_CLOEXEC).map_err(nix_text)?;
    cachestat(&file, 0, 4096).map_err(text)?;
    Ok("cachestat(2) answers".into())
}

fn try_splice() -> Answer {
    let file = memfd_create(c"ringway-trial", MFdFlags::MFD_CLOEXEC).map_err(nix_text)?;
    nix::unistd::write(&file, b"spliced").map_err(nix_text)?;
    let (read, write) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).map_err(nix_text)?;
    let (socket, peer) = UnixStream::pair().map_err(|error| error.to_string())?;
    socket
        .set_nonblocking(true)
        .map_err(|error| error.to_string())?;
    peer.set_nonblocking(true)
        .map_err(|error| error.to_string())?;
    let moved = splice::from_file(&file, 0, &write, 7).map_err(text)?;
    splice::to_socket(&read, &socket.into(), moved, false).map_err(text)?;
    let mut got = [0; 16];
    let count = std::io::Read::read(&mut &peer, &mut got).map_err(|error| error.to_string())?;
    match &got[..count] {
        b"spliced" => Ok("file to pipe to socket, bytes compared".into()),
        other => Err(format!("other bytes arrived: {other:?}")),
    }
}

/// Submits under the only id; what an earlier trial could not end is in the way.
fn start(ring: &mut Ring, request: Request) -> Result<(), String> {
    if ring.held_count() > 0 {
        return Err("an earlier trial did not end".into());
    }
    ring.submit(1, request);
    Ok(())
}

fn next(ring: &mut Ring) -> Result<Event, String> {
    for _ in 0..ENTERS_MAX {
        if let Some(Posted::Event(event)) = ring.next() {
            return Ok(event);
        }
        match ring.enter(KernelWait::Ns(TRIAL_NS)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(text(errno)),
        }
    }
    Err("nothing came".into())
}

/// Ends what is armed, so that the ring is closed with nothing in flight.
fn end(ring: &mut Ring) {
    ring.cancel_everything();
    while ring.held_count() > 0 && next(ring).is_ok() {}
}

fn refusal(event: &Event) -> String {
    match event.result {
        result if result < 0 => text(Errno(-result)),
        _ => "it ended after its first result".into(),
    }
}

fn text(errno: Errno) -> String {
    errno.to_string()
}

fn nix_text(error: nix::errno::Errno) -> String {
    error.desc().to_string()
}
