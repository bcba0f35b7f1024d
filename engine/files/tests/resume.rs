//! What has arrived is not sent again, whoever died.

mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringway_files::{Fault, FilesError, GetOptions, PutOptions, Silent};
use world::{
    LoneEngine, MIB, ServerProcess, Trigger, World, abort_when, client, fault, leftovers, noise,
    partial_of, wait, write,
};

const SIZE: u64 = 200 * MIB;

#[test]
fn a_server_process() {
    world::serve_if_asked();
}

/// Puts `f` as `there` and gives up at a quarter.
fn interrupted_put(world: &World) {
    let trigger = Trigger::after(SIZE / 4, || ());
    let sources = [world.local("f")];
    let put = world
        .client
        .put(&sources, "there", PutOptions::default(), trigger.clone());
    assert!(
        abort_when(&world.engine, &trigger, put),
        "too fast to be interrupted"
    );
    assert!(
        !world.root("there").exists(),
        "no partial file is mistaken for a complete one"
    );
    settle(&world.root("there"));
}

/// Waits until the interrupted side has written its resume point.
fn settle(target: &Path) {
    let sidecar = target.with_file_name(".there.ringway-sidecar");
    loop {
        let bytes = fs::read(&sidecar).expect("a sidecar");
        let contiguous = bytes[56..64].try_into().map(u64::from_le_bytes);
        let length = fs::metadata(partial_of(target)).expect("there").len();
        if contiguous.is_ok_and(|offset| offset == length) && length > 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_put_that_was_given_up_goes_on_from_there() {
    let world = World::new();
    write(&world.local("f"), &noise(1, SIZE));
    interrupted_put(&world);
    let report = world.put(&["f"], "there").expect("resumed");
    assert!(
        report.resumed_from_bytes >= SIZE / 8,
        "{}",
        report.resumed_from_bytes
    );
    assert_eq!(report.body_bytes_sent, SIZE - report.resumed_from_bytes);
    assert!(fs::read(world.root("there")).expect("there") == noise(1, SIZE));
    assert!(leftovers(&world.root("")).is_empty());
}

#[test]
fn a_get_that_was_given_up_goes_on_from_there() {
    let world = World::new();
    write(&world.root("f"), &noise(2, SIZE));
    let trigger = Trigger::after(SIZE / 4, || ());
    let to = world.local("here");
    let get = world
        .client
        .get(&["f"], &to, GetOptions::default(), trigger.clone());
    assert!(
        abort_when(&world.engine, &trigger, get),
        "too fast to be interrupted"
    );
    assert!(!to.exists() && partial_of(&to).exists());
    let report = world.get(&["f"], "here").expect("resumed");
    assert!(
        report.resumed_from_bytes >= SIZE / 8,
        "{}",
        report.resumed_from_bytes
    );
    assert_eq!(report.body_bytes_sent, SIZE - report.resumed_from_bytes);
    assert!(fs::read(&to).expect("there") == noise(2, SIZE));
    assert!(leftovers(&world.local("")).is_empty());
}

#[test]
fn a_server_killed_twice_under_a_running_put_loses_nothing() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (root, file) = (home.path().join("root"), home.path().join("f"));
    fs::create_dir(&root).expect("the root");
    write(&file, &noise(3, SIZE));
    let server = Arc::new(Mutex::new(ServerProcess::start(&root, "127.0.0.1:0")));
    let address = server.lock().expect("not poisoned").address.clone();
    let engine = LoneEngine::start();
    let client = client(&engine, &address);
    let kill = {
        let (server, root, address) = (Arc::clone(&server), root.clone(), address.clone());
        move || {
            // Not in the shard's thread: starting a process takes a while.
            let (server, root, address) = (Arc::clone(&server), root.clone(), address.clone());
            std::thread::spawn(move || {
                let mut server = server.lock().expect("not poisoned");
                server.kill();
                *server = ServerProcess::start(&root, &address);
            });
        }
    };
    let second = Trigger::after(SIZE / 4, kill.clone());
    let chain = {
        let second = Arc::clone(&second);
        Chain {
            first: Trigger::after(SIZE / 4, kill),
            second,
        }
    };
    let chain = Arc::new(chain);
    let sources = [file];
    let put = client.put(&sources, "there", PutOptions::default(), chain.clone());
    let report = wait(&engine, put).expect("put");
    assert!(chain.first.is_fired() && second.is_fired());
    assert!(report.sessions >= 2, "{}", report.sessions);
    assert!(fs::read(root.join("there")).expect("there") == noise(3, SIZE));
    let again = report.body_bytes_sent.saturating_sub(SIZE);
    assert!(again < SIZE / 4, "{again} bytes travelled twice");
    assert!(leftovers(&root).is_empty());
}

/// Two triggers, the second beginning when the first has fired.
struct Chain {
    first: Arc<Trigger>,
    second: Arc<Trigger>,
}

impl ringway_files::Observer for Chain {
    fn progress(&self, bytes: u64) {
        match self.first.is_fired() {
            false => self.first.progress(bytes),
            true => self.second.progress(bytes),
        }
    }
}

#[test]
fn a_server_that_is_stopped_keeps_resume_points_and_the_next_one_goes_on() {
    let home = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(home.path().join("root")).expect("the root");
    fs::create_dir(home.path().join("local")).expect("the local directory");
    let world = World::at(home, |_| {});
    write(&world.local("f"), &noise(12, SIZE));
    let (sender, arrived) = std::sync::mpsc::channel();
    let trigger = Trigger::after(SIZE / 8, move || sender.send(()).expect("awaited"));
    let (client, engine) = (world.client.clone(), world.engine.clone());
    let (sources, watch) = ([world.local("f")], Arc::clone(&trigger));
    let put = std::thread::spawn(move || {
        wait(
            &engine,
            client.put(&sources, "there", PutOptions::default(), watch),
        )
    });
    arrived.recv().expect("it makes progress");
    world.listener.close();
    let drained = wait(
        &world.server_engine,
        world.server.drain(Duration::from_millis(1)),
    );
    assert_eq!(drained.interrupted, 1);
    assert!(partial_of(&world.root("there")).exists());
    let next = world.serve_again();
    let report = put
        .join()
        .expect("no panic")
        .expect("it goes on with the next server");
    assert_eq!(report.sessions, 2);
    assert!(
        report.body_bytes_sent < SIZE + SIZE / 4,
        "{}",
        report.body_bytes_sent
    );
    assert!(trigger.reconnects.load(std::sync::atomic::Ordering::SeqCst) >= 1);
    assert!(fs::read(world.root("there")).expect("there") == noise(12, SIZE));
    assert!(leftovers(&world.root("")).is_empty());
    next.close();
}

#[test]
fn a_server_killed_between_two_runs_resumes_by_the_size_of_its_partial_file() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (root, file) = (home.path().join("root"), home.path().join("f"));
    fs::create_dir(&root).expect("the root");
    write(&file, &noise(4, SIZE));
    let mut server = ServerProcess::start(&root, "127.0.0.1:0");
    let engine = LoneEngine::start();
    let trigger = Trigger::after(SIZE / 4, || ());
    let sources: [PathBuf; 1] = [file];
    let first = client(&engine, &server.address);
    let put = first.put(&sources, "there", PutOptions::default(), trigger.clone());
    assert!(
        abort_when(&engine, &trigger, put),
        "too fast to be interrupted"
    );
    server.kill();
    let there = fs::metadata(partial_of(&root.join("there")))
        .expect("a partial file")
        .len();
    assert!(there > 0 && there < SIZE);
    let server = ServerProcess::start(&root, "127.0.0.1:0");
    let second = client(&engine, &server.address);
    let put = second.put(&sources, "there", PutOptions::default(), Silent::observer());
    let report = wait(&engine, put).expect("resumed");
    assert_eq!(report.resumed_from_bytes, there);
    assert_eq!(report.body_bytes_sent, SIZE - there);
    assert!(fs::read(root.join("there")).expect("there") == noise(4, SIZE));
}

/// Tries until the aborted writer has let go of its partial file: it is told after its client is.
fn once_free<T>(run: impl Fn() -> Result<T, FilesError>) -> Result<T, FilesError> {
    for _ in 0..500 {
        match run() {
            Err(error) if error.fault() == Some(&Fault::Busy) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            ended => return ended,
        }
    }
    run()
}

#[test]
fn a_partial_file_of_another_source_is_refused_until_it_is_discarded() {
    let world = World::new();
    write(&world.local("f"), &noise(5, SIZE));
    interrupted_put(&world);
    write(&world.local("g"), &noise(6, 10 * MIB));
    let error = once_free(|| world.put(&["g"], "there")).expect_err("refused");
    assert_eq!(error.fault(), Some(&Fault::OtherSource));
    assert!(error.to_string().contains("--restart"), "{error}");
    let restart = PutOptions {
        restart: true,
        ..PutOptions::default()
    };
    let report = world.put_with(&["g"], "there", restart).expect("restarted");
    assert_eq!(report.resumed_from_bytes, 0);
    assert!(fs::read(world.root("there")).expect("there") == noise(6, 10 * MIB));
    assert!(leftovers(&world.root("")).is_empty());
}

#[test]
fn a_source_that_changed_between_two_runs_is_another_source_for_put_and_get() {
    let world = World::new();
    write(&world.local("f"), &noise(7, SIZE));
    interrupted_put(&world);
    let file = fs::File::options()
        .append(true)
        .open(world.local("f"))
        .expect("there");
    std::io::Write::write_all(&mut &file, b"more").expect("appended");
    let put = once_free(|| world.put(&["f"], "there"));
    assert_eq!(fault(put), Fault::OtherSource);

    write(&world.root("g"), &noise(8, SIZE));
    let trigger = Trigger::after(SIZE / 4, || ());
    let to = world.local("here");
    let get = world
        .client
        .get(&["g"], &to, GetOptions::default(), trigger.clone());
    assert!(
        abort_when(&world.engine, &trigger, get),
        "too fast to be interrupted"
    );
    write(&world.root("g"), &noise(9, SIZE));
    let get = once_free(|| world.get(&["g"], "here"));
    assert_eq!(fault(get), Fault::OtherSource);
    let restart = GetOptions {
        restart: true,
        ..GetOptions::default()
    };
    world.get_with(&["g"], "here", restart).expect("restarted");
    assert!(fs::read(&to).expect("there") == noise(9, SIZE));
}

#[test]
fn a_damaged_sidecar_costs_a_new_start_and_never_a_wrong_file() {
    let world = World::new();
    write(&world.local("f"), &noise(10, SIZE));
    interrupted_put(&world);
    let sidecar = world.root(".there.ringway-sidecar");
    let mut bytes = fs::read(&sidecar).expect("a sidecar");
    bytes[60] ^= 1;
    write(&sidecar, &bytes);
    let report = world.put(&["f"], "there").expect("put");
    assert_eq!(report.resumed_from_bytes, 0);
    assert!(fs::read(world.root("there")).expect("there") == noise(10, SIZE));
}

#[test]
fn a_partial_file_that_somebody_cut_is_not_trusted() {
    let world = World::new();
    write(&world.local("f"), &noise(11, SIZE));
    interrupted_put(&world);
    let length = fs::metadata(partial_of(&world.root("there")))
        .expect("there")
        .len();
    let file = fs::File::options()
        .write(true)
        .open(partial_of(&world.root("there")));
    file.expect("a partial file")
        .set_len(length - 1)
        .expect("cut");
    let report = world.put(&["f"], "there").expect("put");
    assert_eq!(report.resumed_from_bytes, 0);
    assert!(fs::read(world.root("there")).expect("there") == noise(11, SIZE));
}

#[test]
fn a_sidecar_that_a_crash_left_alone_goes_with_the_next_file_however_small() {
    for size in [100, SIZE] {
        let world = World::new();
        write(&world.local("f"), &noise(12, size));
        write(&world.root(".there.ringway-sidecar-new"), b"torn");
        world.put(&["f"], "there").expect("put");
        assert!(fs::read(world.root("there")).expect("there") == noise(12, size));
        assert!(leftovers(&world.root("")).is_empty());
    }
}
