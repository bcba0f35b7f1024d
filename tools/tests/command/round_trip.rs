//! What is put can be listed and got, as it was.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::Value;

use crate::support::{Home, Server, assert_content};

fn names(listing: &Value) -> Vec<&str> {
    let entries = listing["entries"].as_array().expect("a list");
    entries
        .iter()
        .map(|entry| entry["path"].as_str().expect("text"))
        .collect()
}

#[test]
fn a_tree_is_put_listed_and_got() {
    let home = Home::new();
    for directory in ["tree", "tree/deep", "tree/empty"] {
        fs::create_dir(home.path("local").join(directory)).expect("made");
    }
    let large = home.file("tree/large", 5_000_000);
    let small = home.file("tree/deep/small", 100);
    let none = home.file("tree/deep/none", 0);
    let script = home.path("local/tree/large");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o750)).expect("chmod");
    let server = home.serve();

    let put = home
        .run(&["put", "-r", "--json", "tree", &server.place("")])
        .expect(0)
        .document();
    assert_eq!(put["bytes"], 5_000_100);
    assert_eq!(put["files"].as_array().map(Vec::len), Some(3));
    assert_eq!(put["skipped"].as_array().map(Vec::len), Some(0));

    let list = home
        .run(&["list", "-r", "--json", &server.place("tree")])
        .expect(0)
        .document();
    assert_eq!(
        names(&list),
        ["deep", "deep/none", "deep/small", "empty", "large"]
    );
    let plain = home.run(&["list", &server.place("tree")]).expect(0).stdout;
    assert_eq!(plain, "deep/\nempty/\nlarge\n");
    let long = home
        .run(&["list", "-l", &server.place("tree/large")])
        .expect(0)
        .stdout;
    assert!(
        long.starts_with("- 0750 ") && long.contains("5000000"),
        "{long}"
    );

    home.run(&["get", "-r", "--quiet", &server.place("tree"), "back"])
        .expect(0);
    for (name, content) in [("large", large), ("deep/small", small), ("deep/none", none)] {
        assert_content(&home.path("local/back").join(name), &content);
    }
    let back = fs::metadata(home.path("local/back/large")).expect("there");
    let source = fs::metadata(&script).expect("there");
    assert_eq!(back.mode(), source.mode());
    assert_eq!(
        (back.mtime(), back.mtime_nsec()),
        (source.mtime(), source.mtime_nsec())
    );
    assert!(home.path("local/back/empty").is_dir());
}

/// A violation of the protocol between our own ends would be healed by a new session, and what
/// was written before it would stay: so the number of sessions is looked at, and every byte.
#[test]
fn a_large_file_goes_both_ways_in_one_session() {
    let home = Home::new();
    let content = home.file("large", 64 << 20);
    let server = home.serve();
    for round in 0..3 {
        let name = format!("there-{round}");
        let put = home.run(&["put", "--json", "large", &server.place(&name)]);
        let back = format!("back-{round}");
        let get = home.run(&["get", "--json", &server.place(&name), &back]);
        for document in [put.expect(0).document(), get.expect(0).document()] {
            assert_eq!(document["sessions"], 1, "{document}");
            assert_eq!(document["body_bytes_sent"], 64 << 20, "{document}");
        }
        assert_content(&home.served(&name), &content);
        assert_content(&home.path("local").join(&back), &content);
    }
}

#[test]
fn digests_are_compared_when_asked_for() {
    let home = Home::new();
    let content = home.file("file", 3_000_000);
    let server = home.serve();
    let put = home
        .run(&["put", "--json", "--verify", "file", &server.place("file")])
        .expect(0);
    let document = put.document();
    let digest = document["files"][0]["digest"].as_str().expect("a digest");
    let expected = xxhash_rust::xxh3::xxh3_128(&content);
    assert_eq!(digest, format!("xxh3-128:{expected:032x}"));
}

#[test]
fn a_unix_socket_serves_too() {
    let home = Home::new();
    let content = home.file("file", 2_000_000);
    let socket = home.path("socket");
    let listen = format!("unix:{}", socket.display());
    let root = home.path("served");
    let arguments = ["serve", "--json-stream", "--listen", &listen, "--root"];
    let mut command = home.ringway(&arguments);
    let mut server = command
        .arg(&root)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(server.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut stdout, &mut line).expect("readable");
    let ready: Value = serde_json::from_str(&line).expect("an event");
    assert_eq!(
        (&ready["event"], &ready["address"]),
        (&"listening".into(), &listen.clone().into())
    );

    let put = home.run(&["put", "file", &format!("{listen}//sent")]);
    server.kill().expect("it runs");
    server.wait().expect("waited for");
    put.expect(0);
    assert_content(&home.served("sent"), &content);
}

#[test]
fn what_is_no_file_is_skipped_and_said() {
    let home = Home::new();
    fs::create_dir(home.path("local/tree")).expect("made");
    home.file("tree/file", 10);
    let fifo = home.path("local/tree/fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("made");
    std::os::unix::fs::symlink("/etc/passwd", home.path("local/tree/link")).expect("made");
    let server = home.serve();
    let put = home
        .run(&["put", "-r", "--json", "tree", &server.place("tree")])
        .expect(0);
    let document = put.document();
    let skipped = document["skipped"].as_array().expect("a list");
    let mut reasons: Vec<_> = skipped.iter().map(|each| each["reason"].as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, [Some("special"), Some("symlink")], "{document}");
    assert!(!home.served("tree/link").exists() && !home.served("tree/fifo").exists());
}

#[test]
fn existing_files_are_dealt_with_as_asked() {
    let home = Home::new();
    let new = home.file("file", 2_000);
    fs::write(home.served("file"), b"old").expect("written");
    let server: Server = home.serve();
    let place = server.place("file");
    let kept = home
        .run(&["put", "--json", "--overwrite", "never", "file", &place])
        .expect(0);
    assert_eq!(kept.document()["skipped"][0]["reason"], "exists");
    assert_content(&home.served("file"), b"old");
    home.run(&["put", "file", &place]).expect(0);
    assert_content(&home.served("file"), &new);
}
