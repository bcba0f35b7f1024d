//! Statistics for Prometheus over HTTP: `serve --metrics ADDRESS`.
//!
//! One thread answers one request at a time and closes. A request is read up to a size and until a
//! deadline, so a client that sends too much or too slowly costs a moment, never memory; who
//! connects meanwhile waits in the kernel's backlog. There are no keys: whoever reaches the address
//! can read the numbers, hence loopback.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringway::{Engine, PROMETHEUS_CONTENT_TYPE, block_on};

use crate::failure::Failure;

/// All of a request: Prometheus sends a few hundred bytes.
const REQUEST_BYTES_MAX: usize = 8 << 10;

/// A request must be here, and an answer taken, within this.
const PATIENCE: Duration = Duration::from_secs(2);

/// After a failed accept (`EMFILE`, …).
const RETRY_AFTER: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Shared {
    is_stopped: AtomicBool,
    /// Being answered.
    current: Mutex<Option<TcpStream>>,
}

impl Shared {
    fn set_current(&self, stream: Option<TcpStream>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = stream;
    }
}

/// The listener and its thread; ends when dropped.
#[derive(Debug)]
pub(crate) struct MetricsListener {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsListener {
    /// Begins to answer.
    pub(crate) fn start(address: SocketAddr, engine: Engine) -> Result<Self, Failure> {
        let fail = |error: std::io::Error| {
            Failure::io(&format!("listen on {address} for --metrics"), &error)
        };
        let listener = TcpListener::bind(address).map_err(fail)?;
        let bound = listener.local_addr().map_err(fail)?;
        let accepting = listener.try_clone().map_err(fail)?;
        if !bound.ip().is_loopback() {
            tracing::warn!(%bound, "--metrics has no keys: whoever reaches it reads the numbers");
        }
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("ringway-metrics".into())
            .spawn(move || serve(&accepting, &engine, &watched))
            .map_err(fail)?;
        Ok(Self {
            listener,
            address: bound,
            shared,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsListener {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // Ends the thread's accept; shutting a listening socket is how Linux does that.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        let current = self.shared.current.lock();
        if let Some(stream) = &*current.unwrap_or_else(PoisonError::into_inner) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed; the command goes on.
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, engine: &Engine, shared: &Shared) {
    while !shared.is_stopped.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((stream, _)) => {
                shared.set_current(stream.try_clone().ok());
                if !shared.is_stopped.load(Ordering::SeqCst) {
                    answer(stream, engine);
                }
                shared.set_current(None);
            }
            Err(error) if !shared.is_stopped.load(Ordering::SeqCst) => {
                tracing::warn!(%error, "--metrics cannot accept; trying again");
                std::thread::sleep(RETRY_AFTER);
            }
            Err(_) => {}
        }
    }
}

/// Reads one request and writes one answer; a client that goes away is its own affair.
fn answer(mut stream: TcpStream, engine: &Engine) {
    let request = read_request(&mut stream, Instant::now() + PATIENCE);
    let response = match request.as_deref().map_err(|status| *status).and_then(parse) {
        Ok(asked) => match block_on(engine.prometheus()) {
            Ok(text) => response("200 OK", PROMETHEUS_CONTENT_TYPE, &text, asked),
            Err(error) => refusal("503 Service Unavailable", &error.to_string()),
        },
        Err(Some(status)) => refusal(status, "GET /metrics is all there is"),
        // Gone, or it never said anything.
        Err(None) => return,
    };
    if let Err(error) = write_until(&mut stream, &response, Instant::now() + PATIENCE) {
        tracing::debug!(%error, "a client of --metrics did not take its answer");
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// The head of a request, or the status to refuse it with; no status for who has gone.
fn read_request(stream: &mut TcpStream, until: Instant) -> Result<Vec<u8>, Option<&'static str>> {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !is_complete(&request) {
        if request.len() >= REQUEST_BYTES_MAX {
            return Err(Some("431 Request Header Fields Too Large"));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return Err(Some("408 Request Timeout"));
        }
        let room = piece.len().min(REQUEST_BYTES_MAX - request.len());
        match stream.read(&mut piece[..room]) {
            Ok(0) => return Err(None),
            Ok(count) => request.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(Some("408 Request Timeout"));
            }
            Err(_) => return Err(None),
        }
    }
    Ok(request)
}

fn is_complete(request: &[u8]) -> bool {
    request.windows(4).any(|end| end == b"\r\n\r\n")
}

/// What is sent back of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Text,
    /// Only what stands before it.
    Head,
}

fn parse(request: &[u8]) -> Result<Asked, Option<&'static str>> {
    let line = request
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| Some("400 Bad Request"))?;
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words[..] else {
        return Err(Some("400 Bad Request"));
    };
    if !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        return Err(Some("505 HTTP Version Not Supported"));
    }
    let asked = match method {
        "GET" => Asked::Text,
        "HEAD" => Asked::Head,
        _ => return Err(Some("405 Method Not Allowed")),
    };
    match target.split('?').next() {
        Some("/metrics" | "/") => Ok(asked),
        _ => Err(Some("404 Not Found")),
    }
}

fn response(status: &str, content_type: &str, text: &str, asked: Asked) -> Vec<u8> {
    let length = text.len();
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    if asked == Asked::Text {
        response.push_str(text);
    }
    response.into_bytes()
}

fn refusal(status: &str, text: &str) -> Vec<u8> {
    let text = format!("{text}\n");
    response(status, "text/plain; charset=utf-8", &text, Asked::Text)
}

fn write_until(stream: &mut TcpStream, mut bytes: &[u8], until: Instant) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(left))?;
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_or_head_of_the_metrics_is_answered() {
        for (request, expected) in [
            ("GET /metrics HTTP/1.1\r\n", Ok(Asked::Text)),
            ("GET /metrics?a=b HTTP/1.0\r\n", Ok(Asked::Text)),
            ("HEAD / HTTP/1.1\r\n", Ok(Asked::Head)),
            (
                "POST /metrics HTTP/1.1\r\n",
                Err(Some("405 Method Not Allowed")),
            ),
            ("GET /etc/passwd HTTP/1.1\r\n", Err(Some("404 Not Found"))),
            (
                "GET /metrics HTTP/2\r\n",
                Err(Some("505 HTTP Version Not Supported")),
            ),
            ("GET /metrics\r\n", Err(Some("400 Bad Request"))),
            ("\u{1}\u{2}\r\n", Err(Some("400 Bad Request"))),
            ("", Err(Some("400 Bad Request"))),
        ] {
            assert_eq!(parse(request.as_bytes()), expected, "{request}");
        }
        assert_eq!(parse(b"GET /\xff HTTP/1.1"), Err(Some("400 Bad Request")));
    }
}
