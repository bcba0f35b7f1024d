//! What must not happen is refused, by name, and nothing hangs.

mod world;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;

use ringway::{ConnectOptions, Status, StreamOptions, block_on};
use ringway_files::{
    Fault, FilesError, GetOptions, ListOptions, PutOptions, Side, SkipReason, UsageError,
};
use serde::Serialize;
use world::{
    LoneEngine, MIB, Trigger, World, address, fault, leftovers, noise, snapshot, wait, write,
};

#[test]
fn links_and_special_files_are_skipped_and_reported_and_a_fifo_does_not_hang() {
    let world = World::new();
    for side in [world.local("tree"), world.root("tree")] {
        fs::create_dir(&side).expect("a directory");
        write(&side.join("file"), b"file");
        symlink("file", side.join("link")).expect("a link");
        symlink("/etc", side.join("out")).expect("a link");
        let made = Command::new("mkfifo")
            .arg(side.join("fifo"))
            .status()
            .expect("mkfifo");
        assert!(made.success());
    }
    let sources = [world.local("tree")];
    let options = PutOptions {
        recursive: true,
        ..PutOptions::default()
    };
    let watch = Trigger::after(u64::MAX, || ());
    let put = world.client.put(&sources, "copy", options, watch.clone());
    let report = wait(&world.engine, put).expect("put");
    let got = world.get(&["tree"], "back").expect("get");
    for skipped in [&report.skipped, &got.skipped] {
        let mut reasons: Vec<_> = skipped.iter().map(|skipped| skipped.reason).collect();
        reasons.sort_by_key(|reason| reason.name());
        assert_eq!(
            reasons,
            [
                SkipReason::Special,
                SkipReason::Symlink,
                SkipReason::Symlink
            ]
        );
    }
    assert_eq!(watch.skipped.lock().expect("not poisoned").len(), 3);
    assert_eq!(snapshot(&world.root("copy")).len(), 1);
    assert_eq!(snapshot(&world.local("back")).len(), 1);
    let alone = world.put(&["tree/fifo"], "x").expect("nothing to do");
    assert_eq!((alone.files.len(), alone.skipped.len()), (0, 1));
}

#[test]
fn no_path_leads_out_of_the_root() {
    let world = World::new();
    write(&world.local("f"), b"f");
    write(&world.home.path().join("secret"), b"secret");
    symlink("..", world.root("up")).expect("a link");
    symlink("../secret", world.root("door")).expect("a link");
    symlink("/", world.root("slash")).expect("a link");
    for path in [
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "..",
        "a\0b",
        "a//b",
    ] {
        let put = world.put(&["f"], path).expect_err(path);
        assert!(
            matches!(put, FilesError::Usage(UsageError::Path(_))),
            "{path:?}: {put}"
        );
        assert!(world.get(&[path], "got").is_err(), "{path:?}");
    }
    for path in ["up/secret", "door", "slash/etc/passwd"] {
        let error = world.put(&["f"], path).expect_err(path);
        assert_eq!(error.fault(), Some(&Fault::NotRegular), "{path}: {error}");
        let got = world.get(&[path], "got");
        assert!(got.map_or(true, |report| report.files.is_empty()), "{path}");
        let options = ListOptions {
            recursive: true,
            ..ListOptions::default()
        };
        let listed = wait(&world.engine, world.client.list(path, options));
        assert!(
            listed.map_or(true, |listing| listing.entries.is_empty()),
            "{path}"
        );
    }
    assert_eq!(
        fs::read(world.home.path().join("secret")).expect("there"),
        b"secret"
    );
    assert!(!world.local("got").exists());
}

/// What a hostile client could send, past our own checks.
#[derive(Serialize)]
struct Envelope<R> {
    version: u32,
    request: R,
}

#[derive(Serialize)]
enum Raw {
    Look { path: bytes::Bytes },
    Delete { path: bytes::Bytes },
}

#[test]
fn hostile_records_get_a_typed_refusal_and_the_session_lives() {
    let world = World::new();
    let raw = |path: &'static [u8]| Raw::Look {
        path: bytes::Bytes::from_static(path),
    };
    let path = bytes::Bytes::from_static(b"x");
    let records = [
        rmp_serde::to_vec_named(&Envelope {
            version: 1,
            request: raw(b"../secret"),
        }),
        rmp_serde::to_vec_named(&Envelope {
            version: 1,
            request: raw(b"/etc"),
        }),
        rmp_serde::to_vec_named(&Envelope {
            version: 1,
            request: raw(b"a//b"),
        }),
        rmp_serde::to_vec_named(&Envelope {
            version: 7,
            request: raw(b"a"),
        }),
        rmp_serde::to_vec_named(&Envelope {
            version: 1,
            request: Raw::Delete { path },
        }),
        Ok(b"no record at all".to_vec()),
        Ok(Vec::new()),
    ];
    let address = address(&world.listener);
    let session = world.engine.connect(&address, ConnectOptions::insecure());
    let session = wait(&world.engine, session).expect("a session");
    for record in records {
        let record = record.expect("encodes");
        let reply = wait(&world.engine, async {
            let stream = session.open(StreamOptions::default()).await?;
            stream.send_record(record).await?;
            stream.finish(Status::ok()).await?;
            stream.receive_record(1 << 20).await
        });
        let reply = reply.expect("answered").expect("a reply");
        let text = String::from_utf8_lossy(&reply).into_owned();
        assert!(text.contains("Failed"), "{text}");
        assert!(
            text.contains("BadRequest") || text.contains("Version"),
            "{text}"
        );
    }
    session.close(Status::ok());
    write(&world.local("f"), b"f");
    world.put(&["f"], "f").expect("others are not concerned");
}

#[test]
fn our_own_names_are_nobodys_target() {
    let world = World::new();
    write(&world.local("f"), b"f");
    for name in [
        ".x.ringway-partial",
        ".x.ringway-sidecar",
        ".x.ringway-sidecar-new",
    ] {
        assert_eq!(fault(world.put(&["f"], name)), Fault::Reserved);
        write(&world.local(name), b"of a get that was interrupted");
        let report = world.put(&[name], "y").expect("nothing to do");
        assert_eq!(report.skipped[0].reason, SkipReason::Reserved);
    }
}

#[test]
fn missing_things_and_wrong_kinds_are_named() {
    let world = World::new();
    write(&world.local("small"), b"f");
    write(&world.local("large"), &noise(1, 2 * MIB));
    fs::create_dir(world.root("directory")).expect("a directory");
    fs::create_dir(world.root("directory/large")).expect("a directory");
    fs::create_dir(world.root("directory/small")).expect("a directory");
    write(&world.root("file"), b"file");
    for source in ["small", "large"] {
        assert_eq!(fault(world.put(&[source], "directory")), Fault::IsDirectory);
        assert_eq!(fault(world.put(&[source], "missing/f")), Fault::NotFound);
        assert_eq!(fault(world.put(&[source], "file/f")), Fault::NotDirectory);
    }
    let error = world.put(&["missing"], "x").expect_err("no source");
    assert!(
        matches!(
            error,
            FilesError::File {
                side: Side::Local,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("missing"), "{error}");
    let error = world.get(&["missing"], "x").expect_err("no source");
    assert!(
        matches!(
            error,
            FilesError::File {
                side: Side::Remote,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.class().exit_code(), 6);
    let error = world.get(&["file"], "no/such/place").expect_err("no place");
    assert!(
        matches!(
            error,
            FilesError::File {
                side: Side::Local,
                ..
            }
        ),
        "{error}"
    );
    assert!(leftovers(world.home.path()).is_empty());
}

#[test]
fn a_read_only_server_is_read_and_never_written() {
    let world = World::with(|options| options.read_only = true);
    write(&world.local("f"), b"f");
    write(&world.root("g"), b"g");
    fs::create_dir(world.local("d")).expect("a directory");
    assert_eq!(fault(world.put(&["f"], "f")), Fault::ReadOnly);
    assert_eq!(fault(world.put(&["d"], "d")), Fault::ReadOnly);
    world.get(&["g"], "g").expect("it can be read");
    assert_eq!(snapshot(&world.root("")).len(), 1);
}

#[test]
fn a_root_that_is_removed_while_served_is_said_to_be_gone() {
    let world = World::new();
    write(&world.local("small"), b"f");
    write(&world.local("large"), &noise(1, 2 * MIB));
    world.put(&["small"], "before").expect("still there");
    fs::remove_dir_all(world.root("")).expect("removed");
    for source in ["small", "large"] {
        assert_eq!(fault(world.put(&[source], "f")), Fault::RootGone);
    }
    assert_eq!(fault(world.get(&["before"], "x")), Fault::RootGone);
    let listing = wait(&world.engine, world.client.list("", ListOptions::default()));
    assert_eq!(listing.expect_err("gone").fault(), Some(&Fault::RootGone));
    fs::create_dir(world.root("")).expect("another one");
    assert_eq!(fault(world.put(&["small"], "f")), Fault::RootGone);
}

#[test]
fn one_bad_file_of_many_leaves_the_others_alone() {
    let world = World::new();
    fs::create_dir_all(world.local("tree")).expect("a directory");
    fs::create_dir_all(world.root("tree/2")).expect("in the way");
    for index in 0..5 {
        write(&world.local(format!("tree/{index}")), b"content");
    }
    let error = world.put(&["tree"], "").expect_err("one cannot be placed");
    let FilesError::Incomplete { report } = &error else {
        panic!("not incomplete: {error}");
    };
    assert_eq!((report.files.len(), report.failed.len()), (4, 1));
    assert!(report.failed[0].path.ends_with("tree/2"));
    assert_eq!(error.class().exit_code(), 6);
    assert!(error.to_string().contains("1 of 5"), "{error}");
}

#[test]
fn limits_are_refused_with_both_numbers() {
    let world = World::with(|options| options.entries_per_directory_max = 3);
    for index in 0..5 {
        write(&world.root(index.to_string()), b"");
    }
    let error = wait(&world.engine, world.client.list("", ListOptions::default()));
    let error = error.expect_err("too many");
    assert_eq!(error.class().exit_code(), 9);
    assert!(error.to_string().contains('3'), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_a_matter_of_the_connection() {
    let engine = LoneEngine::start();
    let connect = ConnectOptions {
        connect_timeout: std::time::Duration::from_millis(200),
        ..ConnectOptions::insecure()
    };
    let client = ringway_files::Client::new(
        &engine,
        "127.0.0.1:1",
        connect,
        ringway_files::ClientOptions::default(),
    );
    let observer: Arc<dyn ringway_files::Observer> = ringway_files::Silent::observer();
    let got = client.get(&["f"], "/nowhere", GetOptions::default(), observer);
    let error = wait(&engine, got).expect_err("nobody answers");
    assert_eq!(error.class().exit_code(), 3, "{error}");
    block_on(engine.shutdown(std::time::Duration::from_secs(1)));
}
