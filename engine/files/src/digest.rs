//! Reading a file to digest it: off the main path, only when asked for (F-42).

use ringway::{Error, File};
use xxhash_rust::xxh3::Xxh3Default;

const BUFFER_BYTES: usize = 1 << 20;

/// XXH3-128 of a whole file.
pub(crate) async fn digest_of(file: &File) -> Result<u128, Error> {
    let mut state = Xxh3Default::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = 0;
    loop {
        let (returned, filled) = file.read_at(at, buffer).await?;
        state.update(&returned[..filled]);
        at += filled as u64;
        if filled < BUFFER_BYTES {
            return Ok(state.digest128());
        }
        buffer = returned;
    }
}
