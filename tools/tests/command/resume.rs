//! Transfers that are killed in the middle go on from there.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::relay::Relay;
use crate::support::{Home, Server, assert_content, finish, signal};

const BYTES: usize = 64 << 20;
const HALF: u64 = BYTES as u64 / 2;

fn bytes(document: &Value, name: &str) -> u64 {
    document[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {document}"))
}

/// Repeats a put whose first run got about half through.
fn repeat_and_check(home: &Home, server: &Server, content: &[u8]) {
    let again = home
        .run(&["put", "--json", "big", &server.place("big")])
        .expect(0);
    let document = again.document();
    // The relay's and the kernel's buffers hold what was forwarded and never arrived.
    let resumed = bytes(&document, "resumed_from_bytes");
    assert!(resumed > HALF / 2, "{document}");
    assert!(
        bytes(&document, "body_bytes_sent") <= BYTES as u64 - resumed,
        "{document}"
    );
    assert_content(&home.served("big"), content);
}

#[test]
fn a_put_killed_at_half_goes_on_when_repeated() {
    let home = Home::new();
    let content = home.file("big", BYTES);
    let server = home.serve();
    let relay = Relay::new(server.address, HALF);
    let put = home.start(&["put", "--json", "big", &relay.place("big")]);
    relay.wait_until_stopped();
    signal(put.id(), Signal::SIGKILL);
    assert_eq!(finish(put).code, None, "killed");
    assert!(
        !home.served("big").exists(),
        "a partial file has not the target's name"
    );
    repeat_and_check(&home, &server, &content);
}

#[test]
fn an_interrupted_put_keeps_its_resume_point() {
    let home = Home::new();
    let content = home.file("big", BYTES);
    let server = home.serve();
    let relay = Relay::new(server.address, HALF);
    let put = home.start(&["put", "--json", "big", &relay.place("big")]);
    relay.wait_until_stopped();
    signal(put.id(), Signal::SIGINT);
    let document = finish(put).expect(130).document();
    assert_eq!(document["error"]["exit_code"], 130);
    assert!(!home.served("big").exists());
    repeat_and_check(&home, &server, &content);
}

#[test]
fn a_server_killed_and_restarted_twice_during_a_put_loses_nothing() {
    let home = Home::new();
    let content = home.file("big", BYTES);
    let third = BYTES as u64 / 3;
    let mut server = home.serve();
    let relay = Relay::new(server.address, third);
    let put = home.start(&["put", "--json", "big", &relay.place("big")]);
    for _ in 0..2 {
        relay.wait_until_stopped();
        server.kill();
        server = home.serve();
        relay.go_on(server.address, third);
    }
    relay.wait_until_stopped();
    relay.go_on(server.address, u64::MAX);
    let document = finish(put).expect(0).document();
    assert!(bytes(&document, "sessions") >= 3, "{document}");
    assert_content(&home.served("big"), &content);
}

#[test]
fn a_server_that_does_not_come_back_is_given_up_after_the_time_that_was_asked_for() {
    let home = Home::new();
    let content = home.file("big", BYTES);
    let server = home.serve();
    let relay = Relay::new(server.address, HALF);
    let place = relay.place("big");
    let put = home.start(&["put", "--json", "--give-up-after", "1", "big", &place]);
    relay.wait_until_stopped();
    server.kill();
    let document = finish(put).expect(3).document();
    assert_eq!(document["error"]["code"], "gave_up");
    assert!(!home.served("big").exists());
    repeat_and_check(&home, &home.serve(), &content);
}

#[test]
fn a_server_that_is_told_to_end_keeps_the_resume_point() {
    let home = Home::new();
    let content = home.file("big", BYTES);
    let server = home.serve();
    let relay = Relay::new(server.address, HALF);
    let put = home.start(&["put", "--json", "big", &relay.place("big")]);
    relay.wait_until_stopped();
    assert_eq!(server.stop(Signal::SIGTERM), Some(0), "ends cleanly");
    signal(put.id(), Signal::SIGKILL);
    finish(put);
    repeat_and_check(&home, &home.serve(), &content);
}

#[test]
fn a_get_killed_at_half_goes_on_when_repeated() {
    let home = Home::new();
    let content = home.file("big", BYTES);
    std::fs::rename(home.path("local/big"), home.served("big")).expect("moved");
    let server = home.serve();
    let relay = Relay::stopping_the_way_back(server.address, HALF);
    let get = home.start(&["get", "--json", &relay.place("big"), "."]);
    relay.wait_until_stopped();
    signal(get.id(), Signal::SIGKILL);
    assert_eq!(finish(get).code, None, "killed");
    assert!(!home.path("local/big").exists());
    let again = home
        .run(&["get", "--json", &server.place("big"), "."])
        .expect(0);
    let document = again.document();
    assert!(
        bytes(&document, "resumed_from_bytes") > HALF / 2,
        "{document}"
    );
    assert_content(&home.path("local/big"), &content);
}
