//! Shards on cores of their own, on the real kernel. One test after the other: what one takes, the
//! next one would miss.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ringway::{Config, Cores, Engine, StartError, block_on, probe};

static TURN: Mutex<()> = Mutex::new(());

fn config(cores: Cores, shards: usize) -> Config {
    Config {
        cores,
        shards,
        ..Config::from_environment().expect("known names")
    }
}

fn end(engine: &Engine) {
    block_on(engine.shutdown(Duration::from_secs(5)));
}

/// The cores of the threads of that name.
fn allowed_to(name: &str) -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("proc").flatten();
    let found = tasks.filter_map(|task| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|line| line.trim().to_owned())
        };
        (value("Name:")? == name).then(|| value("Cpus_allowed_list:"))?
    });
    found.collect()
}

#[test]
fn each_shard_has_a_core_and_the_next_engine_finds_it_taken() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let free = probe::free_cores().expect("known");
    let first = Engine::start(config(Cores::Own, 1)).expect("one core is free");
    assert_eq!(first.cores(), &free[..1]);
    let kept = block_on(first.statistics()).expect("alive").shards_kept;
    assert_eq!(kept, 1);
    assert_eq!(allowed_to("ringway-0"), [free[0].to_string()]);
    let left = probe::free_cores().expect("known");
    assert!(!left.contains(&free[0]), "{left:?}");
    assert_eq!(left.len(), free.len() - 1);
    match Engine::start(config(Cores::Own, 0)) {
        Ok(second) => {
            assert_eq!(second.cores(), left, "a shard for each core that is left");
            end(&second);
        }
        Err(error) => {
            assert!(left.is_empty(), "{error}");
            assert!(matches!(error, StartError::Cores { free: 0, .. }));
        }
    }
    end(&first);
    assert_eq!(probe::free_cores().expect("known"), free, "free again");
}

#[test]
fn more_shards_than_free_cores_are_refused_with_both_numbers() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let free = probe::free_cores().expect("known").len();
    let refused = Engine::start(config(Cores::Own, free + 1)).expect_err("one too many");
    let StartError::Cores {
        wanted, free: told, ..
    } = refused
    else {
        panic!("{refused}");
    };
    assert_eq!((wanted, told), (free + 1, free));
    assert_eq!(probe::free_cores().expect("known").len(), free, "none kept");
}

#[test]
fn listed_cores_are_taken_as_listed() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let core = probe::allowed_cores().expect("known")[0].number;
    let engine = Engine::start(config(Cores::These(vec![core]), 2)).expect("they share");
    assert_eq!(engine.cores(), [core, core]);
    assert_eq!(block_on(engine.statistics()).expect("alive").shards_kept, 2);
    end(&engine);
    let missing = Engine::start(config(Cores::These(vec![core, 1023]), 1));
    let refused = missing.expect_err("there is no such core");
    assert!(refused.to_string().contains("core 1023"), "{refused}");
}
