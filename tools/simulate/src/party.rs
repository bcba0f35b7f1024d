//! One end of a session: an engine, its disk, and its handle of the session.

use std::time::Duration;

use ringway::{Engine, File, OpenHow, Session};
use ringway_sim::{DiskHandle, HostId, World};

use crate::scene::Spawner;

/// One end of a session.
#[derive(Clone)]
pub struct Party {
    /// The engine at this end.
    pub engine: Engine,
    /// The disk of its host.
    pub disk: DiskHandle,
    /// Its handle.
    pub session: Session,
    /// Tells the ends apart in names of files: the directory of this one's.
    pub name: String,
    pub(crate) spawner: Spawner,
}

impl Party {
    /// The end `name` of a session, in the process on `host`.
    #[must_use]
    pub fn new(
        world: &World,
        host: HostId,
        engine: &Engine,
        session: &Session,
        name: String,
        spawner: &Spawner,
    ) -> Self {
        let disk = world.disk(host);
        disk.plant_directory(format!("/{name}"));
        Self {
            engine: engine.clone(),
            disk,
            session: session.clone(),
            name,
            spawner: spawner.of(host),
        }
    }

    /// Opens a file that must open in the end, whatever fails meanwhile.
    pub(crate) async fn open(&self, path: &str, how: OpenHow) -> File {
        // Each attempt anew: they go to the shards in turn.
        self.insist(path, async || self.engine.ambient().open(path, how).await)
            .await
    }

    /// The same for bodies: one in three files passes the page cache, whichever by its name.
    pub(crate) async fn open_for_bodies(&self, path: &str, how: OpenHow) -> File {
        let file = self.open(path, how).await;
        if path.bytes().map(u32::from).sum::<u32>() % 3 != 0 {
            return file;
        }
        self.insist(path, async || file.direct().await).await
    }

    async fn insist(
        &self,
        path: &str,
        attempt: impl AsyncFn() -> Result<File, ringway::Error>,
    ) -> File {
        loop {
            match attempt().await {
                Ok(file) => return file,
                Err(ringway::Error::Kernel { .. }) => self.pause(Duration::from_millis(10)).await,
                Err(error) => panic!("{path} does not open: {error}"),
            }
        }
    }

    pub(crate) async fn pause(&self, pause: Duration) {
        self.engine.sleep(pause).await.expect("the engine lives");
    }
}
