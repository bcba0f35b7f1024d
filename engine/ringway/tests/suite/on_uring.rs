//! The real kernel: two engines of this process on loopback, with a [`Relay`] between them.

#[path = "../../../uring/tests/rig/turn.rs"]
mod turn;

use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use ringway::{
    Address, Config, ConnectOptions, Engine, KeyId, Keys, ListenOptions, Status, block_on,
};

use crate::relay::Relay;
use crate::rest::comes_to_rest;
use crate::stage::{End, Ground, Setup, Stage};

/// Whatever it says, a scenario must not take longer: a hang fails with a name.
const AT_MOST: Duration = Duration::from_secs(300);

struct Loopback {
    relay: Relay,
    disk: tempfile::TempDir,
    config: Config,
}

impl Ground for Loopback {
    fn cut(&self) {
        self.relay.cut();
    }

    fn mute(&self) {
        self.relay.mute();
    }

    fn cut_muted(&self) {
        self.relay.cut_muted();
    }

    fn close(&self) {
        self.relay.close();
    }

    fn open(&self) {
        self.relay.open();
    }

    fn spare(&self) -> Engine {
        engine(&self.config)
    }

    fn plant(&self, _end: End, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.disk.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    fn plant_zeros(&self, _end: End, name: &str, length: u64) -> PathBuf {
        let path = self.disk.path().join(name);
        let file = std::fs::File::create(&path).expect("created");
        file.set_len(length).expect("extended");
        path
    }

    fn full(&self, _end: End, _name: &str) -> PathBuf {
        "/dev/full".into()
    }
}

fn engine(config: &Config) -> Engine {
    let masked = Config::from_environment()
        .expect("known capabilities")
        .masked;
    let config = Config {
        masked,
        ..config.clone()
    };
    turn::wait_for_turn();
    Engine::start(config).expect("starts")
}

/// Runs a scenario, and ends everything.
pub fn run<F: Future<Output = ()>>(setup: &Setup, scenario: impl FnOnce(Stage) -> F) {
    let watchdog = Watchdog::start();
    let stage = set_up(setup);
    block_on(scenario(stage.clone()));
    block_on(end(stage));
    drop(watchdog);
}

fn set_up(setup: &Setup) -> Stage {
    let (near_engine, far_engine) = (engine(&setup.config), engine(&setup.config));
    let key = Keys::generate(KeyId::new("test").expect("valid"));
    let listen_options = ListenOptions::keyed(Keys::one(key.clone()));
    let connect_options = ConnectOptions::keyed(key);
    block_on(async {
        let listener = far_engine.listen("127.0.0.1:0", listen_options.clone());
        let listener = listener.await.expect("listens");
        let Address::Tcp(target) = listener.address().clone() else {
            panic!("not the kind of address that was asked for");
        };
        let relay = Relay::to(target, setup.bandwidth, setup.socket_buffer_bytes);
        let connect_target = relay.address.to_string();
        let near = near_engine.connect(&connect_target, connect_options.clone());
        let near = near.await.expect("connects");
        let far = listener.accept().await.expect("accepts");
        let disk = tempfile::tempdir().expect("a temporary directory");
        Stage {
            near_engine,
            far_engine,
            near,
            far,
            listener,
            listen_target: target.to_string(),
            connect_target,
            connect_options,
            listen_options,
            ground: Rc::new(Loopback {
                relay,
                disk,
                config: setup.config.clone(),
            }),
        }
    })
}

/// Closes what is there; nothing may be left to the kernel.
async fn end(stage: Stage) {
    drop(stage.listener);
    stage.near.close(Status::ok());
    stage.near.ended().await;
    stage.far.ended().await;
    let engines = [stage.near_engine, stage.far_engine];
    for engine in engines {
        comes_to_rest(&engine).await;
        let report = engine.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.leaked, 0, "operations were left to the kernel");
    }
}

/// Ends the process when a scenario hangs.
struct Watchdog(Option<std::sync::mpsc::Sender<()>>);

impl Watchdog {
    fn start() -> Self {
        let (alive, over) = std::sync::mpsc::channel::<()>();
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        std::thread::spawn(move || {
            use std::sync::mpsc::RecvTimeoutError;
            if over.recv_timeout(AT_MOST) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test} hangs");
                std::process::abort();
            }
        });
        Self(Some(alive))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}
