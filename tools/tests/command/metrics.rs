//! `serve --metrics`: what Prometheus gets, and what a client cannot do to the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{AT_MOST, Home, signal, wait_until};

/// A server with metrics, both on free ports.
struct Watched {
    child: Child,
    address: String,
    metrics: SocketAddr,
}

impl Watched {
    fn start(home: &Home) -> Self {
        let root = home.path("served");
        let root = root.to_str().expect("UTF-8");
        let mut command = home.ringway(&["serve", "--root", root, "--listen", "127.0.0.1:0"]);
        command.args(["--metrics", "127.0.0.1:0", "--json-stream"]);
        command.stdout(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("readable");
        let event: Value = serde_json::from_str(&line).expect("an event");
        let text = |name: &str| event[name].as_str().expect("an address").to_owned();
        Self {
            child,
            address: text("address"),
            metrics: text("metrics").parse().expect("an address"),
        }
    }

    /// Sends bytes and reads the answer to its end.
    fn ask(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.metrics).expect("listens");
        stream.set_read_timeout(Some(AT_MOST)).expect("set");
        stream.write_all(request).expect("taken");
        let mut answer = Vec::new();
        // A reset after the answer is an end too: the server closes with bytes of ours unread.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).expect("UTF-8")
    }

    fn value(&self, name: &str) -> f64 {
        let answer = self.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{head}"
        );
        let of_name = |line: &&str| line.split('{').next() == Some(name);
        let lines = body.lines().filter(of_name);
        let values: Vec<f64> = lines
            .map(|line| {
                line.rsplit(' ')
                    .next()
                    .expect("a value")
                    .parse()
                    .expect("a number")
            })
            .collect();
        assert!(!values.is_empty(), "{name} is not there");
        values.iter().sum()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_numbers_move_with_what_is_transferred() {
    let home = Home::new();
    let content = home.file("a.bin", 3 << 20);
    let mut server = Watched::start(&home);
    assert_eq!(server.value("ringway_sessions_opened_total"), 0.0);
    home.run(&["put", "a.bin", &format!("{}/", server.address)])
        .expect(0);
    assert_eq!(server.value("ringway_sessions_opened_total"), 1.0);
    let received = server.value("ringway_body_bytes_received_total");
    assert!(received >= content.len() as f64, "{received}");
    signal(server.child.id(), Signal::SIGTERM);
    let ended = wait_until(|| server.child.try_wait().expect("waited for"));
    assert_eq!(ended.code(), Some(0));
    assert!(
        TcpStream::connect(server.metrics).is_err(),
        "it listens no longer"
    );
}

#[test]
fn malformed_large_and_slow_requests_are_refused_and_the_next_one_is_served() {
    let home = Home::new();
    let server = Watched::start(&home);
    for (request, status) in [
        (&b"POST /metrics HTTP/1.1\r\n\r\n"[..], "405"),
        (b"GET /secret HTTP/1.1\r\n\r\n", "404"),
        (b"hello\r\n\r\n", "400"),
        (b"\x00\xff\xfe\r\n\r\n", "400"),
        // Never finished.
        (b"GET /metrics HTTP/1.1\r\n", "408"),
    ] {
        let answer = server.ask(request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let large = [&b"GET /metrics HTTP/1.1\r\nX: "[..], &[b'x'; 8 << 10]].concat();
    assert!(server.ask(&large).starts_with("HTTP/1.1 431 "));
    // One that says nothing, and one that goes at once.
    let silent = TcpStream::connect(server.metrics).expect("listens");
    drop(TcpStream::connect(server.metrics).expect("listens"));
    assert!(server.value("ringway_turns_total") > 0.0);
    drop(silent);
}

#[test]
fn an_address_in_use_is_said_before_anything_is_served() {
    let home = Home::new();
    let server = Watched::start(&home);
    let metrics = server.metrics.to_string();
    let refused = home.run(&[
        "serve",
        "--root",
        ".",
        "--listen",
        "127.0.0.1:0",
        "--metrics",
        &metrics,
    ]);
    let refused = refused.expect(8);
    assert!(refused.stderr.contains("--metrics"), "{}", refused.stderr);
    assert_eq!(refused.stdout, "");
}
