//! The workload of files: trees that are put, got and listed, while connections, processes,
//! machines, disks and sources fail. In the end everything is where it belongs.
//!
//! ```text
//!   plant trees ─▶ puts and gets, some with a rival for the same names ─▶ trouble ─▶ calm
//!        ─▶ each once more, until it says that it is done ─▶ identical, listed, nothing left
//! ```

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use ringway::{ConnectOptions, Listener};
use ringway_files::{
    Client, ClientOptions, EntryKind, Fault, FilesError, GetOptions, ListOptions, PutOptions,
    ServeOptions, Server, Silent, TransferReport,
};
use ringway_sim::{DiskHandle, HostId};

use crate::draw::Draw;
use crate::run::Context;
use crate::scene::key;
use crate::streams::{DONE_WITHIN, Pair};
use crate::tree::{Found, Tree};
use crate::trouble::Trouble;

/// What the server offers.
const ROOT: &str = "/far/root";

/// How often an operation is begun again while things go wrong.
const ATTEMPTS_IN_TROUBLE: u32 = 3;

/// How often it is begun again once nothing does: sessions of processes that were killed hold
/// their targets for as long as they may resume.
const ATTEMPTS_IN_CALM: u32 = 60;

/// Between two of these.
const PAUSE: Duration = Duration::from_secs(5);

/// Which way a tree goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Put,
    Get,
}

/// One tree and what has come of it.
#[derive(Clone)]
struct Job {
    way: Way,
    /// Names it, and its directory at both ends.
    name: String,
    tree: Rc<RefCell<Tree>>,
    rival: Option<Rc<RefCell<Tree>>>,
    verify: bool,
    /// Files that were reported to be in place: they stay there.
    placed: Rc<RefCell<BTreeSet<PathBuf>>>,
}

/// The pair, what serves on it, and the trees.
struct Work {
    pair: Pair,
    disks: [DiskHandle; 2],
    /// The number of the end that serves: not where calls are made.
    listener: Option<Listener>,
    server: Option<Server>,
    client: Option<Client>,
    jobs: Vec<Job>,
    draw: Draw,
}

/// Runs one seed.
///
/// # Panics
/// At a violation.
pub fn run(seed: u64, context: &Context) {
    let mut draw = Draw::new(seed, 5);
    run_in(Pair::draw(seed, context, &mut draw, |_, _| {}), draw);
}

fn run_in(pair: Pair, draw: Draw) {
    let mut work = Work::new(pair, draw);
    work.serve();
    work.begin();
    let events = work.draw.below(4);
    let mut trouble = work.draw.fork();
    for _ in 0..=events {
        Trouble::draw(&mut trouble).make(&mut work.pair.scene, &[], &mut trouble);
        if events > 0 {
            work.event();
            work.check();
        }
    }
    // Everything ends once nothing fails any more; before, nobody promises when.
    work.pair.scene.world.calm();
    work.pair.scene.run_all_but_serving(DONE_WITHIN);
    work.check();
    work.complete();
    work.end();
}

impl Work {
    fn new(pair: Pair, mut draw: Draw) -> Self {
        let disks = pair.hosts.map(|host| pair.scene.world.disk(host));
        disks[1].plant_directory(format!("{ROOT}/in"));
        disks[0].plant_directory("/near/into");
        let count = draw.pick(&[1, 1, 2]);
        let jobs = (0..count)
            .map(|number| Job::draw(number, &disks, &mut draw))
            .collect();
        Self {
            pair,
            disks,
            listener: None,
            server: None,
            client: None,
            jobs,
            draw,
        }
    }

    /// Starts the server, and the client that goes with the present processes.
    fn serve(&mut self) {
        let listener = self.pair.listen(&mut self.draw);
        let engine = self.pair.engines[1].clone();
        let server = self.pair.scene.run(DONE_WITHIN, async move {
            loop {
                // A disk that fails now and then may fail here.
                match Server::new(&engine, ServeOptions::new(ROOT)).await {
                    Ok(server) => return server,
                    Err(FilesError::File { .. }) => {
                        engine.sleep(PAUSE).await.expect("the engine lives");
                    }
                    Err(error) => panic!("no server: {error}"),
                }
            }
        });
        let (serving, at) = (server.clone(), listener.clone());
        let spawner = self.pair.scene.spawner.of(self.pair.hosts[1]);
        spawner.spawn_serving("serves files", async move {
            serving.serve(&at).await.expect("serves until it is closed");
        });
        (self.server, self.listener) = (Some(server), Some(listener));
    }

    fn client(&self) -> Client {
        let options = ClientOptions {
            give_up_after: Duration::from_secs(60),
        };
        let mut connect = ConnectOptions::keyed(key());
        connect.connect_timeout = Duration::from_secs(20);
        Client::new(&self.pair.engines[0], self.pair.target, connect, options)
    }

    /// Begins every job, in the process that is there now.
    fn begin(&mut self) {
        let client = self.client();
        let spawner = self.pair.scene.spawner.of(self.pair.hosts[0]);
        let engine = &self.pair.engines[0];
        for job in &self.jobs {
            let mut draw = self.draw.fork();
            let (work, caller, engine) = (job.clone(), client.clone(), engine.clone());
            let pause = Duration::from_micros(draw.size(1_000_000));
            let rival = job.rival.clone();
            if let Some(rival) = rival {
                let (work, caller, engine) = (job.clone(), self.client(), engine.clone());
                spawner.spawn(format!("rival of {}", work.name), async move {
                    let source = rival.borrow().source().to_owned();
                    engine.sleep(pause).await.expect("the engine lives");
                    let outcome = put(&caller, &source, false, work.verify).await;
                    // What it places, the other may replace.
                    drop(work.judge(outcome));
                    caller.close().await;
                });
            }
            spawner.spawn(job.name.clone(), async move {
                for _ in 0..ATTEMPTS_IN_TROUBLE {
                    let outcome = work.attempt(&caller, draw.chance(20)).await;
                    if work.note(outcome).is_ok() {
                        break;
                    }
                    let pause = Duration::from_micros(draw.size(1_000_000));
                    engine.sleep(pause).await.expect("the engine lives");
                }
            });
        }
        self.client = Some(client);
    }

    // --- trouble -------------------------------------------------------------------------------

    /// Something goes wrong beyond connections.
    fn event(&mut self) {
        let is_apart = self.pair.hosts[0] != self.pair.hosts[1];
        match self.draw.below(6) {
            0 if is_apart => self.kill(1, false),
            1 if is_apart => self.kill(1, true),
            2 if is_apart => self.kill(0, false),
            3 if is_apart => self.kill(0, true),
            4 if is_apart => self.fill(),
            _ => self.change(),
        }
    }

    /// Ends the process at one end, or its machine, and starts it again.
    fn kill(&mut self, end: usize, is_crash: bool) {
        let host: HostId = self.pair.hosts[end];
        match is_crash {
            true => self.pair.scene.crash(host),
            false => self.pair.scene.kill(host),
        }
        match end {
            0 => self.client = None,
            _ => (self.server, self.listener) = (None, None),
        }
        self.check();
        let pause = Duration::from_micros(self.draw.size(5_000_000));
        self.pair.scene.run_for(pause);
        let config = self.pair.configs[end].clone();
        self.pair.engines[end] = self.pair.scene.start_engine(host, &config);
        match end {
            0 => self.begin(),
            _ => self.serve(),
        }
    }

    /// Leaves the receiving disk next to no room for a while.
    fn fill(&mut self) {
        let end = self.draw.below(2) as usize;
        let room = self.draw.pick(&[0, 100 << 10, 1 << 20]);
        let disk = self.disks[end].clone();
        disk.leave_room(room);
        let pause = Duration::from_micros(self.draw.size(3_000_000));
        self.pair.scene.run_for(pause);
        disk.set_capacity(1 << 40);
    }

    /// Somebody else changes a source.
    fn change(&mut self) {
        let job = self.draw.pick(&self.jobs);
        let disk = &self.disks[job.way.source()];
        job.tree.borrow_mut().change(disk, &mut self.draw);
    }

    fn check(&self) {
        for job in &self.jobs {
            job.check(&self.disks[job.way.target()]);
        }
    }

    // --- the end -------------------------------------------------------------------------------

    /// Nothing goes wrong any more: each job once more, to its end.
    fn complete(&mut self) {
        let client = self.client.take().unwrap_or_else(|| self.client());
        for job in self.jobs.clone() {
            let (caller, engine) = (client.clone(), self.pair.engines[0].clone());
            let work = job.clone();
            self.pair.scene.run(DONE_WITHIN, async move {
                let mut restart = false;
                for _ in 0..ATTEMPTS_IN_CALM {
                    let outcome = work.attempt(&caller, restart).await;
                    match work.note(outcome) {
                        Ok(()) => return,
                        Err(error) => restart |= is_other_source(&error),
                    }
                    engine.sleep(PAUSE).await.expect("the engine lives");
                }
                panic!("{} never ends well", work.name);
            });
            let disk = &self.disks[job.way.target()];
            job.tree.borrow().check_done(disk);
            self.list(&client, &job);
        }
        self.client = Some(client);
    }

    /// A listing of what was put, or is there to be got, has every file with its size.
    fn list(&mut self, client: &Client, job: &Job) {
        let (client, path) = (client.clone(), job.remote());
        let options = ListOptions {
            recursive: true,
            ..ListOptions::default()
        };
        let listed = self.pair.scene.run(DONE_WITHIN, async move {
            client.list(path, options).await.expect("listed")
        });
        let files = listed
            .entries
            .iter()
            .filter(|it| it.kind == EntryKind::File);
        let files: BTreeSet<(PathBuf, u64)> =
            files.map(|it| (it.path.to_path_buf(), it.size)).collect();
        let tree = job.tree.borrow();
        let planted = tree.sizes().map(|(path, size)| (PathBuf::from(path), size));
        assert_eq!(files, planted.collect(), "listing of {}", job.name);
    }

    fn end(mut self) {
        let (client, server) = (self.client.take(), self.server.take());
        let listener = self.listener.take();
        self.pair.scene.run(DONE_WITHIN, async move {
            if let Some(client) = client {
                client.close().await;
            }
            if let Some(listener) = listener {
                listener.close();
            }
            if let Some(server) = server {
                server.drain(Duration::from_secs(1)).await;
            }
        });
        self.pair.scene.run_all(DONE_WITHIN);
        drop((self.jobs, self.disks));
        self.pair.end();
    }
}

impl Way {
    /// The end that has the source.
    fn source(self) -> usize {
        match self {
            Self::Put => 0,
            Self::Get => 1,
        }
    }

    fn target(self) -> usize {
        1 - self.source()
    }
}

impl Job {
    fn draw(number: u64, disks: &[DiskHandle; 2], draw: &mut Draw) -> Self {
        let way = draw.pick(&[Way::Put, Way::Put, Way::Get]);
        let name = format!("tree-{number}");
        let places = match way {
            Way::Put => (format!("/near/from/{name}"), format!("{ROOT}/in/{name}")),
            Way::Get => (format!("{ROOT}/out/{name}"), format!("/near/into/{name}")),
        };
        let tree = Tree::plant(number, &disks[way.source()], places, draw);
        let has_rival = way == Way::Put && draw.chance(30);
        let rival = has_rival.then(|| {
            let tree = tree.rival(&disks[0], format!("/near/rival/{name}"));
            Rc::new(RefCell::new(tree))
        });
        Self {
            way,
            name,
            tree: Rc::new(RefCell::new(tree)),
            rival,
            verify: draw.chance(20),
            placed: Rc::default(),
        }
    }

    /// What the client calls the tree at the server.
    fn remote(&self) -> String {
        match self.way {
            Way::Put => format!("in/{}", self.name),
            Way::Get => format!("out/{}", self.name),
        }
    }

    async fn attempt(&self, client: &Client, restart: bool) -> Result<TransferReport, FilesError> {
        match self.way {
            Way::Put => {
                let source = self.tree.borrow().source().to_owned();
                put(client, &source, restart, self.verify).await
            }
            Way::Get => {
                let options = GetOptions {
                    recursive: true,
                    restart,
                    verify: self.verify,
                    ..GetOptions::default()
                };
                let sources = [self.remote()];
                let observer = Silent::observer();
                client.get(&sources, "/near/into/", options, observer).await
            }
        }
    }

    /// Judges an outcome, and notes what is said to be in place.
    fn note(&self, outcome: Result<TransferReport, FilesError>) -> Result<(), FilesError> {
        let report = match &outcome {
            Ok(report) => Some(report),
            Err(FilesError::Incomplete { report }) => Some(&**report),
            Err(_) => None,
        };
        let files = report.into_iter().flat_map(|report| &report.files);
        let mut placed = self.placed.borrow_mut();
        placed.extend(files.map(|file| file.target.clone()));
        drop(placed);
        self.judge(outcome)
    }

    /// Fails unless what went wrong is what may.
    fn judge(&self, outcome: Result<TransferReport, FilesError>) -> Result<(), FilesError> {
        let Err(error) = outcome else {
            return Ok(());
        };
        let mut errors = vec![&error];
        if let FilesError::Incomplete { report } = &error {
            errors.extend(report.failed.iter().map(|failed| &failed.error));
        }
        for each in errors {
            assert!(self.may_fail_of(each), "{}: {each:?}", self.name);
        }
        Err(error)
    }

    fn may_fail_of(&self, error: &FilesError) -> bool {
        match error {
            FilesError::File { failure, .. } => !matches!(
                failure.fault,
                Fault::BadRequest { .. } | Fault::Version { .. } | Fault::Limit { .. }
            ),
            // A change that came behind the digest of one end.
            FilesError::Digest { .. } => self.tree.borrow().has_changed() || self.rival.is_some(),
            FilesError::Connect(_)
            | FilesError::GaveUp { .. }
            | FilesError::Engine(_)
            | FilesError::Incomplete { .. } => true,
            _ => false,
        }
    }

    /// Every file at the target is absent or whole, and what was said to be in place is there.
    fn check(&self, disk: &DiskHandle) {
        let (tree, rival) = (
            self.tree.borrow(),
            self.rival.as_ref().map(|it| it.borrow()),
        );
        let rival = rival.as_deref();
        tree.check(rival, disk);
        let base = match self.way {
            Way::Put => format!("{ROOT}/"),
            Way::Get => String::new(),
        };
        for path in self.placed.borrow().iter() {
            let place = format!("{base}{}", path.display());
            let below = place.strip_prefix(tree.target()).unwrap_or_default();
            let found = tree.find(rival, disk, below.trim_start_matches('/'));
            assert_ne!(found, Found::Absent, "{place} was in place");
        }
    }
}

fn put(
    client: &Client,
    source: &str,
    restart: bool,
    verify: bool,
) -> impl Future<Output = Result<TransferReport, FilesError>> {
    let (client, sources) = (client.clone(), [PathBuf::from(source)]);
    let options = PutOptions {
        recursive: true,
        restart,
        verify,
        ..PutOptions::default()
    };
    async move {
        let observer = Silent::observer();
        client.put(&sources, "in/", options, observer).await
    }
}

/// Somebody else's partial file is in the way: to be discarded.
fn is_other_source(error: &FilesError) -> bool {
    match error {
        FilesError::File { failure, .. } => failure.fault == Fault::OtherSource,
        FilesError::Incomplete { report } => {
            report.failed.iter().any(|it| is_other_source(&it.error))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use ringway_sim::WorldConfig;

    use super::*;

    /// What the server says instead of a body that it announced was taken for its first bytes, and
    /// trusted when the transfer went on from there.
    #[test]
    fn where_memory_fails_again_and_again_nothing_is_mixed_into_a_file() {
        for seed in 0..200 {
            let mut draw = Draw::new(seed, 5);
            let context = Context::default();
            let pair = Pair::draw(seed, &context, &mut draw, |world, configs| {
                *world = WorldConfig::calm();
                world.faults.no_memory_per_mille = 100;
                for config in configs {
                    *config = ringway::Config {
                        shards: 1,
                        ..ringway::Config::default()
                    };
                }
            });
            run_in(pair, draw);
        }
    }
}
