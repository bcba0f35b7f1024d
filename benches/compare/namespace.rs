//! A network of our own, where every socket uses the same congestion control: nginx and curl have
//! no option for it.

use std::fs;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use ringway_benches::job::CONGESTION_CONTROL;

const SETTING: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// Which congestion control sockets have that do not choose.
pub fn congestion_control() -> String {
    fs::read_to_string(SETTING)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Moves this process, which must have one thread only, into a network of its own if the present
/// one has another congestion control. Says what is so when that fails.
pub fn enter() -> Result<(), String> {
    if congestion_control() == CONGESTION_CONTROL {
        return Ok(());
    }
    let warn = |what: &str, why: &dyn std::fmt::Display| {
        let now = congestion_control();
        format!("{what}: {why}; peers that cannot choose use {now}")
    };
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| warn("no network of our own", &errno))?;
    let mut up = Command::new("ip");
    up.args(["link", "set", "lo", "up"]).stdin(Stdio::null());
    let status = up.status().map_err(|error| warn("ip", &error))?;
    if !status.success() {
        return Err(warn("ip link set lo up", &status));
    }
    if fs::write(SETTING, CONGESTION_CONTROL).is_ok() {
        return Ok(());
    }
    // Where it is restricted to the first namespace (tcp_allowed_congestion_control) a route can
    // still ask for it.
    let mut route = Command::new("ip");
    route.args([
        "route",
        "replace",
        "table",
        "local",
        "local",
        "127.0.0.1",
        "dev",
        "lo",
    ]);
    route.args(["src", "127.0.0.1", "congctl", CONGESTION_CONTROL]);
    let status = route.stdin(Stdio::null()).status();
    match status.map_err(|error| warn("ip", &error))? {
        status if status.success() => Ok(()),
        status => Err(warn("ip route replace", &status)),
    }
}
