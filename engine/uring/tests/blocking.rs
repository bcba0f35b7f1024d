//! Calls on the helper pool.

mod rig;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use rig::{Rig, config, expect_error};
use ringway_io::{BlockingCall, Completion, Descriptor, Errno, FileKind, Kernel, Op, Payload};
use ringway_uring::UringConfig;

fn call(rig: &mut Rig, call: BlockingCall) -> Completion {
    rig.run(Op::Blocking(call))
}

fn rigs() -> [Rig; 2] {
    let inline = UringConfig {
        helper_threads: 0,
        ..config()
    };
    [Rig::new(), Rig::with(inline)]
}

fn file(rig: &mut Rig, path: &std::path::Path) -> Descriptor {
    let file = fs::File::options().read(true).write(true).open(path);
    rig.adopt(file.expect("opens"))
}

#[test]
fn names_are_resolved_or_not() {
    for mut rig in rigs() {
        for host in ["127.0.0.1", "::1", "localhost"] {
            let completion = call(
                &mut rig,
                BlockingCall::Resolve {
                    host: host.into(),
                    port: 7400,
                },
            );
            let Payload::Addresses(addresses) = completion.payload else {
                panic!("{host}: {:?}", completion.result);
            };
            assert!(!addresses.is_empty());
            assert!(
                addresses
                    .iter()
                    .all(|it| it.port() == 7400 && it.ip().is_loopback())
            );
        }
        let nobody = BlockingCall::Resolve {
            host: "no-such-host.invalid".into(),
            port: 1,
        };
        assert!(call(&mut rig, nobody).result.is_err());
        rig.finish();
    }
}

#[test]
fn a_directory_is_read_again_and_again_and_bounded() {
    for mut rig in rigs() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("file"), b"").expect("written");
        fs::create_dir(folder.path().join("sub")).expect("made");
        symlink("file", folder.path().join("link")).expect("linked");
        let directory = rig.adopt(fs::File::open(folder.path()).expect("opens"));
        let read = |entries_max| BlockingCall::ReadDirectory {
            directory: directory.clone(),
            entries_max,
        };
        for _ in 0..2 {
            let completion = call(&mut rig, read(3));
            let Payload::Entries(entries) = completion.payload else {
                panic!("{:?}", completion.result);
            };
            let found: BTreeMap<_, _> = entries
                .into_iter()
                .map(|entry| (entry.name.into_string().expect("text"), entry.kind))
                .collect();
            assert_eq!(found.len(), 3);
            assert_eq!(found["file"], FileKind::Regular);
            assert_eq!(found["sub"], FileKind::Directory);
            assert_eq!(found["link"], FileKind::Symlink);
        }
        expect_error(&call(&mut rig, read(2)), Errno(75));
        let no_directory = file(&mut rig, &folder.path().join("file"));
        let completion = call(
            &mut rig,
            BlockingCall::ReadDirectory {
                directory: no_directory,
                entries_max: 1,
            },
        );
        expect_error(&completion, Errno::ENOTDIR);
        rig.finish();
    }
}

#[test]
fn a_file_gets_its_size_its_space_and_its_attributes() {
    for mut rig in rigs() {
        let folder = tempfile::tempdir_in("/var/tmp").expect("a folder on a disk");
        let path = folder.path().join("file");
        fs::write(&path, b"0123456789").expect("written");
        let handle = file(&mut rig, &path);
        let meta = || fs::metadata(&path).expect("there");

        let truncate = |length| BlockingCall::Truncate {
            file: handle.clone(),
            length,
        };
        assert_eq!(call(&mut rig, truncate(4)).result, Ok(0));
        assert_eq!(meta().len(), 4);
        expect_error(&call(&mut rig, truncate(u64::MAX)), Errno::EINVAL);

        let allocate = |length| BlockingCall::Allocate {
            file: handle.clone(),
            length,
        };
        let result = call(&mut rig, allocate(1 << 20)).result;
        if result != Err(Errno::EOPNOTSUPP) {
            assert_eq!(result, Ok(0));
            assert_eq!(meta().len(), 4, "the length stays");
            assert!(meta().blocks() * 512 >= 1 << 20);
        }
        expect_error(&call(&mut rig, allocate(u64::MAX)), Errno::EINVAL);

        for modified_ns in [-1_500_000_000_i128, 1_234_567_890_123_456_789] {
            let attributes = BlockingCall::SetAttributes {
                file: handle.clone(),
                mode: Some(0o640),
                modified_ns: Some(modified_ns),
            };
            assert_eq!(call(&mut rig, attributes).result, Ok(0));
            let found =
                i128::from(meta().mtime()) * 1_000_000_000 + i128::from(meta().mtime_nsec());
            assert_eq!((found, meta().mode() & 0o7777), (modified_ns, 0o640));
        }
        let sync = BlockingCall::SyncFileSystem {
            file: handle.clone(),
        };
        assert_eq!(call(&mut rig, sync).result, Ok(0));
        rig.finish();
    }
}

#[test]
fn a_lock_belongs_to_one_open_file() {
    for mut rig in rigs() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        fs::write(&path, b"").expect("written");
        let (one, two) = (file(&mut rig, &path), file(&mut rig, &path));
        let lock = |file: &Descriptor| BlockingCall::Lock { file: file.clone() };
        assert_eq!(call(&mut rig, lock(&one)).result, Ok(0));
        assert_eq!(call(&mut rig, lock(&one)).result, Ok(0));
        expect_error(&call(&mut rig, lock(&two)), Errno::EAGAIN);
        drop(one);
        let freed = |rig: &mut Rig| call(rig, lock(&two)).result == Ok(0);
        rig.turn_until("the lock", freed);
        rig.finish();
    }
}

#[test]
fn more_calls_than_may_wait_are_refused() {
    let mut rig = Rig::with(UringConfig {
        helper_threads: 1,
        helper_queue_max: 1,
        ..config()
    });
    let ops: Vec<_> = (0..200)
        .map(|_| {
            let directory = fs::File::open("/proc/self/fd").expect("opens");
            rig.submit(Op::Blocking(BlockingCall::ReadDirectory {
                directory: Descriptor::from_os(directory.into()),
                entries_max: 100_000,
            }))
        })
        .collect();
    let mut refused = 0;
    for op in ops {
        match rig.next_of(op).result {
            Ok(_) => {}
            Err(errno) => {
                assert_eq!(errno, Errno::ENOBUFS);
                refused += 1;
            }
        }
    }
    assert!((1..200).contains(&refused), "{refused} of 200");
    assert_eq!(rig.kernel.in_flight(), 0);
    rig.finish();
}
