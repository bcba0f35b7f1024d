//! A source that changes under a transfer is never mixed.

mod world;

use std::fs;
use std::path::PathBuf;

use ringway_files::{Fault, FilesError, GetOptions, PutOptions, TransferReport};
use world::{MIB, Trigger, World, leftovers, noise, wait, write};

const SIZE: u64 = 300 * MIB;

type Outcome = Result<TransferReport, FilesError>;

/// Puts a file and changes it when a tenth has arrived.
fn put_changing(world: &World, change: fn(&fs::File)) -> Outcome {
    let source = world.local("f");
    write(&source, &noise(1, SIZE));
    let trigger = Trigger::after(SIZE / 10, changing(source.clone(), change));
    let sources = [source];
    let put = world
        .client
        .put(&sources, "there", PutOptions::default(), trigger);
    wait(&world.engine, put)
}

fn get_changing(world: &World, change: fn(&fs::File)) -> Outcome {
    let source = world.root("f");
    write(&source, &noise(2, SIZE));
    let trigger = Trigger::after(SIZE / 10, changing(source, change));
    let get = world
        .client
        .get(&["f"], world.local("here"), GetOptions::default(), trigger);
    wait(&world.engine, get)
}

fn changing(path: PathBuf, change: fn(&fs::File)) -> impl FnMut() {
    move || {
        let file = fs::File::options().write(true).open(&path).expect("there");
        change(&file);
    }
}

fn overwrite(file: &fs::File) {
    std::os::unix::fs::FileExt::write_all_at(file, b"changed", SIZE - 100).expect("written");
}

fn truncate(file: &fs::File) {
    file.set_len(SIZE / 2).expect("truncated");
}

#[test]
fn a_source_that_changes_or_shrinks_during_a_put_ends_it_and_leaves_nothing() {
    for change in [overwrite, truncate] {
        let world = World::new();
        let error = put_changing(&world, change).expect_err("it changed");
        assert_eq!(error.fault(), Some(&Fault::SourceChanged), "{error}");
        assert_eq!(error.class().exit_code(), 7);
        assert!(!world.root("there").exists());
        assert!(
            leftovers(&world.root("")).is_empty(),
            "nothing to be mixed later"
        );
        world
            .put(&["f"], "there")
            .expect("the session and the target are usable");
        assert!(
            fs::read(world.root("there")).expect("there") == fs::read(world.local("f")).expect("f")
        );
    }
}

#[test]
fn a_source_that_changes_or_shrinks_during_a_get_ends_it_and_leaves_nothing() {
    for change in [overwrite, truncate] {
        let world = World::new();
        let error = get_changing(&world, change).expect_err("it changed");
        assert_eq!(error.fault(), Some(&Fault::SourceChanged), "{error}");
        assert!(!world.local("here").exists());
        assert!(
            leftovers(&world.local("")).is_empty(),
            "nothing to be mixed later"
        );
        world
            .get(&["f"], "here")
            .expect("the session and the target are usable");
    }
}
