//! Where threads and kernel workers run.

mod rig;

use std::fs;

use rig::{Rig, config};
use ringway_io::{Capability, Errno, Kernel, Op};
use ringway_uring::{UringConfig, allowed_cores, cores_of_single_threads, keep_thread_on};

/// The cores that each worker of this process' rings may use.
fn workers() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("proc").flatten();
    let workers = tasks.filter_map(|task| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|line| line.trim().to_owned())
        };
        let name = value("Name:")?;
        name.starts_with("iou-wrk")
            .then(|| value("Cpus_allowed_list:"))?
    });
    workers.collect()
}

/// A splice from a file always goes to a worker.
fn work(rig: &mut Rig) {
    let file = tempfile::tempfile().expect("a file");
    let file = rig.adopt(file);
    let pipe = rig.kernel.acquire_pipe().expect("a pipe");
    let op = Op::SpliceFromFile {
        file,
        offset: 0,
        pipe: pipe.write.clone(),
        length: 4096,
    };
    assert_eq!(rig.run(op).result, Ok(0), "the file is empty");
    rig.kernel.release_pipe(pipe, true);
}

#[test]
fn workers_stay_on_the_core_that_was_said() {
    let core = allowed_cores().expect("known")[0].number;
    let mut rig = Rig::with(UringConfig {
        worker_core: Some(core),
        ..config()
    });
    if !rig.has(Capability::Splice) {
        return rig::skip("workers_stay", "splice is masked");
    }
    work(&mut rig);
    let workers = workers();
    assert!(!workers.is_empty(), "the splice had no worker");
    assert!(
        workers.iter().all(|allowed| *allowed == core.to_string()),
        "{workers:?}"
    );
    rig.finish();
}

#[test]
fn a_thread_on_one_core_is_seen_while_it_is_there() {
    let allowed = allowed_cores().expect("known");
    let Some(core) = allowed.get(1).map(|core| core.number) else {
        return rig::skip("a_thread_on_one_core", "there is one core only");
    };
    let (said, hears) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::Builder::new().name("kept".into());
    let thread = thread.spawn(move || {
        keep_thread_on(core).expect("allowed");
        said.send(()).expect("heard");
        let _ = ends.recv();
    });
    hears.recv().expect("said");
    assert!(cores_of_single_threads().contains(&core));
    drop(end);
    thread.expect("a thread").join().expect("ends");
}

#[test]
fn a_core_that_is_not_there_is_refused() {
    assert_eq!(keep_thread_on(1 << 20), Err(Errno::EINVAL));
    assert_eq!(keep_thread_on(1023), Err(Errno::EINVAL), "no such core");
}
