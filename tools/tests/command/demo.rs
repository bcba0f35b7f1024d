//! The main job, as a newcomer runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Home, Outcome, finish, is_masked, is_root, signal, skip, wait_until};

fn number(document: &Value, name: &str) -> f64 {
    document[name]
        .as_f64()
        .unwrap_or_else(|| panic!("no {name} in {document}"))
}

fn check(outcome: Outcome, bytes: u64, cuts: usize) {
    let document = outcome.expect(0).document();
    assert_eq!(document["bytes"], bytes);
    assert_eq!(document["digest_ok"], true);
    assert_eq!(document["cuts"], cuts, "{document}");
    assert!(number(&document, "resumes") >= cuts as f64, "{document}");
    let gaps = document["resume_gap_ms"].as_array().expect("a list");
    assert_eq!(gaps.len(), cuts, "{document}");
    assert!(number(&document, "gb_per_s") > 0.0);
    for side in ["send", "receive"] {
        assert!(number(&document["cpu_s_per_gb"], side) > 0.0, "{document}");
        assert!(
            number(&document["peak_rss_bytes"], side) > 1e6,
            "{document}"
        );
    }
    let paths = document["paths"].as_object().expect("an object");
    let sent: f64 = paths.values().filter_map(Value::as_f64).sum();
    assert!(sent >= bytes as f64, "{document}");
    assert!(document["environment"]["kernel"].is_string());
    if !is_masked("splice") {
        assert!(number(&document, "zero_copy_share") > 0.95, "{document}");
    }
}

#[test]
fn a_file_survives_three_cuts() {
    let home = Home::new();
    let arguments = [
        "demo", "--json", "--size", "64MiB", "--cuts", "3", "--seed", "1",
    ];
    check(home.run(&arguments), 64 << 20, 3);
}

#[test]
fn it_runs_for_an_ordinary_user_with_64_kib_of_locked_memory() {
    if !is_root() {
        // Locked memory is counted per user: what the other tests hold now is held from this one.
        return skip("64 KiB", "a user of its own needs root");
    }
    let home = Home::new();
    fs::set_permissions(home.directory.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
    // The user may not reach the build directory.
    let binary = home.path("ringway");
    fs::copy(env!("CARGO_BIN_EXE_ringway"), &binary).expect("copied");
    let script = "ulimit -l 64 && exec \"$0\" demo --json --size 64MiB --cuts 2";
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .arg(&binary)
        .env("TMPDIR", home.directory.path());
    command.current_dir("/").stdin(Stdio::null());
    command.uid(65534).gid(65534);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    check(finish(child.expect("the shell starts")), 64 << 20, 2);
}

#[test]
fn a_file_of_the_users_own_is_sent_and_left_alone() {
    let home = Home::new();
    let content = home.file("own", 10_000_001);
    let outcome = home.run(&["demo", "--json", "--file", "own", "--cuts", "0"]);
    check(outcome, 10_000_001, 0);
    crate::support::assert_content(&home.path("local/own"), &content);
}

/// Of the demonstration's own directories in `TMPDIR`.
fn left_over(home: &Home) -> usize {
    fs::read_dir(home.path("config")).expect("readable").count()
}

#[test]
fn an_interrupted_demonstration_leaves_nothing() {
    let home = Home::new();
    let mut command = home.ringway(&["demo", "--json", "--size", "1GiB"]);
    command.env("TMPDIR", home.path("config"));
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    wait_until(|| (left_over(&home) > 0).then_some(()));
    signal(child.id(), Signal::SIGINT);
    let document = finish(child).expect(130).document();
    assert_eq!(document["error"]["code"], "interrupted");
    assert_eq!(left_over(&home), 0);
}

#[test]
fn too_little_space_is_said_before_anything_is_written() {
    let home = Home::new();
    let outcome = home.run(&["demo", "--json", "--size", "500TiB"]).expect(6);
    let document = outcome.document();
    assert_eq!(document["error"]["code"], "no_space");
    let message = document["error"]["message"].as_str().expect("text");
    assert!(
        message.contains("1099511628824576"),
        "both numbers: {message}"
    );
    assert!(outcome.stderr.lines().count() == 1, "{outcome:?}");
}
