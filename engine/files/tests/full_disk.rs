//! A disk that is full: said by name, at once, with what arrived kept.

mod world;

use std::fs;
use std::path::Path;
use std::process::Command;

use ringway_files::{Fault, GetOptions, PutOptions, Silent};
use world::{LoneEngine, MIB, ServerProcess, client, noise, skip, wait, write};

#[test]
fn a_server_process() {
    world::serve_if_asked();
}

/// A server whose root is a file system of 8 MiB, in a mount namespace of its own.
fn small_server(root: &Path) -> Option<ServerProcess> {
    let usable = Command::new("unshare").args(["-rm", "true"]).status();
    if !usable.is_ok_and(|status| status.success()) {
        return None;
    }
    let binary = std::env::current_exe().expect("this binary");
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c"]);
    command.arg("mount -t tmpfs -o size=8m tmpfs \"$1\" && shift && exec \"$@\"");
    command.arg("sh").arg(root).arg(binary);
    Some(ServerProcess::spawn(command, root, "127.0.0.1:0"))
}

#[test]
fn a_full_disk_stops_the_sender_and_smaller_files_still_fit() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let root = home.path().join("root");
    fs::create_dir(&root).expect("the root");
    let Some(server) = small_server(&root) else {
        return skip("a_full_disk", "a mount namespace needs root here");
    };
    let engine = LoneEngine::start();
    let client = client(&engine, &server.address);
    let put = |name: &str, size: u64| {
        let path = home.path().join(name);
        write(&path, &noise(1, size));
        wait(
            &engine,
            client.put(&[path], name, PutOptions::default(), Silent::observer()),
        )
    };
    let error = put("large", 64 * MIB).expect_err("it does not fit");
    assert_eq!(error.fault(), Some(&Fault::NoSpace), "{error}");
    assert_eq!(error.class().exit_code(), 6);
    assert!(error.to_string().contains("large"), "{error}");
    // B3: a gibibyte is on its way when the other side fails; its cause arrives.
    let paths = [home.path().join("larger")];
    let file = fs::File::create(&paths[0]).expect("created");
    file.set_len(1 << 30).expect("it takes no space");
    let options = PutOptions::default();
    let larger = client.put(&paths, "larger", options, Silent::observer());
    let error = wait(&engine, larger).expect_err("it does not fit");
    assert_eq!(error.fault(), Some(&Fault::NoSpace), "{error}");
    put("fits", 2 * MIB).expect("the space was given back");
    for index in 0..20 {
        if let Err(error) = put(&format!("small{index}"), MIB - 1) {
            assert_eq!(error.fault(), Some(&Fault::NoSpace), "{error}");
            let names = client.list("", ringway_files::ListOptions::default());
            let names = wait(&engine, names).expect("a listing").entries.len();
            assert!(names > 2 && names < 10, "{names} files");
            return;
        }
    }
    panic!("8 MiB took more than 20 MiB");
}

#[test]
fn a_full_disk_here_ends_a_get() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (root, small) = (home.path().join("root"), home.path().join("small"));
    fs::create_dir(&root).expect("the root");
    fs::create_dir(&small).expect("the mount point");
    write(&root.join("large"), &noise(1, 64 * MIB));
    // Only whoever may mount can have a small file system in this process.
    let options = ["-t", "tmpfs", "-o", "size=8m", "tmpfs"];
    let mounted = Command::new("mount").args(options).arg(&small).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return skip("a_full_disk_here", "mount(8) needs root");
    }
    let server = ServerProcess::start(&root, "127.0.0.1:0");
    let engine = LoneEngine::start();
    let client = client(&engine, &server.address);
    let get = client.get(
        &["large"],
        &small,
        GetOptions::default(),
        Silent::observer(),
    );
    let outcome = wait(&engine, get);
    let unmounted = Command::new("umount").arg("-l").arg(&small).status();
    let error = outcome.expect_err("it does not fit");
    assert_eq!(error.fault(), Some(&Fault::NoSpace), "{error}");
    assert!(unmounted.is_ok_and(|status| status.success()));
}
