//! The sending process of a demonstration: an ordinary put, whose dialer passes a duplicate of
//! each connection to the parent.

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::socket::{SetSockOpt, sockopt};
use ringway::{ConnectOptions, Connector, Keys, PathChoice, Statistics, block_on};
use ringway_files::{Client, ClientOptions, PutOptions, Silent, TransferReport};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

use super::serve::end_with_stdin;
use crate::cli::DemoSend;
use crate::counters;
use crate::engine_start::{SHUTDOWN_WITHIN, Shards, start};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::{cores, resources};

/// Connecting on loopback is done at once or not at all; the bound is for a full backlog.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends the file, and says what it took.
pub(crate) fn run(options: &DemoSend, output: &Output) -> Result<(), Failure> {
    cores::pin(options.core)?;
    let interrupt = Interrupt::install()?;
    let connect = connect_options(options)?;
    end_with_stdin(interrupt.clone())?;
    let engine = start(Shards::One)?;
    let target = options.to.target.to_string();
    let client = Client::new(&engine, &target, connect, ClientOptions::default());
    let begun = Instant::now();
    let report = block_on(interrupt.unless_requested(async {
        let sources = [options.file.clone()];
        let observer = Silent::observer();
        let put = client.put(&sources, &options.to.path, PutOptions::default(), observer);
        Ok(put.await?)
    }))?;
    let seconds = begun.elapsed().as_secs_f64();
    let statistics = block_on(engine.statistics())?;
    block_on(async { client.close().await });
    block_on(engine.shutdown(SHUTDOWN_WITHIN));
    output.finish(&document(seconds, &report, &statistics));
    Ok(())
}

fn document(seconds: f64, report: &TransferReport, statistics: &Statistics) -> Value {
    json!({
        "seconds": seconds,
        "body_bytes_sent": report.body_bytes_sent,
        "sessions": report.sessions,
        "statistics": counters::all(statistics),
        "paths": counters::paths_sent(&statistics.path_bytes),
        "peak_rss_bytes": resources::peak_resident_bytes(),
    })
}

fn connect_options(options: &DemoSend) -> Result<ConnectOptions, Failure> {
    let address = match options.to.target.literal() {
        Some(ringway::Address::Tcp(address)) => address,
        _ => {
            return Err(Failure::usage(
                "the demonstration needs a literal TCP address",
            ));
        }
    };
    let control = io::stdin().as_fd().try_clone_to_owned();
    let control = Arc::new(control.map_err(|error| Failure::io("share stdin", &error))?);
    let mut connect = ConnectOptions::keys(&Keys::load(&options.key_file)?);
    connect.connector = Some(Connector::new(move || {
        let control = Arc::clone(&control);
        async move { dial(address, &control) }
    }));
    connect.path = Some(options.body_path.choice).filter(|choice| *choice != PathChoice::Auto);
    Ok(connect)
}

/// Connects and lets the parent have a duplicate.
fn dial(address: SocketAddr, control: &OwnedFd) -> io::Result<OwnedFd> {
    let socket = TcpStream::connect_timeout(&address, DIAL_TIMEOUT)?;
    // The cuts should not leave a slow start of another kind on some machines than on others;
    // where there is no cubic, the system's choice has to do.
    let _ = sockopt::TcpCongestion.set(&socket, &OsString::from("cubic"));
    pass(control, &socket)?;
    Ok(socket.into())
}

/// Sends a duplicate of a descriptor over a Unix socket (unix(7) `SCM_RIGHTS`).
pub(super) fn pass(control: &OwnedFd, socket: &TcpStream) -> io::Result<()> {
    let descriptors = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    // At least one byte of data has to go along.
    sendmsg(
        control,
        &[IoSlice::new(&[1])],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}
