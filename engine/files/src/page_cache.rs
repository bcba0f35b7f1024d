//! Whether large files pass the page cache.

use ringway::File;

/// How large files (1 MiB or more) are read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageCache {
    /// Through the page cache: what is read or written again soon comes from memory.
    #[default]
    Used,
    /// Past it ([`File::direct`]), where the file system can: what is moved once leaves the cache
    /// to others, and costs less of the processor. What the cache has already is sent from there.
    Passed,
}

impl PageCache {
    /// The file for its body.
    pub(crate) async fn opened(self, file: &File) -> File {
        if self == Self::Used {
            return file.clone();
        }
        match file.direct().await {
            Ok(direct) => direct,
            Err(error) => {
                tracing::debug!(%error, "through the page cache after all");
                file.clone()
            }
        }
    }
}
