//! Full disks, failing disks, slow disks, and paths that try to get out.

use std::time::Duration;

use ringway_io::{
    BlockingCall, BufferMut, Descriptor, Directory, Errno, FileKind, Kernel, Op, OpenHow, Payload,
    Residency,
};
use ringway_sim::{DiskCall, DiskConfig, Violation, WorldConfig, pattern_bytes};

use crate::scene::{Scene, filled, numbered};

const CREATE: OpenHow = OpenHow::READ_WRITE_CREATE;

fn read(
    scene: &mut Scene,
    file: &Descriptor,
    offset: u64,
    length: usize,
) -> Result<Vec<u8>, Errno> {
    let op = Op::Read {
        file: file.clone(),
        offset,
        buffer: BufferMut::heap(vec![0; length]),
    };
    let completion = scene.run(0, op);
    completion.result.map(|_| filled(completion))
}

fn blocking(scene: &mut Scene, call: BlockingCall) -> Result<u32, Errno> {
    scene.run(0, Op::Blocking(call)).result
}

#[test]
fn a_full_disk_takes_what_fits_and_then_says_so() {
    let mut scene = Scene::new(1, WorldConfig::default(), 1);
    let disk = scene.world.disk(scene.hosts[0]);
    disk.set_capacity(3 * 4096);
    let file = scene.open(0, "/a", CREATE).expect("made");
    assert_eq!(
        scene.write(0, &file, 100, &numbered(20_000)),
        Ok(3 * 4096 - 100)
    );
    assert_eq!(scene.write(0, &file, 3 * 4096, b"x"), Err(Errno::ENOSPC));
    assert_eq!(scene.write(0, &file, 0, b"in place"), Ok(8));
    let length = 5 * 4096;
    let allocate = BlockingCall::Allocate {
        file: file.clone(),
        length,
    };
    assert_eq!(blocking(&mut scene, allocate), Err(Errno::ENOSPC));
    let truncate = BlockingCall::Truncate {
        file: file.clone(),
        length: 0,
    };
    assert_eq!(blocking(&mut scene, truncate), Ok(0));
    assert_eq!(scene.write(0, &file, 0, &numbered(4096)), Ok(4096));
    drop(file);
    scene.assert_clean();
}

#[test]
fn a_removed_file_gives_its_space_back_when_it_is_closed() {
    let mut scene = Scene::new(1, WorldConfig::default(), 1);
    scene.world.disk(scene.hosts[0]).set_capacity(2 * 4096);
    let file = scene.open(0, "/a", CREATE).expect("made");
    assert_eq!(scene.write(0, &file, 0, &numbered(8192)), Ok(8192));
    let remove = Op::Remove {
        directory: Directory::Ambient,
        path: "/a".into(),
        is_directory: false,
    };
    assert_eq!(scene.run(0, remove).result, Ok(0));
    let other = scene.open(0, "/b", CREATE).expect("made");
    assert_eq!(scene.write(0, &other, 0, b"x"), Err(Errno::ENOSPC));
    assert_eq!(
        read(&mut scene, &file, 0, 8192).as_deref(),
        Ok(&numbered(8192)[..])
    );
    drop(file);
    assert_eq!(scene.write(0, &other, 0, b"x"), Ok(1));
}

#[test]
fn a_failing_device_fails_the_calls_that_were_chosen() {
    let mut scene = Scene::new(1, WorldConfig::default(), 1);
    let disk = scene.world.disk(scene.hosts[0]);
    disk.plant_file("/a", b"abc");
    let file = scene.open(0, "/a", CREATE).expect("there");
    for call in [
        DiskCall::Read,
        DiskCall::Write,
        DiskCall::Sync,
        DiskCall::Open,
    ] {
        disk.fail("/a", call, Errno::EIO);
    }
    assert_eq!(read(&mut scene, &file, 0, 3), Err(Errno::EIO));
    assert_eq!(scene.write(0, &file, 0, b"x"), Err(Errno::EIO));
    assert_eq!(scene.sync(0, &file), Err(Errno::EIO));
    assert_eq!(scene.open(0, "/a", OpenHow::READ).err(), Some(Errno::EIO));
    disk.heal();
    assert_eq!(read(&mut scene, &file, 0, 3).as_deref(), Ok(&b"abc"[..]));
}

#[test]
fn nothing_beneath_a_directory_leads_out_of_it() {
    let mut scene = Scene::new(1, WorldConfig::default(), 1);
    let disk = scene.world.disk(scene.hosts[0]);
    disk.plant_file("/secret", b"s");
    disk.plant_file("/root/in/file", b"f");
    disk.plant_symlink("/root/out", "/secret");
    disk.plant_symlink("/root/up", "..");
    disk.plant_symlink("/root/within", "in/file");
    let root = scene.open(0, "/root", OpenHow::DIRECTORY).expect("there");
    let beneath = Directory::Beneath(root.clone());
    for (path, expected) in [
        ("in/file", None),
        ("in/../in/file", None),
        ("../secret", Some(Errno::EXDEV)),
        ("in/../../secret", Some(Errno::EXDEV)),
        ("/secret", Some(Errno::EXDEV)),
        ("out", Some(Errno::ELOOP)),
        ("up/secret", Some(Errno::ELOOP)),
        ("within", Some(Errno::ELOOP)),
        ("in/none", Some(Errno::ENOENT)),
        ("in/file/x", Some(Errno::ENOTDIR)),
    ] {
        let opened = scene.open_in(0, beneath.clone(), path, OpenHow::READ);
        assert_eq!(opened.err(), expected, "{path}");
    }
    for path in ["in/file", "..", "../secret"] {
        let remove = Op::Remove {
            directory: beneath.clone(),
            path: path.into(),
            is_directory: false,
        };
        assert_eq!(scene.run(0, remove).result, Err(Errno::EINVAL), "{path}");
    }
    // The local user may.
    let opened = scene.open(0, "/root/up/secret", OpenHow::READ);
    assert!(opened.is_ok());
    let stat = Op::Stat {
        directory: beneath,
        path: "out".into(),
    };
    let stat = scene.run(0, stat);
    assert!(matches!(stat.payload, Payload::Stat(stat) if stat.kind == FileKind::Symlink));
}

#[test]
fn names_are_made_renamed_and_removed_as_posix_says() {
    let mut scene = Scene::new(1, WorldConfig::default(), 1);
    let disk = scene.world.disk(scene.hosts[0]);
    disk.plant_file("/d/a", b"a");
    disk.plant_file("/d/b", b"b");
    let rename = |from: &str, to: &str, no_replace| Op::Rename {
        from_directory: Directory::Ambient,
        from: from.into(),
        to_directory: Directory::Ambient,
        to: to.into(),
        no_replace,
    };
    let refused = scene.run(0, rename("/d/a", "/d/b", true)).result;
    assert_eq!(refused, Err(Errno::EEXIST));
    assert_eq!(scene.run(0, rename("/d/a", "/d/b", false)).result, Ok(0));
    assert_eq!(disk.read_file("/d/b").as_deref(), Some(&b"a"[..]));
    assert_eq!(disk.list("/d"), ["b"]);
    let make = |path: &str| Op::MakeDirectory {
        directory: Directory::Ambient,
        path: path.into(),
        mode: 0o700,
    };
    assert_eq!(scene.run(0, make("/d/e")).result, Ok(0));
    assert_eq!(scene.run(0, make("/d/e")).result, Err(Errno::EEXIST));
    assert_eq!(
        scene.run(0, rename("/d", "/d/e/f", false)).result,
        Err(Errno::EINVAL)
    );
    let remove = |is_directory| Op::Remove {
        directory: Directory::Ambient,
        path: "/d".into(),
        is_directory,
    };
    assert_eq!(scene.run(0, remove(false)).result, Err(Errno::EISDIR));
    assert_eq!(scene.run(0, remove(true)).result, Err(Errno(39)));
    let directory = scene.open(0, "/d", OpenHow::DIRECTORY).expect("there");
    let read = BlockingCall::ReadDirectory {
        directory,
        entries_max: 1,
    };
    assert_eq!(blocking(&mut scene, read), Err(Errno(75)));
}

#[test]
fn a_fifo_hangs_whoever_waits_for_its_other_side_and_nobody_else() {
    let mut config = WorldConfig::default();
    config.kernel.workers_max = 1;
    let mut scene = Scene::new(1, config, 1);
    scene.world.disk(scene.hosts[0]).plant_fifo("/fifo");
    scene.world.disk(scene.hosts[0]).plant_file("/a", b"");
    assert!(scene.open(0, "/fifo", OpenHow::READ).is_ok());
    let waiting = OpenHow {
        non_blocking: false,
        ..OpenHow::READ
    };
    let open = Op::Open {
        directory: Directory::Ambient,
        path: "/fifo".into(),
        how: waiting,
    };
    let (hanging, id) = scene.submit(0, open);
    let (blocked, _) = scene.submit(
        0,
        Op::Stat {
            directory: Directory::Ambient,
            path: "/a".into(),
        },
    );
    scene.rest();
    assert!(scene.reaped[0].is_empty(), "the only worker hangs");
    scene.kernels[0].cancel(id);
    assert_eq!(scene.finish(0, hanging)[0].result, Err(Errno::ECANCELED));
    assert_eq!(scene.finish(0, blocked)[0].result, Ok(0));
    scene.assert_clean();
}

#[test]
fn more_worker_ops_than_workers_wait_for_each_other() {
    let mut config = WorldConfig::calm();
    config.kernel.workers_max = 2;
    config.disk.latency_ns = 1_000_000..=1_000_000;
    let mut scene = Scene::new(1, config, 1);
    let file = scene.open(0, "/a", CREATE).expect("made");
    let before = scene.world.now_ns();
    for _ in 0..6 {
        let file = file.clone();
        scene.submit(0, Op::StatDescriptor { file });
    }
    // A read needs no worker and overtakes them.
    let reading = Op::Read {
        file: file.clone(),
        offset: 0,
        buffer: BufferMut::heap(vec![0; 1]),
    };
    let (reading, _) = scene.submit(0, reading);
    scene.finish(0, reading);
    assert_eq!(scene.world.now_ns() - before, 1_000_000);
    scene.rest();
    let took = Duration::from_nanos(scene.world.now_ns() - before);
    assert_eq!(took, Duration::from_millis(3));
    assert_eq!(scene.reaped[0].len(), 6);
}

#[test]
fn a_cold_range_is_absent_until_it_was_read_and_splicing_it_at_once_is_a_violation() {
    let mut config = WorldConfig::calm();
    config.disk = DiskConfig {
        resident_per_mille: 0,
        ..DiskConfig::default()
    };
    let mut scene = Scene::new(1, config, 1);
    let ten_gib = 10 << 30;
    let disk = scene.world.disk(scene.hosts[0]);
    disk.plant_pattern("/big", 5, ten_gib);
    let file = scene.open(0, "/big", OpenHow::READ).expect("planted");
    let offset = ten_gib - 100_000;
    let residency = scene.kernels[0].residency(&file, offset, 4096);
    assert_eq!(residency, Residency::Absent);
    let pipe = scene.kernels[0].acquire_pipe().expect("a pipe");
    let cold = scene.kernels[0].splice_from_file(&file, 0, &pipe, 10);
    assert_eq!(cold, Ok(10));
    assert!(matches!(
        scene.world.violations()[..],
        [Violation::BlockingSplice { offset: 0, .. }]
    ));
    let splice = Op::SpliceFromFile {
        file: file.clone(),
        offset,
        pipe: pipe.write.clone(),
        length: 1 << 20,
    };
    assert_eq!(scene.run(0, splice).result, Ok(100_000));
    let residency = scene.kernels[0].residency(&file, offset, 4096);
    assert_eq!(residency, Residency::Resident);
    let bytes = read(&mut scene, &file, offset, 1000);
    assert_eq!(bytes, Ok(pattern_bytes(5, offset, 1000)));
}

#[test]
fn direct_io_wants_alignment_and_locks_exclude_each_other() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 1);
    let direct = OpenHow {
        direct: true,
        ..CREATE
    };
    let first = scene.open(0, "/a", direct).expect("made");
    assert_eq!(scene.write(0, &first, 0, &numbered(512)), Ok(512));
    assert_eq!(
        scene.write(0, &first, 1, &numbered(512)),
        Err(Errno::EINVAL)
    );
    let second = scene.open(0, "/a", CREATE).expect("there");
    let lock = |file: &Descriptor| BlockingCall::Lock { file: file.clone() };
    assert_eq!(blocking(&mut scene, lock(&first)), Ok(0));
    assert_eq!(blocking(&mut scene, lock(&second)), Err(Errno::EAGAIN));
    drop(first);
    assert_eq!(blocking(&mut scene, lock(&second)), Ok(0));
}
