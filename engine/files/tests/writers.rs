//! One target, one writer.

mod world;

use std::fs;

use ringway_files::{Fault, PutOptions, Silent};
use world::{MIB, Trigger, World, leftovers, noise, wait, write};

const SIZE: u64 = 300 * MIB;

/// Starts a put of `f` as `there` in a thread; returns when a part of it has arrived.
fn put_under_way(world: &World) -> std::thread::JoinHandle<Result<(), ringway_files::FilesError>> {
    let (sender, arrived) = std::sync::mpsc::channel();
    let trigger = Trigger::after(SIZE / 10, move || sender.send(()).expect("awaited"));
    let (client, engine) = (world.another_client(), world.engine.clone());
    let sources = [world.local("f")];
    let put = std::thread::spawn(move || {
        let put = client.put(&sources, "there", PutOptions::default(), trigger);
        wait(&engine, put).map(drop)
    });
    arrived.recv().expect("it makes progress");
    put
}

#[test]
fn a_newer_put_of_the_same_source_takes_over_where_the_older_was() {
    let world = World::new();
    write(&world.local("f"), &noise(1, SIZE));
    let older = put_under_way(&world);
    let report = world.put(&["f"], "there").expect("it takes over");
    assert!(
        report.resumed_from_bytes > 0,
        "it goes on where the older one was"
    );
    assert_eq!(report.body_bytes_sent, SIZE - report.resumed_from_bytes);
    let fenced = older.join().expect("no panic").expect_err("it was fenced");
    assert_eq!(fenced.fault(), Some(&Fault::Superseded), "{fenced}");
    assert!(fs::read(world.root("there")).expect("there") == noise(1, SIZE));
    assert!(leftovers(&world.root("")).is_empty());
}

#[test]
fn a_second_live_writer_of_another_source_is_refused_and_the_first_completes() {
    let world = World::new();
    write(&world.local("f"), &noise(2, SIZE));
    write(&world.local("g"), &noise(3, 2 * MIB));
    write(&world.local("small"), b"small");
    let first = put_under_way(&world);
    for second in ["g", "small"] {
        let error = world.put(&[second], "there").expect_err("busy");
        assert_eq!(error.fault(), Some(&Fault::Busy), "{error}");
        assert_eq!(error.class().exit_code(), 6);
    }
    first.join().expect("no panic").expect("undisturbed");
    assert!(fs::read(world.root("there")).expect("there") == noise(2, SIZE));
    world.put(&["g"], "there").expect("now it is free");
    assert!(leftovers(&world.root("")).is_empty());
}

#[test]
fn many_writers_of_many_targets_do_not_disturb_each_other() {
    let world = World::new();
    let names: Vec<String> = (0..6).map(|index| format!("f{index}")).collect();
    for (index, name) in names.iter().enumerate() {
        write(&world.local(name), &noise(index as u64, 5 * MIB));
    }
    let threads: Vec<_> = names
        .iter()
        .map(|name| {
            let (client, engine) = (world.another_client(), world.engine.clone());
            let (source, name) = (world.local(name), name.clone());
            std::thread::spawn(move || {
                let options = PutOptions::default();
                let sources = [source];
                let put = client.put(&sources, name, options, Silent::observer());
                wait(&engine, put).expect("put");
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("no panic"));
    for (index, name) in names.iter().enumerate() {
        assert!(fs::read(world.root(name)).expect("there") == noise(index as u64, 5 * MIB));
    }
}
