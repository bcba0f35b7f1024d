//! The server's half of a call: every record goes back.

use ringway::{Error, Status, Stream};

use super::failures::{self, Role};
use super::test::Test;

/// Echoes until the client ceases.
pub(super) async fn echo(test: &Test, stream: &Stream) {
    if let Err(error) = echo_all(test, stream).await {
        // The client ends a test by a reset: the server has no failure of its own in that.
        let is_end = matches!(error, Error::StreamReset { .. } | Error::Stopped(_));
        if !is_end {
            test.fail(failures::of_stream(error, Role::Server));
        }
        stream.reset(Status::ok());
    }
}

async fn echo_all(test: &Test, stream: &Stream) -> Result<(), Error> {
    while let Some(record) = stream.receive_record(test.plan.call_bytes).await? {
        stream.send_record(record).await?;
    }
    stream.finish(Status::ok()).await
}
