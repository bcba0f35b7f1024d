//! Answering requests about directories: made in batches before their files, given their
//! attributes in batches after them.

use ringway::Stream;

use crate::RemotePath;
use crate::failure::{At, Halt};
use crate::message::{DirectoryAttributes, Reply};
use crate::partial::MODE_KEPT;
use crate::service::{Service, reply};

impl Service {
    pub(crate) async fn make_directories(
        &self,
        stream: &Stream,
        paths: &[RemotePath],
    ) -> Result<(), Halt> {
        for path in paths {
            self.check_writable(path)?;
        }
        self.root.make_directories(paths.iter()).await?;
        reply(stream, &Reply::Done).await
    }

    pub(crate) async fn set_directories(
        &self,
        stream: &Stream,
        directories: &[DirectoryAttributes],
    ) -> Result<(), Halt> {
        for DirectoryAttributes {
            path,
            mode,
            modified,
        } in directories
        {
            self.check_writable(path)?;
            let directory = self.root.enter(path).await?;
            let mode = mode & MODE_KEPT;
            let set = directory
                .set_attributes(Some(mode), Some(modified.as_ns()))
                .await;
            set.at(self.root.show(path))?;
        }
        reply(stream, &Reply::Done).await
    }
}
