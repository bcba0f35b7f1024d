//! The workload of streams: sessions with drawn traffic both ways, trouble meanwhile, the oracle.

use std::time::Duration;

use ringway::{
    Config, ConnectError, ConnectOptions, Engine, Keys, ListenOptions, Listener, Session,
    SessionState,
};
use ringway_sim::{HostId, WorldConfig};

use crate::circumstances;
use crate::draw::Draw;
use crate::load::Load;
use crate::party::Party;
use crate::run::Context;
use crate::scene::{Scene, TARGET, key};
use crate::script::Appetite;
use crate::trouble::Trouble;

/// Once nothing goes wrong any more, all work ends within this: the slowest link and the smallest
/// windows carry the largest drawn load several times in it.
pub(crate) const DONE_WITHIN: Duration = Duration::from_secs(900);

/// Within this a session notices that its peer's process is gone for good: the resume window of
/// these runs, and a dial that hangs.
const GONE_WITHIN: Duration = Duration::from_secs(300);

/// Within this one of many attempts succeeds where half of the dials are refused, half of the rest
/// hang, and cuts wait for the next connections. Seed 7900000648 had no luck for a minute.
const CONNECTED_WITHIN: Duration = Duration::from_secs(600);

/// Within this both ends notice that a connection between them is dead: two of the longest
/// heartbeats that are drawn, and some time for a small one on a slow link.
const SILENCE_NOTICED_WITHIN: Duration = Duration::from_secs(3);

/// After this long without work nothing is on its way any more: acks and grants wait for
/// milliseconds, not more.
const REST: Duration = Duration::from_secs(1);

/// Where the two ends are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topology {
    TwoHosts,
    Loopback,
    Unix,
}

impl Topology {
    fn target(self) -> &'static str {
        match self {
            Self::TwoHosts => TARGET,
            Self::Loopback => "127.0.0.1:7400",
            Self::Unix => "unix:/run/ringway",
        }
    }
}

/// Two engines and what is between them.
pub(crate) struct Pair {
    pub(crate) scene: Scene,
    pub(crate) hosts: [HostId; 2],
    pub(crate) engines: [Engine; 2],
    pub(crate) configs: [Config; 2],
    pub(crate) target: &'static str,
    sessions_made: u64,
    /// Disks or memory fail now and then: streams may say so.
    have_disks_failed: bool,
}

/// One session and its work.
struct Linked {
    ends: [Session; 2],
    load: Load,
}

/// Runs one seed.
///
/// # Panics
/// At a violation.
pub fn run(seed: u64, context: &Context) {
    let mut draw = Draw::new(seed, 3);
    let mut pair = Pair::draw(seed, context, &mut draw, |_, _| {});
    let appetite = Appetite::draw(&mut draw);
    let listener = pair.listen(&mut draw);
    let count = draw.pick(&[1, 1, 2, 3]);
    let mut links = pair.link(&listener, count, appetite, &mut draw);
    let trouble = Trouble::draw(&mut draw);
    let near: Vec<Session> = links.iter().map(|link| link.ends[0].clone()).collect();
    trouble.make(&mut pair.scene, &near, &mut draw);
    drop(near);
    let mut listener = listener;
    if pair.hosts[0] != pair.hosts[1] && draw.chance(20) {
        listener = pair.kill_one(links, listener, &mut draw);
        links = pair.link(&listener, 1, appetite, &mut draw);
        Trouble::draw(&mut draw).make(&mut pair.scene, &[], &mut draw);
    }
    pair.scene.world.calm();
    pair.scene.run_all(DONE_WITHIN);
    for link in &links {
        link.load.check();
    }
    let ends: Vec<Session> = links.iter().flat_map(|link| link.ends.clone()).collect();
    pair.rest(&ends);
    drop(ends);
    for link in links {
        pair.close(link.ends, &mut draw);
    }
    drop(listener);
    pair.end();
}

impl Pair {
    /// A drawn world with two engines; `adjust` has the last word.
    pub(crate) fn draw(
        seed: u64,
        context: &Context,
        draw: &mut Draw,
        adjust: impl FnOnce(&mut WorldConfig, &mut [Config; 2]),
    ) -> Self {
        let mut world = circumstances::world(draw);
        let mut configs = [circumstances::engine(draw), circumstances::engine(draw)];
        adjust(&mut world, &mut configs);
        let faults = world.faults;
        let have_disks_failed = faults.disk_error_per_mille + faults.no_memory_per_mille > 0;
        let mut scene = Scene::new(seed, world, context);
        let topology = draw.pick(&[
            Topology::TwoHosts,
            Topology::TwoHosts,
            Topology::TwoHosts,
            Topology::Loopback,
            Topology::Unix,
        ]);
        let near = scene.add_host();
        let far = match topology {
            Topology::TwoHosts => scene.add_host(),
            Topology::Loopback | Topology::Unix => near,
        };
        let hosts = [near, far];
        let engines = [0, 1].map(|end| scene.start_engine(hosts[end], &configs[end]));
        Self {
            scene,
            hosts,
            engines,
            configs,
            target: topology.target(),
            sessions_made: 0,
            have_disks_failed,
        }
    }

    pub(crate) fn listen(&mut self, draw: &mut Draw) -> Listener {
        let (far, target) = (self.engines[1].clone(), self.target);
        let mut options = ListenOptions::keyed(Keys::one(key()));
        options.backlog = draw.pick(&[1, 1024]);
        self.scene.run(Duration::from_secs(60), async move {
            far.listen(target, options).await.expect("listens")
        })
    }

    /// Makes sessions, and work on each.
    fn link(
        &mut self,
        listener: &Listener,
        count: u64,
        appetite: Appetite,
        draw: &mut Draw,
    ) -> Vec<Linked> {
        let mut links = Vec::new();
        for _ in 0..count {
            let ends = self.connect(listener);
            let load = self.load(&ends, appetite, draw);
            links.push(Linked { ends, load });
        }
        links
    }

    pub(crate) fn connect(&mut self, listener: &Listener) -> [Session; 2] {
        let (near, target, listener) = (self.engines[0].clone(), self.target, listener.clone());
        let mut options = ConnectOptions::keyed(key());
        options.connect_timeout = CONNECTED_WITHIN;
        self.scene.run(2 * CONNECTED_WITHIN, async move {
            let mut attempts = 0;
            let near = loop {
                match near.connect(target, options.clone()).await {
                    Ok(session) => break session,
                    // Memory failed: refused typed, and tried again.
                    Err(ConnectError::Local(error)) if attempts < 100 => {
                        let is_kernel = matches!(error, ringway::Error::Kernel { .. });
                        assert!(is_kernel, "{error}");
                        attempts += 1;
                    }
                    Err(error) => panic!("no session: {error}"),
                }
            };
            let far = listener.accept().await.expect("accepts");
            [near, far]
        })
    }

    fn load(&mut self, ends: &[Session; 2], appetite: Appetite, draw: &mut Draw) -> Load {
        let number = self.sessions_made;
        self.sessions_made += 1;
        let load = Load::new(number);
        let failed = self.have_disks_failed;
        load.excuse(|excuses| excuses.have_disks_failed = failed);
        let parties = self.parties(ends, &number.to_string());
        load.add(&parties[0], &parties[1], 1 + draw.below(5), draw, appetite);
        load.add(&parties[1], &parties[0], draw.below(4), draw, appetite);
        load
    }

    /// Both ends of a session, with directories of their own.
    pub(crate) fn parties(&self, ends: &[Session; 2], name: &str) -> [Party; 2] {
        let names = [format!("near-{name}"), format!("far-{name}")];
        [0, 1].map(|end| {
            Party::new(
                &self.scene.world,
                self.hosts[end],
                &self.engines[end],
                &ends[end],
                names[end].clone(),
                &self.scene.spawner,
            )
        })
    }

    /// Looks whether everything agrees once all are connected and nothing is on its way.
    pub(crate) fn rest(&mut self, sessions: &[Session]) {
        // What neither end knows to be dead yet looks connected.
        self.scene.run_for(SILENCE_NOTICED_WITHIN);
        let is_connected =
            |session: &Session| matches!(session.state(), SessionState::Connected { .. });
        self.scene.until("reconnecting", GONE_WITHIN, |_| {
            sessions.iter().all(is_connected)
        });
        self.scene.run_for(REST);
        self.scene.check_at_rest();
    }

    /// Closes from either end.
    pub(crate) fn close(&mut self, ends: [Session; 2], draw: &mut Draw) {
        let [near, far] = ends;
        match draw.chance(50) {
            true => self.scene.close(near, far),
            false => self.scene.close(far, near),
        }
    }

    /// Kills one of the processes (or crashes its machine) under its sessions, sees the other one
    /// notice, and starts it again.
    fn kill_one(&mut self, links: Vec<Linked>, listener: Listener, draw: &mut Draw) -> Listener {
        for link in &links {
            link.load.sever();
        }
        let victim = draw.below(2) as usize;
        match draw.chance(70) {
            true => self.scene.kill(self.hosts[victim]),
            false => self.scene.crash(self.hosts[victim]),
        }
        self.scene
            .run_for(Duration::from_micros(draw.size(5_000_000)));
        let (host, config) = (self.hosts[victim], self.configs[victim].clone());
        self.engines[victim] = self.scene.start_engine(host, &config);
        let listener = match victim {
            0 => listener,
            _ => {
                drop(listener);
                self.listen(draw)
            }
        };
        let survivors: Vec<Session> = links
            .iter()
            .map(|link| link.ends[1 - victim].clone())
            .collect();
        self.scene.run(GONE_WITHIN, async move {
            for survivor in survivors {
                survivor.ended().await;
            }
        });
        self.scene.run_all(GONE_WITHIN);
        for link in links {
            link.load.check();
        }
        listener
    }

    pub(crate) fn end(self) {
        drop(self.engines);
        self.scene.end();
    }
}

#[cfg(test)]
mod tests {
    use ringway::{Status, StreamOptions};
    use ringway_sim::{CutKind, FaultConfig};

    use super::*;

    /// Seed 7700022353 of an earlier generator: a way had become a black hole under the last words
    /// of a stream, and both ends still looked connected.
    #[test]
    fn a_way_that_neither_end_knows_to_be_dead_is_no_rest() {
        let mut draw = Draw::new(1, 3);
        let mut pair = Pair::draw(1, &Context::default(), &mut draw, |world, configs| {
            world.faults = FaultConfig::NONE;
            for config in configs {
                config.session.streams_max = 1;
            }
        });
        let listener = pair.listen(&mut draw);
        let ends = pair.connect(&listener);
        let [near, far] = ends.clone();
        let spawner = pair.scene.spawner.clone();
        let opened = pair.scene.run(DONE_WITHIN, async move {
            let stream = near.open(StreamOptions::default()).await.expect("opens");
            stream.send_record(&b"first"[..]).await.expect("accepted");
            let accepted = far.accept().await.expect("arrives");
            accepted.finish(Status::ok()).await.expect("finished");
            spawner.spawn("reader", async move {
                while accepted.receive().await.expect("arrives").is_some() {}
            });
            stream
        });
        for connection in pair.scene.world.connections() {
            pair.scene.world.cut(connection.id, CutKind::BlackHole);
        }
        pair.scene.run(DONE_WITHIN, async move {
            opened.finish(Status::ok()).await.expect("finished");
            drop(opened);
        });
        pair.rest(&ends);
        pair.scene.run_all(DONE_WITHIN);
        pair.close(ends, &mut draw);
        drop(listener);
        pair.end();
    }
}
