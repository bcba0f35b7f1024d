//! A machine that forbids io_uring, as containers do: exit code 8, and what to do about it.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::support::{Home, Outcome, finish};

/// Arguments for the command that a child process becomes.
const CONFINED: &str = "RINGWAY_TEST_CONFINED";

#[test]
fn a_filter_that_forbids_io_uring_is_exit_8_and_named_with_its_remedy() {
    if let Ok(arguments) = std::env::var(CONFINED) {
        become_confined(&arguments);
    }
    let home = Home::new();
    for arguments in [
        "demo --json --size 1MiB",
        "serve --json --listen 127.0.0.1:0 --root .",
        "put --json file 127.0.0.1:1/file",
        "get --json 127.0.0.1:1/file",
        "list --json 127.0.0.1:1/",
        "probe --json",
    ] {
        home.file("file", 10);
        let error = confined(&home, arguments);
        assert_eq!(error["code"], "io_uring_blocked", "{arguments}: {error}");
        assert_eq!(error["exit_code"], 8, "{arguments}: {error}");
        let text = error.to_string();
        assert!(
            text.contains("io_uring_setup") && text.contains("seccomp"),
            "{text}"
        );
    }
}

/// The error of the final document of the command under the filter.
fn confined(home: &Home, arguments: &str) -> serde_json::Value {
    let test = "confined::a_filter_that_forbids_io_uring_is_exit_8_and_named_with_its_remedy";
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CONFINED, arguments)
        .env("XDG_CONFIG_HOME", home.path("config"))
        .current_dir(home.path("local"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let outcome = finish(child.expect("starts")).expect(8);
    // Behind what the test harness said before it became the command.
    let begin = outcome.stdout.find('{').unwrap_or(0);
    let document = Outcome {
        stdout: outcome.stdout[begin..].to_owned(),
        ..outcome
    };
    document.document()["error"].clone()
}

/// The filter stays for good, and what is executed has it too.
fn become_confined(arguments: &str) {
    let rules = [(libc::SYS_io_uring_setup, Vec::new())];
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let here = std::env::consts::ARCH.try_into().expect("known");
    let rules = rules.into_iter().collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, here);
    let program: BpfProgram = filter.expect("valid").try_into().expect("compiles");
    seccompiler::apply_filter(&program).expect("always allowed");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    let error = command.args(arguments.split(' ')).exec();
    panic!("not executed: {error}");
}
