//! A middlebox on loopback: passes bytes on between the real ends, and misbehaves when told to.
//!
//! One thread accepts; two threads for each connection copy, one each way. Everything they wait
//! for is a socket that [`Relay::cut`] and the relay's end shut, or the condition variable here.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes that one thread copies at a time.
const PIECE_BYTES: usize = 64 << 10;

/// See the module.
pub struct Relay {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    bandwidth: u64,
    socket_buffer_bytes: Option<usize>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_over: bool,
    is_closed: bool,
    links: Vec<Link>,
    threads: Vec<JoinHandle<()>>,
}

struct Link {
    sockets: [TcpStream; 2],
    is_muted: bool,
    is_cut: bool,
}

impl Relay {
    pub fn to(target: SocketAddr, bandwidth: u64, socket_buffer_bytes: Option<usize>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        // Accepted sockets inherit it, before their windows are announced.
        set_buffers(&listener, socket_buffer_bytes);
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            target,
            bandwidth,
            socket_buffer_bytes,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || own.accept(&listener));
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    pub fn cut(&self) {
        for link in &mut self.shared.state().links {
            link.cut();
        }
        self.shared.changed.notify_all();
    }

    pub fn mute(&self) {
        for link in &mut self.shared.state().links {
            link.is_muted = true;
        }
    }

    pub fn cut_muted(&self) {
        let mut state = self.shared.state();
        for link in state.links.iter_mut().filter(|link| link.is_muted) {
            link.cut();
        }
        self.shared.changed.notify_all();
    }

    pub fn close(&self) {
        self.shared.state().is_closed = true;
    }

    pub fn open(&self) {
        let mut state = self.shared.state();
        state.is_closed = false;
        for link in &mut state.links {
            link.is_muted = false;
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.cut();
        // Ends the accept.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        let threads = std::mem::take(&mut self.shared.state().threads);
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Link {
    fn cut(&mut self) {
        self.is_cut = true;
        for socket in &self.sockets {
            // As a router's reset: what was on the way is gone.
            let now = Some(Duration::ZERO);
            let _ = rustix::net::sockopt::set_socket_linger(socket, now);
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for near in listener.incoming() {
            let Ok(near) = near else { continue };
            let mut state = self.state();
            if state.is_over {
                return;
            }
            let own = Arc::clone(self);
            let thread = std::thread::spawn(move || own.carry(near));
            state.threads.push(thread);
        }
    }

    /// Carries one connection, in this thread and one more.
    fn carry(self: &Arc<Self>, near: TcpStream) {
        if !self.wait_while(|state| state.is_closed) {
            return;
        }
        let Ok(far) = TcpStream::connect(self.target) else {
            return;
        };
        set_buffers(&far, self.socket_buffer_bytes);
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let copy = |socket: &TcpStream| socket.try_clone().expect("duplicated");
        let index = {
            let mut state = self.state();
            state.links.push(Link {
                sockets: [copy(&near), copy(&far)],
                is_muted: false,
                is_cut: false,
            });
            state.links.len() - 1
        };
        let (own, from, to) = (Arc::clone(self), copy(&far), copy(&near));
        let back = std::thread::spawn(move || own.copy(index, from, to));
        self.copy(index, near, far);
        let _ = back.join();
    }

    fn copy(&self, index: usize, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let Ok(count) = from.read(&mut buffer) else {
                self.state().links[index].cut();
                return;
            };
            let is_held = |state: &State| state.is_closed || state.links[index].is_muted;
            let goes_on = self.wait_while(|state| is_held(state) && !state.links[index].is_cut);
            if !goes_on || self.state().links[index].is_cut {
                return;
            }
            if count == 0 {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            if to.write_all(&buffer[..count]).is_err() {
                self.state().links[index].cut();
                return;
            }
            if let Some(ns) = (count as u64 * 1_000_000_000).checked_div(self.bandwidth) {
                std::thread::sleep(Duration::from_nanos(ns));
            }
        }
    }

    /// False when the relay is over.
    fn wait_while(&self, is_waiting: impl Fn(&State) -> bool) -> bool {
        let mut state = self.state();
        while is_waiting(&state) && !state.is_over {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        !state.is_over
    }
}

fn set_buffers(socket: impl std::os::fd::AsFd, bytes: Option<usize>) {
    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
    if let Some(bytes) = bytes {
        set_socket_recv_buffer_size(&socket, bytes).expect("set");
        set_socket_send_buffer_size(&socket, bytes).expect("set");
    }
}
