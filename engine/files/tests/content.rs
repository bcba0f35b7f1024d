//! What arrives is what was there: content, names, modes, times, trees.

mod world;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use ringway_files::{
    EntryKind, GetOptions, ListOptions, Overwrite, PageCache, PutOptions, SkipReason,
};
use world::{MIB, World, leftovers, mode, noise, set_mode, snapshot, wait, write};

#[test]
fn files_of_every_size_arrive_identical_both_ways() {
    let world = World::new();
    let sizes = [
        0,
        1,
        4095,
        65536,
        MIB - 1,
        MIB,
        MIB + 1,
        9 * MIB + 17,
        70 * MIB,
    ];
    for (seed, size) in sizes.into_iter().enumerate() {
        write(&world.local("f"), &noise(seed as u64, size));
        let report = world.put(&["f"], "there").expect("put");
        assert_eq!((report.bytes, report.body_bytes_sent), (size, size));
        assert_eq!((report.resumed_from_bytes, report.sessions), (0, 1));
        assert!(fs::read(world.root("there")).expect("there") == noise(seed as u64, size));
        let report = world.get(&["there"], "back").expect("get");
        assert_eq!((report.bytes, report.body_bytes_sent), (size, size));
        assert!(fs::read(world.local("back")).expect("back") == noise(seed as u64, size));
    }
    assert!(leftovers(world.home.path()).is_empty());
}

fn make_tree(top: &Path) {
    for directory in ["", "a", "a/b", "a/b/c", "empty", "z"] {
        fs::create_dir(top.join(directory)).expect("a directory");
    }
    for (index, name) in ["one", "a/two", "a/b/three", "a/b/c/four", "z/five"]
        .iter()
        .enumerate()
    {
        write(&top.join(name), &noise(index as u64, 1000 * index as u64));
    }
    write(&top.join("z/large"), &noise(9, 3 * MIB));
    write(&top.join("größe-名前"), b"unicode");
    write(&top.join(OsStr::from_bytes(b"latin-\xe9\xff")), b"bytes");
    write(&top.join("with\nnewline"), b"");
    set_mode(&top.join("a/two"), 0o640);
    set_mode(&top.join("z/five"), 0o444);
    set_mode(&top.join("a/b/c"), 0o500);
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for name in ["a/b/three", "z", "a/b", "empty"] {
        let file = fs::File::open(top.join(name)).expect("there");
        file.set_modified(old).expect("a time");
    }
}

#[test]
fn a_tree_arrives_with_names_modes_and_times_and_comes_back_alike() {
    let world = World::new();
    make_tree(&world.local("tree"));
    let before = snapshot(&world.local("tree"));
    let report = world.put(&["tree"], "copy").expect("put");
    assert_eq!(report.files.len(), 9);
    assert!(before == snapshot(&world.root("copy")));
    let report = world.get(&["copy"], "again").expect("get");
    assert_eq!(report.files.len(), 9);
    assert!(before == snapshot(&world.local("again")));
    assert_eq!(mode(&world.local("again")), mode(&world.local("tree")));
    assert!(leftovers(world.home.path()).is_empty());
}

#[test]
fn scp_rules_name_the_targets() {
    let world = World::new();
    make_tree(&world.local("tree"));
    write(&world.local("f"), b"f");
    write(&world.local("g"), b"g");
    fs::create_dir(world.root("into")).expect("a directory");
    world
        .put(&["tree", "f"], "into")
        .expect("several into a directory");
    assert!(world.root("into/tree/a/two").is_file() && world.root("into/f").is_file());
    world.put(&["f"], "into/renamed").expect("a new name");
    assert!(world.root("into/renamed").is_file());
    world.put(&["g"], "into/").expect("a trailing slash");
    assert!(world.root("into/g").is_file());
    world.put(&["f"], "").expect("into the root");
    assert!(world.root("f").is_file());
    for (sources, to) in [
        (vec!["f"], "missing/"),
        (vec!["f", "g"], "missing"),
        (vec!["tree"], "f"),
    ] {
        let error = world.put(&sources, to).expect_err("refused");
        assert_eq!(error.class().exit_code(), 2, "{error}");
    }
    let plain = PutOptions::default();
    let error = world
        .put_with(&["tree"], "x", plain)
        .expect_err("not recursive");
    assert!(error.to_string().contains("--recursive"), "{error}");
    world
        .get(&["into/f", "into/g"], "")
        .expect("several into a directory");
    let error = world
        .get(&["into/f", "into/g"], "f")
        .expect_err("not a directory");
    assert_eq!(error.class().exit_code(), 2, "{error}");
}

#[test]
fn two_thousand_small_files_arrive() {
    let world = World::new();
    fs::create_dir(world.local("many")).expect("a directory");
    for index in 0..2000_u64 {
        write(
            &world.local(format!("many/{index}")),
            &noise(index, index * 7),
        );
    }
    let before = snapshot(&world.local("many"));
    let report = world.put(&["many"], "many").expect("put");
    println!("put: {:.2} s", report.seconds);
    assert_eq!(report.files.len(), 2000);
    assert_eq!(report.body_bytes_sent, report.bytes);
    assert!(before == snapshot(&world.root("many")));
    let report = world.get(&["many"], "back").expect("get");
    println!("get: {:.2} s", report.seconds);
    assert!(before == snapshot(&world.local("back")));
}

#[test]
fn overwriting_goes_by_the_policy_and_set_id_bits_are_dropped() {
    let world = World::new();
    write(&world.local("f"), b"new");
    set_mode(&world.local("f"), 0o6755);
    write(&world.root("f"), b"old content");
    let with = |overwrite| PutOptions {
        overwrite,
        ..PutOptions::default()
    };
    let report = world
        .put_with(&["f"], "f", with(Overwrite::Never))
        .expect("kept");
    assert_eq!(report.skipped[0].reason, SkipReason::Exists);
    assert_eq!(fs::read(world.root("f")).expect("there"), b"old content");
    world
        .put_with(&["f"], "f", with(Overwrite::Replace))
        .expect("replaced");
    assert_eq!(fs::read(world.root("f")).expect("there"), b"new");
    assert_eq!(mode(&world.root("f")), 0o755);
    let again = world
        .put_with(&["f"], "f", with(Overwrite::IfDifferent))
        .expect("kept");
    assert_eq!(
        (
            again.files.len(),
            again.skipped.len(),
            again.body_bytes_sent
        ),
        (0, 1, 0)
    );
    let newer = world
        .put_with(&["f"], "g", with(Overwrite::IfNewer))
        .expect("placed");
    assert_eq!(newer.files.len(), 1);
    let get = GetOptions {
        overwrite: Overwrite::Never,
        ..GetOptions::default()
    };
    let kept = world.get_with(&["g"], "f", get).expect("kept");
    assert_eq!(kept.skipped.len(), 1);
}

#[test]
fn verification_compares_both_ends() {
    let world = World::new();
    write(&world.local("small"), &noise(1, 1000));
    write(&world.local("large"), &noise(2, 3 * MIB));
    let put = PutOptions {
        verify: true,
        ..PutOptions::default()
    };
    let report = world.put_with(&["small", "large"], "", put).expect("put");
    assert!(report.files.iter().all(|file| file.digest.is_some()));
    let get = GetOptions {
        verify: true,
        ..GetOptions::default()
    };
    fs::create_dir(world.local("back")).expect("a directory");
    let back = world
        .get_with(&["small", "large"], "back", get)
        .expect("get");
    let digests = |files: &[ringway_files::FileReport]| -> Vec<_> {
        files.iter().map(|file| file.digest).collect()
    };
    assert_eq!(digests(&report.files), digests(&back.files));
}

#[test]
fn large_files_that_pass_the_page_cache_arrive_identical_both_ways() {
    let world = World::new();
    let length = 70 * MIB + 321;
    write(&world.local("large"), &noise(3, length));
    let put = PutOptions {
        verify: true,
        cache: PageCache::Passed,
        ..PutOptions::default()
    };
    world.put_with(&["large"], "", put).expect("put");
    fs::create_dir(world.local("back")).expect("a directory");
    let get = GetOptions {
        verify: true,
        cache: PageCache::Passed,
        ..GetOptions::default()
    };
    world.get_with(&["large"], "back", get).expect("get");
    let back = fs::read(world.local("back/large")).expect("there");
    assert!(back == noise(3, length));
    let statistics = wait(&world.engine, world.engine.statistics()).expect("counted");
    // What arrives before its file is open waits in memory, and is written through the cache.
    let written = statistics.direct_written_bytes;
    assert!(written > 35 * MIB, "{written} of {length} bytes");
}

#[test]
fn a_listing_tells_what_is_there_in_order_and_hides_our_own_files() {
    let world = World::new();
    make_tree(&world.root("tree"));
    write(&world.root("tree/.x.ringway-partial"), b"unfinished");
    std::os::unix::fs::symlink("one", world.root("tree/link")).expect("a link");
    let list = |path: &str, recursive| {
        let options = ListOptions {
            recursive,
            ..ListOptions::default()
        };
        wait(&world.engine, world.client.list(path, options)).expect("a listing")
    };
    let flat = list("tree", false);
    assert_eq!(flat.object.kind, EntryKind::Directory);
    let names: Vec<_> = flat
        .entries
        .iter()
        .map(|entry| entry.path.to_string())
        .collect();
    assert_eq!(names[..3], ["a", "empty", "größe-名前"]);
    assert!(!names.iter().any(|name| name.contains("ringway-partial")));
    let link = flat
        .entries
        .iter()
        .find(|entry| entry.path.to_string() == "link");
    assert_eq!(link.expect("listed").kind, EntryKind::Symlink);
    let deep = list("tree", true);
    assert_eq!(deep.entries.len(), snapshot(&world.root("tree")).len() - 1);
    let four = deep
        .entries
        .iter()
        .find(|entry| entry.path.to_string() == "a/b/c/four");
    assert_eq!(four.expect("listed").size, 3000);
    let file = list("tree/one", false);
    assert_eq!((file.object.kind, file.entries.len()), (EntryKind::File, 0));
    assert_eq!(list("", false).entries.len(), 1);
}

#[test]
fn a_large_directory_is_listed_in_pages() {
    let world = World::new();
    fs::create_dir(world.root("many")).expect("a directory");
    for index in 0..5000 {
        write(&world.root(format!("many/{index:0>120}")), b"");
    }
    let listing = world.client.list("many", ListOptions::default());
    let listing = wait(&world.engine, listing).expect("a listing");
    assert_eq!(listing.entries.len(), 5000);
    assert!(
        listing
            .entries
            .is_sorted_by(|one, other| one.path < other.path)
    );
    let few = ListOptions {
        entries_max: 10,
        ..ListOptions::default()
    };
    let error = wait(&world.engine, world.client.list("many", few)).expect_err("too many");
    assert_eq!(error.class().exit_code(), 9, "{error}");
}
