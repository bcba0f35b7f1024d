//! Paths: what may be reached beneath a directory, and what must never hang.

mod rig;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rig::{Rig, descriptor, expect_error};
use ringway_io::{
    BufferMut, BufferRef, Completion, Descriptor, Directory, Errno, FileKind, FileStat, Kernel, Op,
    OpenHow, Payload,
};

struct Tree {
    _folder: tempfile::TempDir,
    root: PathBuf,
    outside: PathBuf,
}

/// `root/{file, sub/inner, link → ../outside, sub/up → ..}` and `outside` beside it.
fn tree() -> Tree {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let outside = folder.path().join("outside");
    fs::create_dir_all(root.join("sub")).expect("made");
    fs::write(&outside, b"secret").expect("written");
    fs::write(root.join("file"), b"0123456789").expect("written");
    fs::write(root.join("sub/inner"), b"inner").expect("written");
    symlink("../outside", root.join("link")).expect("linked");
    symlink("file", root.join("inside-link")).expect("linked");
    symlink("..", root.join("sub/up")).expect("linked");
    Tree {
        _folder: folder,
        root,
        outside,
    }
}

fn beneath(rig: &mut Rig, path: &Path) -> Directory {
    let completion = rig.run(Op::Open {
        directory: Directory::Ambient,
        path: path.into(),
        how: OpenHow::DIRECTORY,
    });
    Directory::Beneath(descriptor(completion))
}

fn open(rig: &mut Rig, directory: &Directory, path: &str, how: OpenHow) -> Completion {
    rig.run(Op::Open {
        directory: directory.clone(),
        path: path.into(),
        how,
    })
}

fn stat(rig: &mut Rig, directory: &Directory, path: &str) -> Result<FileStat, Errno> {
    let completion = rig.run(Op::Stat {
        directory: directory.clone(),
        path: path.into(),
    });
    match completion.payload {
        Payload::Stat(stat) => {
            assert!(completion.result.is_ok());
            Ok(stat)
        }
        _ => Err(completion.result.expect_err("a stat or an error")),
    }
}

#[test]
fn nothing_outside_can_be_opened_or_told_about() {
    let mut rig = Rig::new();
    let tree = tree();
    let root = beneath(&mut rig, &tree.root);
    let absolute = tree.outside.to_str().expect("text").to_string();
    for (path, errno) in [
        ("../outside", Errno::EXDEV),
        ("sub/../../outside", Errno::EXDEV),
        (absolute.as_str(), Errno::EXDEV),
        ("link", Errno::ELOOP),
        ("sub/up/file", Errno::ELOOP),
        ("inside-link", Errno::ELOOP),
        ("missing", Errno::ENOENT),
        ("missing/file", Errno::ENOENT),
        ("file/x", Errno::ENOTDIR),
    ] {
        let completion = open(&mut rig, &root, path, OpenHow::READ);
        expect_error(&completion, errno);
    }
    for path in ["../outside", absolute.as_str(), "sub/up/file", ".."] {
        assert!(stat(&mut rig, &root, path).is_err(), "{path}");
    }
    let create = OpenHow::READ_WRITE_CREATE;
    let completion = open(&mut rig, &root, "../made", create);
    expect_error(&completion, Errno::EXDEV);
    assert!(!tree.outside.with_file_name("made").exists());
    rig.finish();
}

#[test]
fn what_lies_beneath_is_told_and_opened() {
    let mut rig = Rig::new();
    let tree = tree();
    let root = beneath(&mut rig, &tree.root);
    let found = stat(&mut rig, &root, "file").expect("there");
    let expected = fs::metadata(tree.root.join("file")).expect("there");
    assert_eq!((found.kind, found.size), (FileKind::Regular, 10));
    assert_eq!(
        (found.inode, found.device),
        (expected.ino(), expected.dev())
    );
    assert_eq!(found.mode, expected.permissions().mode() & 0o7777);
    let modified = i128::from(expected.mtime()) * 1_000_000_000 + i128::from(expected.mtime_nsec());
    assert_eq!(found.modified_ns, modified);
    // Two components go through an open of their own.
    assert_eq!(stat(&mut rig, &root, "sub/inner").expect("there").size, 5);
    let link = stat(&mut rig, &root, "link").expect("there");
    assert_eq!(link.kind, FileKind::Symlink);
    let link = stat(&mut rig, &root, "sub/up").expect("there");
    assert_eq!(link.kind, FileKind::Symlink);
    for itself in ["", "."] {
        let found = stat(&mut rig, &root, itself).expect("there");
        assert_eq!(found.kind, FileKind::Directory);
        assert_eq!(found.inode, fs::metadata(&tree.root).expect("there").ino());
    }
    let file = descriptor(open(&mut rig, &root, "sub/inner", OpenHow::READ));
    let told = rig.run(Op::StatDescriptor { file: file.clone() });
    assert!(matches!(told.payload, Payload::Stat(stat) if stat.size == 5));
    let read = rig.run(Op::Read {
        file,
        offset: 1,
        buffer: BufferMut::heap(vec![0; 16]),
    });
    assert_eq!(read.result, Ok(4));
    assert_eq!(&rig::buffer(read).as_slice()[..4], b"nner");
    let place = OpenHow {
        read: false,
        ..OpenHow::READ
    };
    let place = descriptor(open(&mut rig, &root, "sub", place));
    let inner = Directory::Beneath(place);
    assert_eq!(stat(&mut rig, &inner, "inner").expect("there").size, 5);
    rig.finish();
}

#[test]
fn a_cancelled_two_step_stat_still_completes() {
    let mut rig = Rig::new();
    let tree = tree();
    let root = beneath(&mut rig, &tree.root);
    for _ in 0..200 {
        let ops: Vec<_> = (0..4)
            .map(|_| {
                rig.submit(Op::Stat {
                    directory: root.clone(),
                    path: "sub/inner".into(),
                })
            })
            .collect();
        rig.turn(ringway_io::Wait::No);
        rig.kernel.cancel(ops[0]);
        rig.kernel.orphan(ops[1]);
        if let Directory::Beneath(descriptor) = &root {
            rig.kernel.cancel_all_on(descriptor);
        }
        for op in [ops[0], ops[2], ops[3]] {
            let completion = rig.next_of(op);
            let is_told = matches!(completion.payload, Payload::Stat(_));
            assert!(is_told || completion.result == Err(Errno::ECANCELED));
        }
    }
    rig.turn_until("the orphans' ends", |rig| rig.kernel.in_flight() == 0);
    rig.finish();
}

#[test]
fn a_fifo_never_hangs() {
    let mut rig = Rig::new();
    let folder = tempfile::tempdir().expect("a folder");
    let mode = nix::sys::stat::Mode::S_IRWXU;
    nix::unistd::mkfifo(&folder.path().join("fifo"), mode).expect("made");
    let root = beneath(&mut rig, folder.path());
    let fifo = descriptor(open(&mut rig, &root, "fifo", OpenHow::READ));
    let told = rig.run(Op::StatDescriptor { file: fifo });
    assert!(matches!(told.payload, Payload::Stat(stat) if stat.kind == FileKind::Special));
    let write = OpenHow {
        read: false,
        write: true,
        ..OpenHow::READ
    };
    let refused = open(&mut rig, &root, "fifo", write);
    expect_error(&refused, Errno(libc::ENXIO));
    rig.finish();
}

#[test]
fn the_flags_of_an_open_do_what_they_say() {
    let mut rig = Rig::new();
    let tree = tree();
    let root = beneath(&mut rig, &tree.root);
    let create = OpenHow {
        create_mode: Some(0o640),
        exclusive: true,
        ..OpenHow::READ_WRITE_CREATE
    };
    let made = descriptor(open(&mut rig, &root, "made", create));
    let mode = fs::metadata(tree.root.join("made")).expect("made").mode();
    assert_eq!((mode & 0o7777 & !0o640, mode & 0o600), (0, 0o600));
    expect_error(&open(&mut rig, &root, "made", create), Errno::EEXIST);
    let written = rig.run(Op::Write {
        file: made.clone(),
        offset: 3,
        buffer: BufferRef::Bytes("abc".into()),
    });
    assert_eq!(written.result, Ok(3));
    for data_only in [true, false] {
        let file = made.clone();
        assert_eq!(rig.run(Op::Sync { file, data_only }).result, Ok(0));
    }
    assert_eq!(
        fs::read(tree.root.join("made")).expect("there"),
        b"\0\0\0abc"
    );
    let truncate = OpenHow {
        truncate: true,
        create_mode: None,
        ..OpenHow::READ_WRITE_CREATE
    };
    assert!(open(&mut rig, &root, "made", truncate).result.is_ok());
    assert_eq!(fs::read(tree.root.join("made")).expect("there"), b"");
    let directory = open(&mut rig, &root, "file", OpenHow::DIRECTORY);
    expect_error(&directory, Errno::ENOTDIR);
    let write_to_directory = open(&mut rig, &root, "sub", OpenHow::READ_WRITE_CREATE);
    expect_error(&write_to_directory, Errno::EISDIR);
    let no_follow = OpenHow {
        no_follow: true,
        ..OpenHow::READ
    };
    let path = tree.root.join("inside-link");
    let path = path.to_str().expect("text");
    expect_error(
        &open(&mut rig, &Directory::Ambient, path, no_follow),
        Errno::ELOOP,
    );
    assert!(
        open(&mut rig, &Directory::Ambient, path, OpenHow::READ)
            .result
            .is_ok()
    );
    let with_nul = open(&mut rig, &root, "a\0b", OpenHow::READ);
    expect_error(&with_nul, Errno::EINVAL);
    let read_only = descriptor(open(&mut rig, &root, "file", OpenHow::READ));
    let refused = rig.run(Op::Write {
        file: read_only.clone(),
        offset: 0,
        buffer: BufferRef::Bytes("x".into()),
    });
    expect_error(&refused, Errno::EBADF);
    let flags = nix::fcntl::fcntl(read_only.os().expect("real"), nix::fcntl::FcntlArg::F_GETFL);
    let non_blocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
    assert_eq!(flags.expect("open") & non_blocking, 0, "only for opening");
    rig.finish();
}

#[test]
fn a_direct_file_is_read_into_a_lease() {
    let mut rig = Rig::new();
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder on a disk");
    fs::write(folder.path().join("file"), rig::pattern(1 << 20)).expect("written");
    let root = beneath(&mut rig, folder.path());
    let direct = OpenHow {
        direct: true,
        ..OpenHow::READ
    };
    let completion = open(&mut rig, &root, "file", direct);
    if completion.result == Err(Errno::EINVAL) {
        return rig::skip("a_direct_file", "this file system has no O_DIRECT");
    }
    let file = descriptor(completion);
    let lease = rig.kernel.lease(1 << 20).expect("free");
    let read = rig.run(Op::Read {
        file,
        offset: 0,
        buffer: BufferMut::lease(lease, 1 << 20),
    });
    assert_eq!(read.result, Ok(1 << 20));
    assert!(rig::buffer(read).as_slice() == rig::pattern(1 << 20));
    rig.finish();
}

fn rename(
    rig: &mut Rig,
    directory: &Directory,
    from: &str,
    to: &str,
    no_replace: bool,
) -> Completion {
    rig.run(Op::Rename {
        from_directory: directory.clone(),
        from: from.into(),
        to_directory: directory.clone(),
        to: to.into(),
        no_replace,
    })
}

#[test]
fn names_change_within_their_directory_only() {
    let mut rig = Rig::new();
    let tree = tree();
    let root = beneath(&mut rig, &tree.root);
    let sub = beneath(&mut rig, &tree.root.join("sub"));
    assert!(
        rename(&mut rig, &root, "file", "renamed", true)
            .result
            .is_ok()
    );
    fs::write(tree.root.join("other"), b"other").expect("written");
    let kept = rename(&mut rig, &root, "renamed", "other", true);
    expect_error(&kept, Errno::EEXIST);
    assert!(
        rename(&mut rig, &root, "renamed", "other", false)
            .result
            .is_ok()
    );
    assert_eq!(
        fs::read(tree.root.join("other")).expect("there"),
        b"0123456789"
    );
    let across = rig.run(Op::Rename {
        from_directory: root.clone(),
        from: "other".into(),
        to_directory: sub,
        to: "moved".into(),
        no_replace: true,
    });
    assert!(across.result.is_ok() && tree.root.join("sub/moved").exists());
    for (from, to) in [
        ("../outside", "stolen"),
        ("sub/inner", "x"),
        ("link", "../y"),
    ] {
        let refused = rename(&mut rig, &root, from, to, false);
        expect_error(&refused, Errno::EINVAL);
    }
    assert_eq!(fs::read(&tree.outside).expect("there"), b"secret");
    rig.finish();
}

#[test]
fn names_are_made_and_removed_within_their_directory_only() {
    let mut rig = Rig::new();
    let tree = tree();
    let root = beneath(&mut rig, &tree.root);
    let remove = |path: &str, is_directory| Op::Remove {
        directory: root.clone(),
        path: path.into(),
        is_directory,
    };
    let make = |path: &str| Op::MakeDirectory {
        directory: root.clone(),
        path: path.into(),
        mode: 0o700,
    };
    assert_eq!(rig.run(make("made")).result, Ok(0));
    expect_error(&rig.run(make("made")), Errno::EEXIST);
    let mode = fs::metadata(tree.root.join("made")).expect("made").mode();
    assert_eq!(mode & 0o7777, 0o700);
    expect_error(&rig.run(remove("made", false)), Errno::EISDIR);
    assert_eq!(rig.run(remove("made", true)).result, Ok(0));
    assert!(rig.run(remove("sub", true)).result.is_err(), "not empty");
    expect_error(&rig.run(remove("file", true)), Errno::ENOTDIR);
    assert_eq!(rig.run(remove("link", false)).result, Ok(0));
    assert!(
        tree.outside.exists(),
        "the link went, not what it pointed to"
    );
    for path in ["../outside", "sub/inner", "..", ".", ""] {
        expect_error(&rig.run(remove(path, false)), Errno::EINVAL);
        expect_error(&rig.run(make(path)), Errno::EINVAL);
    }
    let anywhere = Op::Remove {
        directory: Directory::Ambient,
        path: tree.outside.clone(),
        is_directory: false,
    };
    assert_eq!(rig.run(anywhere).result, Ok(0));
    rig.finish();
}

#[test]
fn a_simulated_descriptor_is_a_bad_one_here() {
    struct Nobody;
    impl ringway_io::CloseSimulated for Nobody {
        fn close(&self, _: u64) {}
    }
    let mut rig = Rig::new();
    let fake = Descriptor::simulated(3, std::sync::Arc::new(Nobody));
    let told = rig.run(Op::StatDescriptor { file: fake.clone() });
    expect_error(&told, Errno::EBADF);
    let directory = Directory::Beneath(fake.clone());
    let opened = open(&mut rig, &directory, "x", OpenHow::READ);
    expect_error(&opened, Errno::EBADF);
    let received = rig.run(Op::ReceiveMultishot {
        socket: fake.clone(),
    });
    expect_error(&received, Errno::EBADF);
    assert_eq!(rig.kernel.send_now(&fake, b"x", false), Err(Errno::EBADF));
    rig.kernel.reset(&fake);
    rig.kernel.cancel_all_on(&fake);
    rig.finish();
}
