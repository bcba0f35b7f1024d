//! The two engines, the stream that is kept full, and the cuts.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringway::{
    Address, ConnectOptions, Engine, Listener, Session, SessionState, Status, Stream,
    StreamOptions, block_on,
};
use ringway_benches::Result;
use ringway_benches::engine_side::{Answer, connect_options, listen_options, on_shard, start};
use ringway_benches::files::Files;

use crate::cut::{Arrivals, Cut};
use crate::sockets::Sockets;

/// Sent again and again, hot.
const FILE_BYTES: u64 = 256 << 20;

/// So much flows between two cuts: the windows are full again by then.
const BETWEEN_CUTS_BYTES: u64 = 64 << 20;

/// Plain dials, and round trips of 64 bytes.
const SAMPLES: usize = 1000;

/// A session that does not come back for so long ends the measurement.
const GAP_MAX: Duration = Duration::from_secs(30);

/// How often the cutter looks.
const LOOK: Duration = Duration::from_micros(50);

/// See the module.
pub struct Run {
    sender: Engine,
    receiver: Engine,
    near: Session,
    far: Session,
    /// Redials need it.
    _listener: Listener,
    sockets: Sockets,
}

impl Run {
    pub fn start() -> Result<Self> {
        let (sender, receiver) = (start()?, start()?);
        let sockets = Sockets::default();
        let (near, far, listener) = block_on(async {
            let listener = receiver.listen("127.0.0.1:0", listen_options()).await?;
            let Address::Tcp(address) = listener.address().clone() else {
                return Err("not the kind of address that was asked for".into());
            };
            let options = ConnectOptions {
                connector: Some(sockets.connector(address)),
                ..connect_options()
            };
            let near = sender.connect(&address.to_string(), options).await?;
            let far = listener.accept().await?;
            Result::Ok((near, far, listener))
        })?;
        Ok(Self {
            sender,
            receiver,
            near,
            far,
            _listener: listener,
            sockets,
        })
    }

    /// How long a plain socket takes to connect on loopback.
    pub fn dials(&self) -> Result<Vec<Duration>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address: SocketAddr = listener.local_addr()?;
        let mut dials = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            let begin = Instant::now();
            let socket = TcpStream::connect(address)?;
            dials.push(begin.elapsed());
            drop((socket, listener.accept()?));
        }
        Ok(dials)
    }

    /// How long 64 bytes take to the other application and back, with nothing else on the session.
    pub fn round_trips(&self) -> Result<Vec<Duration>> {
        block_on(async {
            let near = self.near.open(StreamOptions::default()).await?;
            near.send_record(vec![0; 64]).await?;
            let far = self.far.accept().await?;
            let echo = std::thread::spawn(move || block_on(echo(&far)));
            near.receive_record(64).await?;
            let mut round_trips = Vec::with_capacity(SAMPLES);
            for _ in 0..SAMPLES {
                let begin = Instant::now();
                near.send_record(vec![0; 64]).await?;
                near.receive_record(64).await?;
                round_trips.push(begin.elapsed());
            }
            near.finish(Status::ok()).await?;
            echo.join().map_err(|_| "the echo failed")??;
            Ok(round_trips)
        })
    }

    /// Keeps a stream full and cuts its connections so many times.
    pub fn cuts(&self, count: u32) -> Result<Vec<Cut>> {
        let near = block_on(self.near.open(StreamOptions::default()))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let arrivals = Arc::new(Mutex::new(Arrivals::default()));
        let sending = self.keep_full(near.clone(), Arc::clone(&is_over))?;
        let far = block_on(self.far.accept())?;
        let receiving = self.keep_empty(far.clone(), Arc::clone(&arrivals))?;
        let mut cuts = Vec::new();
        for _ in 0..count {
            cuts.push(self.cut(&near, &far, &arrivals)?);
        }
        is_over.store(true, Ordering::Relaxed);
        sending.join().map_err(|_| "the sender failed")??;
        receiving.recv()??;
        Ok(cuts)
    }

    /// Takes what comes as a task on the shard, as fast as it comes: else the sender waits for
    /// credit, nothing is unacked when the connections are cut, and what counts as the gap is how
    /// long the application takes for the full window that its engine holds.
    fn keep_empty(&self, stream: Stream, arrivals: Arc<Mutex<Arrivals>>) -> Result<Answer<()>> {
        on_shard(&self.receiver, move || async move {
            let mut offset = 0;
            while let Some(piece) = stream.receive().await? {
                offset += piece.bytes.len() as u64;
                lock(&arrivals).note(offset);
            }
            Ok(())
        })
    }

    fn keep_full(
        &self,
        stream: Stream,
        is_over: Arc<AtomicBool>,
    ) -> Result<JoinHandle<Result<()>>> {
        let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
        let file = Files::make(directory, FILE_BYTES)?;
        let source = block_on(
            self.sender
                .adopt_file(std::fs::File::open(file.source_path())?),
        )?;
        Ok(std::thread::spawn(move || {
            let _file = file;
            block_on(async {
                let mut end = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let before = end;
                    end = stream.send(source.range(0, FILE_BYTES)).await?;
                    // One lap is on its way while another one waits.
                    stream.acked(before).await?;
                }
                stream.finish(Status::ok()).await?;
                Ok(())
            })
        }))
    }

    fn cut(&self, near: &Stream, far: &Stream, arrivals: &Mutex<Arrivals>) -> Result<Cut> {
        let offset = || lock(arrivals).offset();
        let goal = offset() + BETWEEN_CUTS_BYTES;
        wait_for("the stream to be full", || offset() >= goal)?;
        let before = block_on(self.sender.statistics())?.replayed_bytes;
        let epoch = epoch_of(&self.near).ok_or("the session is not connected")?;
        let begin = Instant::now();
        self.sockets.reset()?;
        let taken = offset();
        let unacked_bytes = self.unacked(near, epoch)?;
        wait_for("the session to come back", || {
            epoch_of(&self.far) > Some(epoch)
        })?;
        // What the engine has by now may have come over the old connection.
        let old = block_on(far.progress())?.received;
        let untaken_bytes = old.saturating_sub(taken);
        wait_for("new bytes", || lock(arrivals).first_beyond(old).is_some())?;
        let first = lock(arrivals).first_beyond(old).ok_or("it was there")?;
        // All that is sent again is, once as much as was unacked has passed.
        let goal = old + unacked_bytes.unwrap_or(BETWEEN_CUTS_BYTES);
        wait_for("the replay to end", || offset() > goal)?;
        let after = block_on(self.sender.statistics())?.replayed_bytes;
        Ok(Cut {
            gap: first.duration_since(begin),
            untaken_bytes,
            unacked_bytes,
            resent_bytes: after - before,
        })
    }

    /// What is unacked between the loss and the resume, which changes it.
    fn unacked(&self, stream: &Stream, epoch: u64) -> Result<Option<u64>> {
        let is_seen = || epoch_of(&self.near) != Some(epoch);
        wait_for("the loss to be seen", is_seen)?;
        let progress = block_on(stream.progress())?;
        let is_back = epoch_of(&self.near).is_some();
        Ok((!is_back).then(|| progress.sent - progress.acked))
    }

    pub fn end(self) {
        self.near.close(Status::ok());
        block_on(async {
            self.near.ended().await;
            self.far.ended().await;
            for engine in [self.sender, self.receiver] {
                engine.shutdown(Duration::from_secs(5)).await;
            }
        });
    }
}

fn lock(arrivals: &Mutex<Arrivals>) -> std::sync::MutexGuard<'_, Arrivals> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

fn epoch_of(session: &Session) -> Option<u64> {
    match session.state() {
        SessionState::Connected { epoch } => Some(epoch.0),
        _ => None,
    }
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) -> Result<()> {
    let begin = Instant::now();
    while !is_there() {
        if begin.elapsed() > GAP_MAX {
            return Err(format!("waited {GAP_MAX:?} for {what}").into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

async fn echo(stream: &Stream) -> Result<()> {
    while let Some(record) = stream.receive_record(64).await? {
        stream.send_record(record).await?;
    }
    stream.finish(Status::ok()).await?;
    Ok(())
}
