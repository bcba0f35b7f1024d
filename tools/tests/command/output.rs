//! What scripts rely on: documents, events, help.

use std::fs;

use serde_json::Value;

use crate::support::Home;

#[test]
fn json_is_one_document_and_a_stream_ends_with_the_same() {
    let home = Home::new();
    home.file("file", 3_000_000);
    let server = home.serve();
    let one = home
        .run(&["put", "--json", "file", &server.place("one")])
        .expect(0)
        .document();
    for name in [
        "files",
        "bytes",
        "seconds",
        "gb_per_s",
        "resumed_from_bytes",
        "body_bytes_sent",
        "paths",
        "skipped",
    ] {
        assert!(!one[name].is_null(), "{name} is missing: {one}");
    }
    let stream = home
        .run(&["put", "--json-stream", "file", &server.place("two")])
        .expect(0);
    let lines = stream.stdout.lines().map(serde_json::from_str);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>().expect("JSON in every line");
    let (last, events) = lines.split_last().expect("something");
    assert!(
        events.iter().all(|event| event["event"].is_string()),
        "{events:?}"
    );
    assert!(
        events.iter().any(|event| event["event"] == "file_finished"),
        "{events:?}"
    );
    assert_eq!(
        (&last["bytes"], &last["event"]),
        (&3_000_000.into(), &Value::Null)
    );
}

#[test]
fn a_wrong_command_line_is_exit_2_in_json_too() {
    let home = Home::new();
    let outcome = home.run(&["put", "--json"]).expect(2);
    assert_eq!(outcome.document()["error"]["code"], "usage");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    home.run(&["demo", "--size", "much"]).expect(2);
    home.run(&["put", "a", "not-an-address"]).expect(2);
    home.run(&[]).expect(2);
}

#[test]
fn help_man_pages_and_completions_are_there() {
    let home = Home::new();
    for command in ["demo", "serve", "put", "get", "list", "key", "probe"] {
        let help = home.run(&[command, "--help"]).expect(0).stdout;
        assert!(help.contains("Usage: ringway"), "{help}");
    }
    let version = home.run(&["--version"]).expect(0).stdout;
    assert!(version.starts_with("ringway "), "{version}");
    for shell in ["bash", "zsh", "fish"] {
        let script = home.run(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("ringway") && !script.contains("panic"));
    }
    home.run(&["man", "."]).expect(0);
    let page = fs::read_to_string(home.path("local/ringway-put.1")).expect("written");
    assert!(page.contains("ringway") && page.contains("overwrite"));
    assert!(!home.path("local/ringway-demo-serve.1").exists());
}

#[test]
fn the_probe_tells_capabilities_limits_and_paths() {
    let home = Home::new();
    let text = home.run(&["probe"]).expect(0).stdout;
    assert!(
        text.contains("capabilities") && text.contains("splice"),
        "{text}"
    );
    let document = home.run(&["probe", "--json"]).expect(0).document();
    assert_eq!(document["io_uring"], true);
    let paths = document["paths"].as_array().expect("a list");
    assert_eq!(paths.len(), 24, "six kinds of body on four routes");
    assert!(
        paths
            .iter()
            .all(|each| each["why"].as_str().is_some_and(|why| !why.is_empty()))
    );
    let capabilities = document["capabilities"].as_array().expect("a list");
    assert!(capabilities.iter().all(|each| each["how"].is_string()));

    let mut masked = home.ringway(&["probe", "--json"]);
    let output = masked.env("RINGWAY_MASK", "splice").output().expect("runs");
    let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let hot = document["paths"].as_array().expect("a list").iter();
    let mut hot = hot.filter(|each| each["body"] == "hot file");
    assert!(
        hot.all(|each| each["path"] == "read_then_send"),
        "{document}"
    );
    let wrong = home
        .ringway(&["probe"])
        .env("RINGWAY_MASK", "warp")
        .output()
        .expect("runs");
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn keys_are_made_once_shown_and_replaced_only_by_force() {
    let home = Home::new();
    let first = home.run(&["key", "show", "--json"]).expect(0).document();
    let again = home.run(&["key", "show", "--json"]).expect(0).document();
    assert_eq!(first, again, "made on first use");
    assert!(first["secret"].is_null());
    let secret = home
        .run(&["key", "show", "--secret", "--json"])
        .expect(0)
        .document();
    assert_eq!(secret["secret"].as_str().map(str::len), Some(64));
    assert_eq!(secret["fingerprint"], first["fingerprint"]);

    let refused = home.run(&["key", "new", "--json"]).expect(6).document();
    assert_eq!(refused["error"]["code"], "exists");
    let new = home
        .run(&["key", "new", "--force", "--json"])
        .expect(0)
        .document();
    assert_ne!(new["fingerprint"], first["fingerprint"]);
    let shown = home.run(&["key", "show", "--json"]).expect(0).document();
    assert_eq!(shown, new);
    home.run(&["key", "show", "--key-file", "nothing"])
        .expect(6);
}
