//! A relay between client and server that stops at a given byte, so that a test can act exactly
//! there.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::support::AT_MOST;

/// Forwards connections; in one direction only as much as is allowed.
pub struct Relay {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// Which direction is counted and stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

struct Shared {
    stopped: Way,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    server: SocketAddr,
    /// In the counted direction, on all connections together.
    forwarded: u64,
    allowed: u64,
}

impl Relay {
    /// To `server`, stopping after clients have sent `allowed` bytes.
    pub fn new(server: SocketAddr, allowed: u64) -> Self {
        Self::stopping(Way::There, server, allowed)
    }

    /// To `server`, stopping after it has sent `allowed` bytes.
    pub fn stopping_the_way_back(server: SocketAddr, allowed: u64) -> Self {
        Self::stopping(Way::Back, server, allowed)
    }

    fn stopping(stopped: Way, server: SocketAddr, allowed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            stopped,
            state: Mutex::new(State {
                server,
                forwarded: 0,
                allowed,
            }),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                accepting.connect(client);
            }
        });
        Self { address, shared }
    }

    pub fn place(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// Waits until it has stopped because all that was allowed is forwarded.
    pub fn wait_until_stopped(&self) {
        let state = self.shared.state.lock().expect("no panic");
        let waiting = |state: &mut State| state.forwarded < state.allowed;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, AT_MOST, waiting);
        let (state, result) = waited.expect("no panic");
        let (forwarded, allowed) = (state.forwarded, state.allowed);
        assert!(
            !result.timed_out(),
            "only {forwarded} of {allowed} bytes came"
        );
    }

    /// Connects to another server from now on, and forwards `more` bytes.
    pub fn go_on(&self, server: SocketAddr, more: u64) {
        let mut state = self.shared.state.lock().expect("no panic");
        state.server = server;
        state.allowed = state.forwarded.saturating_add(more);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let server = self.state.lock().expect("no panic").server;
        // A server that is down refuses the client by closing.
        let Ok(server) = TcpStream::connect(server) else {
            return;
        };
        let ends = [(clone(&client), clone(&server)), (server, client)];
        for (way, (from, to)) in [Way::There, Way::Back].into_iter().zip(ends) {
            let shared = Arc::clone(self);
            thread::spawn(move || {
                if way == shared.stopped {
                    shared.forward(&from, &to);
                } else {
                    let _ = std::io::copy(&mut &from, &mut &to);
                }
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }

    fn forward(&self, mut from: &TcpStream, mut to: &TcpStream) {
        let mut piece = [0; 16 << 10];
        loop {
            let room = self.wait_for_room(piece.len());
            let Ok(length @ 1..) = from.read(&mut piece[..room]) else {
                return;
            };
            if to.write_all(&piece[..length]).is_err() {
                return;
            }
            let mut state = self.state.lock().expect("no panic");
            state.forwarded += length as u64;
            self.changed.notify_all();
        }
    }

    fn wait_for_room(&self, most: usize) -> usize {
        let state = self.state.lock().expect("no panic");
        let full = |state: &mut State| state.forwarded >= state.allowed;
        let state = self.changed.wait_while(state, full).expect("no panic");
        usize::try_from(state.allowed - state.forwarded).map_or(most, |room| room.min(most))
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor is free")
}
