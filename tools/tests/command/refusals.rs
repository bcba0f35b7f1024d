//! What cannot be done is said in one line and by the documented exit code, and leaves nothing
//! that could be mistaken for a complete file.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{Home, Outcome, Server, assert_content, is_root, skip};

/// The exit code and the word for programs; one line for people.
fn assert_refused(outcome: Outcome, exit: i32, code: &str) {
    let document = outcome.expect(exit);
    assert_eq!(document.stderr.lines().count(), 1, "{document:?}");
    let document = document.document();
    assert_eq!(document["error"]["exit_code"], exit, "{document}");
    assert_eq!(document["error"]["code"], code, "{document}");
}

#[test]
fn nobody_listens() {
    let home = Home::new();
    home.file("file", 10);
    // Bound and closed again: free, and not given to anybody else at once.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr());
    let place = format!("{}/file", address.expect("bound"));
    let put = home.run(&["put", "--json", "--connect-timeout", "0.5", "file", &place]);
    assert_refused(put, 3, "unreachable");
}

#[test]
fn another_key_is_refused() {
    let home = Home::new();
    home.file("file", 10);
    let server = home.serve();
    home.run(&["key", "new", "--key-file", "other"]).expect(0);
    let place = server.place("file");
    let put = home.run(&["put", "--json", "--key-file", "other", "file", &place]);
    assert_refused(put, 4, "authentication");
    let put = home.run(&["put", "--json", "--insecure", "file", &place]);
    assert_refused(put, 4, "authentication");
    assert!(!home.served("file").exists());
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let home = Home::new();
    home.file("file", 10);
    home.run(&["key", "new", "--key-file", "key"]).expect(0);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(home.path("local/key"), mode).expect("chmod");
    let put = home.run(&[
        "put",
        "--json",
        "--key-file",
        "key",
        "file",
        "127.0.0.1:1/file",
    ]);
    assert_refused(put, 4, "key_exposed");
}

#[test]
fn something_else_answers() {
    let home = Home::new();
    home.file("file", 10);
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let place = format!("{}/file", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for mut peer in listener.incoming().map_while(Result::ok) {
            let _ = peer.write_all(&b"HTTP/1.1 400 Bad Request\r\n\r\n".repeat(64));
        }
    });
    let put = home.run(&["put", "--json", "file", &place]);
    assert_refused(put, 5, "protocol");
}

#[test]
fn a_missing_file_here_or_there() {
    let home = Home::new();
    let server = home.serve();
    let put = home.run(&["put", "--json", "nothing", &server.place("x")]);
    assert_refused(put, 6, "not_found");
    let get = home.run(&["get", "--json", &server.place("nothing"), "."]);
    assert_refused(get, 6, "not_found");
    let list = home.run(&["list", "--json", &server.place("nothing")]);
    assert_refused(list, 6, "not_found");
    let serve = home.run(&[
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--root",
        "nothing",
    ]);
    assert_refused(serve, 6, "not_found");
}

#[test]
fn a_server_that_is_read_only() {
    let home = Home::new();
    home.file("file", 10);
    let server = Server::start(&home, &["--read-only"]);
    let put = home.run(&["put", "--json", "file", &server.place("file")]);
    assert_refused(put, 6, "read_only");
}

#[test]
fn nothing_outside_of_the_root_is_reached() {
    let home = Home::new();
    home.file("file", 10);
    fs::write(home.path("secret"), b"secret").expect("written");
    std::os::unix::fs::symlink(home.path("local"), home.served("link")).expect("made");
    let server = home.serve();
    for path in ["../secret", "/etc/passwd", "a/../../secret"] {
        let get = home.run(&["get", "--json", &server.place(path), "got"]);
        assert_refused(get, 2, "usage");
    }
    let get = home
        .run(&["get", "--json", &server.place("link/file"), "got"])
        .expect(6);
    assert!(get.document()["error"]["message"].is_string());
    let put = home
        .run(&["put", "--json", "file", &server.place("link/new")])
        .expect(6);
    assert!(put.document()["error"]["message"].is_string());
    assert!(!home.path("local/got").exists() && !home.path("local/new").exists());
}

#[test]
fn a_directory_needs_to_be_asked_for() {
    let home = Home::new();
    fs::create_dir(home.path("local/tree")).expect("made");
    let server = home.serve();
    let put = home.run(&["put", "--json", "tree", &server.place("tree")]);
    assert_refused(put, 2, "usage");
}

/// A small tmpfs that is unmounted with this value.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    /// `None` where even root may not mount, as in most containers.
    fn mount(place: std::path::PathBuf) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(&place);
        let status = mount.status().expect("there is mount(8)");
        status.success().then_some(Self(place))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_said_and_the_server_serves_on() {
    let home = Home::new();
    home.file("large", 16 << 20);
    let small = home.file("small", 1000);
    let full = is_root().then(|| Tmpfs::mount(home.path("served")));
    if matches!(full, Some(None)) {
        return skip("a full disk", "mount(8) needs root");
    }
    let server = if full.is_some() {
        home.serve()
    } else {
        limited(&home)
    };
    let put = home.run(&["put", "--json", "large", &server.place("large")]);
    let code = if full.is_some() {
        "no_space"
    } else {
        "too_large"
    };
    assert_refused(put, 6, code);
    assert!(
        !home.served("large").exists(),
        "no partial file is mistaken for a complete one"
    );
    for entry in fs::read_dir(home.path("served")).expect("readable") {
        fs::remove_file(entry.expect("readable").path()).expect("room is made");
    }
    home.run(&["put", "small", &server.place("small")])
        .expect(0);
    assert_content(&home.served("small"), &small);
    drop(server);
}

/// A server that may not write files above 4 MiB.
fn limited(home: &Home) -> Server {
    let script = "ulimit -f 8192; exec \"$0\" serve --listen 127.0.0.1:0 --root \"$1\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_ringway")])
        .arg(home.path("served"));
    command.env("XDG_CONFIG_HOME", home.path("config"));
    Server::of(command)
}

#[test]
fn a_limit_on_file_sizes_ends_one_transfer_and_not_the_server() {
    let home = Home::new();
    home.file("large", 16 << 20);
    let small = home.file("small", 1000);
    let server = limited(&home);
    let put = home.run(&["put", "--json", "large", &server.place("large")]);
    assert_refused(put, 6, "too_large");
    home.run(&["put", "small", &server.place("small")])
        .expect(0);
    assert_content(&home.served("small"), &small);
}

#[test]
fn a_second_server_on_the_same_port_says_so() {
    let home = Home::new();
    let server = home.serve();
    let root = home.path("served");
    let root = root.to_str().expect("UTF-8");
    let listen = server.address.to_string();
    let second = home.run(&["serve", "--json", "--root", root, "--listen", &listen]);
    assert_refused(second, 6, "address_in_use");
}

#[test]
fn an_idle_server_ends_cleanly_on_either_signal() {
    let home = Home::new();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        assert_eq!(home.serve().stop(signal), Some(0));
    }
}
