//! What survives: a killed process keeps what it wrote, a crashed machine what it synced.

use ringway_io::{Directory, Errno, Op, OpenHow};
use ringway_sim::WorldConfig;

use crate::scene::{Scene, numbered};

/// Writes `/d/a` (content and name synced, then changed) and `/d/b` (content synced only).
fn written() -> Scene {
    let mut scene = Scene::new(1, WorldConfig::default(), 1);
    scene.world.disk(scene.hosts[0]).plant_directory("/d");
    let create = OpenHow::READ_WRITE_CREATE;
    let first = scene.open(0, "/d/a", create).expect("made");
    scene.write(0, &first, 0, &numbered(9000)).expect("written");
    scene.sync(0, &first).expect("synced");
    let directory = scene.open(0, "/d", OpenHow::DIRECTORY).expect("there");
    scene.sync(0, &directory).expect("synced");
    scene.write(0, &first, 5000, &[0; 9000]).expect("written");
    let second = scene.open(0, "/d/b", create).expect("made");
    scene.write(0, &second, 0, b"b").expect("written");
    scene.sync(0, &second).expect("synced");
    scene
}

#[test]
fn a_crash_loses_what_was_not_synced_and_keeps_what_was() {
    let mut scene = written();
    let host = scene.hosts[0];
    scene.world.crash_machine(host);
    let disk = scene.world.disk(host);
    assert_eq!(disk.read_file("/d/a"), Some(numbered(9000)));
    assert_eq!(
        disk.list("/d"),
        ["a"],
        "a name lives only in a synced directory"
    );
    assert_eq!(scene.open_dead(), Err(Errno::EBADF));
    scene.kernels[0] = scene.world.kernel(host);
    assert!(scene.open(0, "/d/a", OpenHow::READ).is_ok());
    scene.assert_clean();
}

#[test]
fn a_killed_process_loses_nothing_it_wrote() {
    let scene = written();
    let host = scene.hosts[0];
    scene.world.kill_process(host);
    let disk = scene.world.disk(host);
    let mut expected = numbered(5000);
    expected.resize(14_000, 0);
    assert_eq!(disk.read_file("/d/a"), Some(expected));
    assert_eq!(disk.list("/d"), ["a", "b"]);
}

#[test]
fn a_rename_that_was_not_synced_is_undone_by_a_crash() {
    let mut scene = Scene::new(1, WorldConfig::default(), 1);
    let disk = scene.world.disk(scene.hosts[0]);
    disk.plant_file("/part", b"new");
    disk.plant_file("/target", b"old");
    let rename = Op::Rename {
        from_directory: Directory::Ambient,
        from: "/part".into(),
        to_directory: Directory::Ambient,
        to: "/target".into(),
        no_replace: false,
    };
    assert_eq!(scene.run(0, rename).result, Ok(0));
    scene.world.crash_machine(scene.hosts[0]);
    assert_eq!(disk.read_file("/target").as_deref(), Some(&b"old"[..]));
    assert_eq!(disk.read_file("/part").as_deref(), Some(&b"new"[..]));
}

impl Scene {
    /// A call of a process that is gone.
    fn open_dead(&mut self) -> Result<(), Errno> {
        use ringway_io::Kernel;
        let address = "127.0.0.1:1".parse().expect("an address");
        self.kernels[0].socket(&address).map(|_| ())
    }
}
