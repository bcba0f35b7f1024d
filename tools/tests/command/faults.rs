//! `--fault`: failures rehearsed with the command.

use serde_json::Value;

use crate::support::{Home, Outcome, Server, assert_content};

const BYTES: usize = 24 << 20;

/// A put with faults at the client; the server knows nothing of them.
fn put(home: &Home, server: &Server, faults: &str) -> Outcome {
    let place = server.place("");
    home.run(&["put", "big", &place, "--json", "--fault", faults])
}

fn injected(document: &Value, kind: &str) -> u64 {
    let count = document["faults_injected"][kind].as_u64();
    count.unwrap_or_else(|| panic!("no {kind} in {document}"))
}

/// A put that meets faults of this kind, and brings every byte all the same.
fn survives(kind: &str, faults: &str) -> Value {
    let home = Home::new();
    let content = home.file("big", BYTES);
    let server = home.serve();
    let document = put(&home, &server, faults).expect(0).document();
    assert_content(&home.served("big"), &content);
    assert!(injected(&document, kind) > 0, "{document}");
    document
}

fn resumes(document: &Value) -> u64 {
    document["resumes"].as_u64().expect("a number")
}

#[test]
fn a_put_whose_connection_is_cut_again_and_again_ends_identical_and_says_so() {
    let document = survives("cut", "cut:every=5MiB");
    assert!(resumes(&document) >= 3, "{document}");
}

#[test]
fn a_put_that_hears_nothing_any_more_connects_again() {
    let document = survives("drop-inbound", "drop-inbound:after=4MiB");
    assert!(resumes(&document) >= 1, "{document}");
}

#[test]
fn a_put_whose_bytes_go_nowhere_connects_again() {
    let document = survives("drop-outbound", "drop-outbound:after=4MiB");
    assert!(resumes(&document) >= 1, "{document}");
}

#[test]
fn a_put_whose_answers_come_late_ends_identical() {
    let document = survives("delay", "delay:5ms..20ms");
    assert_eq!(resumes(&document), 0, "slow is not lost");
}

#[test]
fn a_put_whose_disk_is_slow_ends_identical() {
    let document = survives("slow-disk", "slow-disk:20ms");
    assert_eq!(resumes(&document), 0, "slow is not lost");
}

#[test]
fn a_put_whose_dials_are_refused_half_the_time_tries_again() {
    let document = survives("refuse", "cut:every=2MiB,refuse:50%");
    assert!(resumes(&document) >= 3, "{document}");
}

/// A header that is wrong cannot say where the next one begins: the session ends, and another one
/// goes on from the partial file.
#[test]
fn a_put_with_a_corrupted_header_goes_on_in_another_session() {
    let document = survives("corrupt", "corrupt:after=4MiB");
    assert_eq!((&document["sessions"], resumes(&document)), (&2.into(), 0));
}

#[test]
fn a_server_that_refuses_half_of_its_connections_is_reached_all_the_same() {
    let home = Home::new();
    let content = home.file("a.bin", 100_000);
    let server = Server::start(&home, &["--fault", "refuse:50%", "--fault-seed", "7"]);
    home.run(&["put", "a.bin", &server.place("")]).expect(0);
    assert_content(&home.served("a.bin"), &content);
}

#[test]
fn a_fault_that_nobody_knows_is_a_wrong_command_line() {
    let home = Home::new();
    let outcome = home.run(&["list", "127.0.0.1:1/", "--fault", "explode:now"]);
    let outcome = outcome.expect(2);
    assert!(outcome.stderr.contains("slow-disk"), "{}", outcome.stderr);
}
