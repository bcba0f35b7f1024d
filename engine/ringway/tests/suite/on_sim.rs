//! The simulated kernel: three engines on two hosts, in virtual time, over a few seeds.

use std::cell::RefCell;
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use ringway::{ConnectOptions, Engine, Errno, Keys, ListenOptions};
use ringway_sim::{
    ConnectionId, CutKind, DiskCall, FaultConfig, HostId, LinkConfig, World, WorldConfig,
};

use crate::scene::{Scene, TARGET, key};
use crate::seeds::for_seeds;
use crate::stage::{End, Ground, Setup, Stage};

/// Seeds of every day; `RINGWAY_SEEDS` asks for more.
const SEEDS: u64 = 4;

/// Virtual time that a scenario may take.
const AT_MOST: Duration = Duration::from_secs(1200);

struct Simulated {
    world: World,
    hosts: [HostId; 2],
    muted: RefCell<Vec<ConnectionId>>,
    spare: Engine,
}

impl Simulated {
    fn cut_all(&self, kind: CutKind) {
        for connection in self.world.connections() {
            if connection.is_established {
                self.world.cut(connection.id, kind);
                if kind == CutKind::BlackHole {
                    self.muted.borrow_mut().push(connection.id);
                }
            }
        }
    }

    fn host(&self, end: End) -> HostId {
        self.hosts[usize::from(end == End::Far)]
    }
}

impl Ground for Simulated {
    fn cut(&self) {
        self.cut_all(CutKind::Reset);
    }

    fn mute(&self) {
        self.cut_all(CutKind::BlackHole);
    }

    fn cut_muted(&self) {
        for connection in self.muted.take() {
            self.world.cut(connection, CutKind::Reset);
        }
    }

    fn close(&self) {
        self.world.partition(self.hosts[0], self.hosts[1]);
    }

    fn open(&self) {
        self.world.heal(self.hosts[0], self.hosts[1]);
    }

    fn spare(&self) -> Engine {
        self.spare.clone()
    }

    fn plant(&self, end: End, name: &str, bytes: &[u8]) -> PathBuf {
        let path = format!("/{name}");
        self.world.disk(self.host(end)).plant_file(&path, bytes);
        path.into()
    }

    fn plant_zeros(&self, end: End, name: &str, length: u64) -> PathBuf {
        let path = self.plant(end, name, b"");
        let disk = self.world.disk(self.host(end));
        disk.truncate(&path, length).expect("it is there");
        path
    }

    fn full(&self, end: End, name: &str) -> PathBuf {
        let path = self.plant(end, name, b"");
        let disk = self.world.disk(self.host(end));
        disk.fail(&path, DiskCall::Write, Errno::ENOSPC);
        path
    }
}

/// Runs a scenario with each seed, and ends everything.
pub fn run<F>(setup: &Setup, scenario: impl Fn(Stage) -> F)
where
    F: Future<Output = ()> + 'static,
{
    run_with(setup, FaultConfig::MODERATE, scenario);
}

/// Likewise, in a world where other things go wrong.
pub fn run_with<F>(setup: &Setup, faults: FaultConfig, scenario: impl Fn(Stage) -> F)
where
    F: Future<Output = ()> + 'static,
{
    for_seeds(SEEDS, |seed| {
        let mut scene = scene(seed, setup, faults);
        let (near, far, listener) = scene.connect(TARGET);
        let stage = Stage {
            near_engine: scene.engines[0].clone(),
            far_engine: scene.engines[1].clone(),
            near: near.clone(),
            far: far.clone(),
            listener,
            listen_target: TARGET.into(),
            connect_target: TARGET.into(),
            connect_options: ConnectOptions::keyed(key()),
            listen_options: ListenOptions::keyed(Keys::one(key())),
            ground: Rc::new(Simulated {
                world: scene.world.clone(),
                hosts: [scene.hosts[0], scene.hosts[1]],
                muted: RefCell::default(),
                spare: scene.engines[2].clone(),
            }),
        };
        scene.run(AT_MOST, scenario(stage));
        scene.close(near, far);
        scene.end();
    });
}

/// Two hosts; the third engine shares the second one.
fn scene(seed: u64, setup: &Setup, faults: FaultConfig) -> Scene {
    let mut world = WorldConfig {
        faults,
        ..WorldConfig::default()
    };
    world.link = LinkConfig {
        bandwidth_bytes_per_second: match setup.bandwidth {
            0 => world.link.bandwidth_bytes_per_second,
            bandwidth => bandwidth,
        },
        ..world.link
    };
    if let Some(bytes) = setup.socket_buffer_bytes {
        world.socket.send_buffer_bytes = bytes;
        world.socket.receive_buffer_bytes = bytes;
    }
    let mut scene = Scene::two_hosts(seed, world, &setup.config);
    let far = scene.hosts[1];
    scene.start_engine(far, &setup.config);
    scene
}
