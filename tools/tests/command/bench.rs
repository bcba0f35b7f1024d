//! `ringway bench`: its results, its refusals, its report.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use ringway::{
    Config, ConnectOptions, Engine, Keys, ListenOptions, Status, StreamOptions, block_on,
};
use serde_json::{Value, json};

use crate::support::{Home, Outcome, finish, signal, wait_until};

/// A bench server and its address.
struct Bench {
    child: Child,
    address: String,
}

impl Bench {
    fn start(home: &Home, more: &[&str]) -> Self {
        let mut arguments = vec!["bench", "server", "--listen", "127.0.0.1:0"];
        arguments.extend(more);
        let mut command = home.ringway(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        Self::of(command.spawn().expect("the binary starts"))
    }

    fn of(mut child: Child) -> Self {
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("readable");
        let address = line.trim().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("`{line}` is no readiness line"));
        let address = address.to_owned();
        Self { child, address }
    }

    fn run(&self, home: &Home, more: &[&str]) -> Outcome {
        let mut arguments = vec!["bench", "run", &self.address, "--json"];
        arguments.extend(more);
        home.run(&arguments)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn local(home: &Home, arguments: &str) -> Outcome {
    let all = format!("bench local --json {arguments}");
    home.run(&all.split_whitespace().collect::<Vec<_>>())
}

/// Against the published schema, with a validator that is not ours.
fn assert_valid(document: &Value) {
    let schema = include_str!("../../../docs/bench.schema.json");
    let schema: Value = serde_json::from_str(schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<_> = validator
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{document:#}");
}

fn number(document: &Value, pointer: &str) -> f64 {
    let value = document.pointer(pointer).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("no number {pointer} in {document:#}"))
}

#[test]
fn every_mode_gives_a_result_that_the_schema_allows() {
    let home = Home::new();
    for (arguments, is_moved) in [
        ("-t 0.2", "/bulk/bytes_up"),
        ("-t 0.2 -R --source lease -i 0.1", "/bulk/bytes_down"),
        (
            "-t 0.2 -O 0.1 --bidir -P 2 --lanes 2 -T two",
            "/bulk/bytes_down",
        ),
        ("-t 0.2 --mode call -P 2 --in-flight 4", "/latency/count"),
        ("-t 0.3 --mode call --rate 500 -l 4K", "/latency/count"),
        ("-t 0.3 --mode mixed -C cubic", "/latency/count"),
        ("-t 0.3 --mode connect -P 2", "/latency/count"),
        ("-t 0.3 --checksum crc32c --path copy", "/bulk/bytes_up"),
        ("-t 1.5 --mode resume --cuts 4", "/resume/resumes"),
        ("-t 1.5 --mode resume --cuts 4 -R", "/resume/resumes"),
    ] {
        let document = local(&home, arguments).expect(0).document();
        assert_valid(&document);
        assert!(
            number(&document, is_moved) > 0.0,
            "{arguments}: {document:#}"
        );
    }
}

#[test]
fn the_cores_of_both_ends_are_kept_and_told() {
    let home = Home::new();
    let core = ringway::probe::allowed_cores().expect("known")[0].number;
    let document = local(&home, &format!("-t 0.2 -A {core},{core}"));
    let document = document.expect(0).document();
    assert_valid(&document);
    let told = serde_json::json!([core]);
    assert_eq!(document.pointer("/options/cores"), Some(&told));
    assert_eq!(document.pointer("/options/server/cores"), Some(&told));
    let refused = local(&home, "-t 0.2 --cores own").expect(2).document();
    let message = refused.pointer("/error/message").and_then(Value::as_str);
    assert!(message.is_some_and(|text| text.contains("-A")), "{refused}");
}

#[test]
fn a_number_of_bytes_is_moved_exactly_and_through_files() {
    let home = Home::new();
    let content = home.file("source", 3_000_001);
    let arguments = "-n 7000003 -P 2 --source file:source --sink file:sink";
    let document = local(&home, arguments).expect(0).document();
    assert_valid(&document);
    assert_eq!(document["bulk"]["bytes_up"], 7_000_003);
    assert_eq!(document["options"]["sink"], "file");
    let sink = fs::read(home.path("local").join("sink")).expect("written");
    // Each stream has a share of its own, and begins at the source's start.
    assert_eq!(sink[..3_000_001], content[..]);
    let back = "-n 2000000 -R --source file:source --sink file:back";
    let document = local(&home, back).expect(0).document();
    assert_eq!(document["bulk"]["bytes_down"], 2_000_000);
    let sink = fs::read(home.path("local").join("back")).expect("written");
    assert_eq!(sink[..], content[..2_000_000]);
}

#[test]
fn a_stream_of_json_ends_with_the_result() {
    let home = Home::new();
    let outcome = home.run(&["bench", "local", "-t", "0.3", "-i", "0.1", "--json-stream"]);
    let lines: Vec<Value> = outcome
        .expect(0)
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (last, events) = lines.split_last().expect("lines");
    assert_valid(last);
    assert!(events.len() >= 2 && events.iter().all(|event| event["event"] == "interval"));
}

/// The rate is the schedule's, not what is left of it after waiting for answers.
#[test]
fn a_constant_rate_is_kept_and_latencies_are_logged() {
    let home = Home::new();
    let arguments = "-t 1 --mode call --rate 300 --latency-log log.hlog";
    let document = local(&home, arguments).expect(0).document();
    let count = number(&document, "/latency/count");
    assert!((250.0..=310.0).contains(&count), "{count}");
    assert_eq!(document["latency"]["counted_from"], "when it was due");
    let log = fs::read_to_string(home.path("local").join("log.hlog")).expect("written");
    assert_eq!(document["latency"]["log"], log);
    assert!(
        log.lines()
            .any(|line| line.starts_with("Tag=call,") && line.contains("HISTF"))
    );
}

#[test]
fn a_server_serves_one_test_after_the_other_and_refuses_a_second_at_once() {
    let home = Home::new();
    let server = Bench::start(&home, &[]);
    for _ in 0..2 {
        let document = server.run(&home, &["-n", "1M"]).expect(0).document();
        assert_valid(&document);
    }
    let long = [
        "bench",
        "run",
        &server.address,
        "--json-stream",
        "-t",
        "60",
        "-i",
        "0.05",
    ];
    let mut first = home.start(&long);
    let mut lines = BufReader::new(first.stdout.take().expect("piped")).lines();
    lines.next().expect("an interval").expect("readable");
    let second = server.run(&home, &["-t", "1"]).expect(9);
    assert_eq!(second.document()["error"]["code"], "busy");
    signal(first.id(), Signal::SIGINT);
    let rest: Vec<_> = lines.map(|line| line.expect("readable")).collect();
    let last: Value = serde_json::from_str(rest.last().expect("a line")).expect("JSON");
    assert_eq!(last["error"]["exit_code"], 130);
    assert_eq!(finish(first).code, Some(130));
    // The first is gone, and with it its test.
    wait_until(|| (server.run(&home, &["-n", "1M"]).code == Some(0)).then_some(()));
}

#[test]
fn what_a_client_asks_for_is_bounded_and_refused_with_both_numbers() {
    let home = Home::new();
    let bounds = "--max-time 2 --max-sessions 2 --max-streams 3 --max-memory 4MiB";
    let server = Bench::start(&home, &bounds.split(' ').collect::<Vec<_>>());
    for (arguments, what) in [
        ("-t 3", "seconds: 3 asked for, this server allows 2"),
        (
            "-t 1 --lanes 3",
            "sessions: 3 asked for, this server allows 2",
        ),
        ("-t 1 -P 4", "streams: 4 asked for, this server allows 3"),
        (
            "-t 1 -l 5M",
            "bytes of payloads: 5242880 asked for, this server allows 4194304",
        ),
        ("-t 1 --mode connect -P 3", "sessions: 3 asked for"),
    ] {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let document = server.run(&home, &arguments).expect(9).document();
        assert_eq!(document["error"]["code"], "limit", "{document}");
        let message = document["error"]["message"].as_str().expect("a text");
        assert!(message.contains(what), "{message}");
    }
    // A number of bytes may take any time: it is ended when the time is over.
    let slow = server.run(&home, &["-n", "1T"]).expect(9).document();
    assert_eq!(slow["error"]["code"], "limit", "{slow}");
}

#[test]
fn options_that_the_server_lacks_are_named() {
    let home = Home::new();
    let server = Bench::start(&home, &[]);
    for (arguments, code, part) in [
        ("--checksum crc32c", 2, "--checksum"),
        ("-R --path copy", 2, "--path"),
        ("-R -C reno", 2, "-C"),
        ("--sink file", 6, "--sink-file"),
        ("-R --source file", 6, "--source-file"),
        ("--mode call -R", 2, "-R"),
        ("--source file:missing", 6, "missing"),
        ("-A 0,1", 2, "bench server -A"),
    ] {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let outcome = server.run(&home, &arguments).expect(code);
        let document = outcome.document();
        let message = document["error"]["message"].as_str().expect("a text");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn whoever_answers_without_being_a_bench_server_is_told_from_one() {
    let home = Home::new();
    let nobody = home.run(&[
        "bench",
        "run",
        "127.0.0.1:9",
        "--connect-timeout",
        "0.2",
        "--json",
    ]);
    let nobody = nobody.expect(3).document();
    assert!(
        nobody["error"]["message"]
            .as_str()
            .expect("a text")
            .contains("bench server")
    );
    let files = home.serve();
    let address = files.address.to_string();
    let outcome = home
        .run(&["bench", "run", &address, "--json", "-t", "1"])
        .expect(5);
    assert_eq!(outcome.document()["error"]["code"], "no_bench_server");
    let stranger = Home::new();
    let server = Bench::start(&home, &[]);
    let refused = server.run(&stranger, &["-t", "1"]).expect(4);
    assert_eq!(refused.document()["error"]["code"], "authentication");
    // And a client of the file service, at a bench server.
    let put = home.run(&["list", &format!("{}/", server.address)]);
    assert_ne!(put.code, Some(0), "{put:?}");
}

/// What arrives on a stream that opens with `record`.
fn answer_to(home: &Home, address: &str, record: &[u8]) -> Result<Value, ringway::Error> {
    let engine = Engine::start(Config {
        shards: 1,
        ..Config::default()
    })
    .expect("an engine");
    let keys = Keys::load(&home.path("config/ringway/key")).expect("the user's key");
    let answer = block_on(async {
        let options = ConnectOptions::keyed(keys.own());
        let session = engine.connect(address, options).await.expect("connected");
        let stream = session.open(StreamOptions::default()).await?;
        stream.send_record(record.to_vec()).await?;
        let answer = stream.receive_record(64 << 10).await?.expect("a record");
        session.close(Status::ok());
        Ok(serde_json::from_slice(&answer).expect("JSON"))
    });
    block_on(engine.shutdown(std::time::Duration::from_secs(2)));
    answer
}

#[test]
fn ends_of_different_versions_say_so() {
    let home = Home::new();
    let server = Bench::start(&home, &[]);
    // Makes the key.
    server.run(&home, &["-n", "1K"]).expect(0);
    let newer = br#"{"ringway_bench":7,"purpose":{"kind":"dance"}}"#;
    let answer = answer_to(&home, &server.address, newer).expect("answered");
    assert_eq!(answer["refusal"]["code"], "version", "{answer}");
    assert_eq!(answer["refusal"]["wanted"], 7);
    let garbage = answer_to(&home, &server.address, b"\xff\x00");
    assert!(
        garbage
            .expect_err("no bench client")
            .to_string()
            .contains("bench server")
    );
    // The server is none the worse for it.
    server.run(&home, &["-n", "1K"]).expect(0);
}

#[test]
fn an_older_server_is_recognised() {
    let home = Home::new();
    home.run(&["key", "new"]).expect(0);
    let keys = Keys::load(&home.path("config/ringway/key")).expect("the user's key");
    let engine = Engine::start(Config {
        shards: 1,
        ..Config::default()
    })
    .expect("an engine");
    let listener = engine.listen("127.0.0.1:0", ListenOptions::keyed(keys));
    let listener = block_on(listener).expect("listening");
    let address = listener.address().to_string();
    let client = home.start(&["bench", "run", &address, "--json"]);
    let session = block_on(listener.accept()).expect("a session");
    let stream = block_on(session.accept()).expect("a stream");
    let opening = block_on(stream.receive_record(64 << 10))
        .expect("received")
        .expect("a record");
    let opening: Value = serde_json::from_slice(&opening).expect("JSON");
    assert_eq!(opening["ringway_bench"], 1);
    let refusal =
        json!({ "kind": "refused", "refusal": { "code": "version", "message": "I am 0" } });
    block_on(stream.send_record(refusal.to_string().into_bytes())).expect("sent");
    let document = finish(client).expect(5).document();
    assert_eq!(document["error"]["code"], "version");
    block_on(engine.shutdown(std::time::Duration::from_secs(2)));
}

#[test]
fn a_source_that_shrinks_and_a_sink_that_is_full_are_told_from_each_other() {
    let home = Home::new();
    home.file("source", 64 << 20);
    let server = Bench::start(&home, &[]);
    let arguments = [
        "--source",
        "file:source",
        "-t",
        "60",
        "-i",
        "0.02",
        "--json-stream",
    ];
    let mut all = vec!["bench", "run", &server.address];
    all.extend(arguments);
    let mut client = home.start(&all);
    let mut stdout = BufReader::new(client.stdout.take().expect("piped"));
    stdout.read_line(&mut String::new()).expect("an interval");
    let source = fs::File::options()
        .write(true)
        .open(home.path("local").join("source"));
    source
        .and_then(|file| file.set_len(1 << 20))
        .expect("shrunk");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("readable");
    assert_eq!(finish(client).code, Some(7), "{rest}");
    // With little locked memory a third ring finds none.
    drop(server);

    // A file that may not grow beyond a limit fails as a full disk does.
    let mut command = std::process::Command::new("sh");
    let script = "ulimit -f 2048; exec \"$0\" bench server --listen 127.0.0.1:0 --sink-file sink";
    command.args(["-c", script, env!("CARGO_BIN_EXE_ringway")]);
    command.current_dir(home.path("local"));
    command.env("XDG_CONFIG_HOME", home.path("config"));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let full = Bench::of(command.spawn().expect("sh starts"));
    let outcome = full.run(&home, &["-n", "64M", "--sink", "file"]).expect(6);
    let document = outcome.document();
    let message = document["error"]["message"].as_str().expect("a text");
    assert!(message.starts_with("the server: cannot write"), "{message}");
}

#[test]
fn an_interrupted_local_test_leaves_nothing_behind() {
    let home = Home::new();
    let temporary = home.path("temporary");
    fs::create_dir(&temporary).expect("made");
    let mut command = home.ringway(&["bench", "local", "-t", "60", "-i", "0.05", "--json-stream"]);
    command
        .env("TMPDIR", &temporary)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    stdout.read_line(&mut String::new()).expect("an interval");
    assert_eq!(
        fs::read_dir(&temporary).expect("there").count(),
        1,
        "its key"
    );
    signal(child.id(), Signal::SIGTERM);
    stdout.read_to_string(&mut String::new()).expect("readable");
    assert_eq!(finish(child).code, Some(130));
    assert_eq!(fs::read_dir(&temporary).expect("there").count(), 0);
}

#[test]
fn a_one_off_server_ends_after_its_test() {
    let home = Home::new();
    let mut server = Bench::start(&home, &["--one-off"]);
    server.run(&home, &["-n", "1M"]).expect(0);
    let ended = wait_until(|| server.child.try_wait().expect("waited for"));
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn results_become_one_page_that_needs_no_network() {
    let home = Home::new();
    for (name, arguments) in [
        ("bulk", "-t 0.2 -i 0.1"),
        ("calls", "-t 0.2 --mode call -T <b>"),
    ] {
        let outcome = local(&home, arguments).expect(0);
        fs::write(home.path("local").join(name), outcome.stdout).expect("written");
    }
    let outcome = home.run(&[
        "bench",
        "report",
        "bulk",
        "calls",
        "-o",
        "page.html",
        "--json",
    ]);
    assert_eq!(outcome.expect(0).document()["results"], 2);
    let page = fs::read_to_string(home.path("local").join("page.html")).expect("written");
    for part in [
        "Throughput over time",
        "Latency by percentile",
        "CPU per GB",
        "&lt;b&gt;",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("<b>"));
    fs::write(home.path("local").join("other"), "{}").expect("written");
    let refused = home
        .run(&["bench", "report", "bulk", "other", "--json"])
        .expect(6);
    assert_eq!(refused.document()["error"]["code"], "no_result");
}

/// A server that is stopped in the middle of a test: the client ends, and says why.
#[test]
fn a_server_that_ends_in_the_middle_ends_the_test() {
    let home = Home::new();
    let mut server = Bench::start(&home, &[]);
    let arguments = [
        "bench",
        "run",
        &server.address,
        "-t",
        "60",
        "-i",
        "0.05",
        "--json-stream",
    ];
    let mut client = home.start(&arguments);
    let mut stdout = BufReader::new(client.stdout.take().expect("piped"));
    stdout.read_line(&mut String::new()).expect("an interval");
    signal(server.child.id(), Signal::SIGTERM);
    let ended = wait_until(|| server.child.try_wait().expect("waited for"));
    assert_eq!(ended.code(), Some(0));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("readable");
    let last: Value = serde_json::from_str(rest.lines().last().expect("a line")).expect("JSON");
    assert!(last["error"]["exit_code"].as_u64() >= Some(3), "{last}");
    assert_ne!(finish(client).code, Some(0));
}
