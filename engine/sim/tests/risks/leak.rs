//! What is lent must come back, and a shard that sleeps must be woken.

use ringway_io::{Errno, Kernel, Op, Wait};
use ringway_sim::{Advance, World, WorldConfig};

use crate::scene::{OPTIONS, Scene};

#[test]
fn everything_that_is_out_is_counted_until_it_comes_back() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 1);
    assert!(scene.world.outstanding().is_empty());
    let address = "127.0.0.1:7400".parse().expect("an address");
    let listener = scene.kernels[0].listen(&address, OPTIONS).expect("free");
    let lease = scene.kernels[0].lease(1).expect("free");
    let pipe = scene.kernels[0].acquire_pipe().expect("a pipe");
    let (_, id) = scene.submit(0, Op::Timeout { at_ns: 1 << 60 });
    let out = scene.world.outstanding().kernels[0];
    assert_eq!(
        (out.descriptors, out.leases, out.pipes, out.ops),
        (3, 1, 1, 1)
    );
    scene.kernels[0].orphan(id);
    scene.kernels[0].release_pipe(pipe, true);
    // From any thread, as a chunk in an application's hands does it.
    std::thread::spawn(move || drop((listener, lease)))
        .join()
        .expect("no panic");
    scene.assert_clean();
}

#[test]
fn a_process_has_a_bound_of_descriptors() {
    let mut config = WorldConfig::calm();
    config.kernel.descriptors_max = 3;
    let mut scene = Scene::new(1, config, 1);
    let address = "127.0.0.1:7400".parse().expect("an address");
    let open: Vec<_> = (0..3).map(|_| scene.kernels[0].socket(&address)).collect();
    assert!(open.iter().all(Result::is_ok));
    assert_eq!(scene.kernels[0].socket(&address).err(), Some(Errno::EMFILE));
    drop(open);
    assert!(scene.kernels[0].socket(&address).is_ok());
}

#[test]
fn a_sleeping_shard_is_woken_by_its_time_and_by_its_doorbell() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.add_host("node-1", &[]);
    let mut kernel = world.kernel(host);
    let id = kernel.id();
    assert!(world.has_work(id), "a new shard wants its first turn");
    kernel.enter(Wait::Until(500)).expect("never ends");
    assert!(!world.has_work(id));
    assert_eq!(world.advance(), Advance::To(500));
    assert!(world.has_work(id));
    kernel.enter(Wait::Forever).expect("never ends");
    assert_eq!(world.advance(), Advance::Quiescent);
    kernel.doorbell().ring();
    assert!(world.has_work(id));
    // Rung before the wait begins: the wait ends at once, and the shard is due again.
    kernel.enter(Wait::Forever).expect("never ends");
    assert!(world.has_work(id));
    kernel.enter(Wait::Forever).expect("never ends");
    assert!(!world.has_work(id));
    // A spinning shard does not stop the clock.
    kernel.enter(Wait::No).expect("never ends");
    assert_eq!(world.advance(), Advance::To(1_500));
}

#[test]
fn entropy_differs_between_kernels_and_agrees_between_runs() {
    let draw = || {
        let world = World::new(9, WorldConfig::default());
        let host = world.add_host("node-1", &[]);
        let mut drawn = [[0; 32]; 2];
        world.kernel(host).entropy(&mut drawn[0]);
        world.kernel(host).entropy(&mut drawn[1]);
        drawn
    };
    let drawn = draw();
    assert_ne!(drawn[0], drawn[1]);
    assert_eq!(drawn, draw());
}
