//! A client of `ringway serve` behind a handle.

use ringway::ConnectOptions;
use ringway_files::{Client, ClientOptions};

use crate::failure::Result;
use crate::handle::Kind;
use crate::instance::Instance;
use crate::slot::Object;

/// See the module.
pub(crate) struct ClientSlot {
    pub(crate) client: Client,
}

impl Instance {
    /// Takes note of where to connect; answers with the handle.
    pub(crate) fn open_client(
        &self,
        target: &str,
        connect: ConnectOptions,
        options: ClientOptions,
        user_data: u64,
    ) -> Result<u64> {
        self.check_running()?;
        // The engine looks with the first call.
        self.check_route(target, connect.shard)?;
        let client = Client::new(&self.engine, target, connect, options);
        let slot = self.table.insert(Kind::Client, user_data, |_| {
            Object::Client(ClientSlot { client })
        })?;
        Ok(slot.number)
    }

    /// Ends the client's session after what is under way.
    pub(crate) fn close_client(&self, handle: u64) -> Result<()> {
        self.at(handle, |slot| slot.client().map(drop))?;
        let slot = self.free(handle)?;
        let client = slot.client()?.client.clone();
        // With a stopped engine there is nothing left to close.
        let _ = self
            .engine
            .spawn_on(0, move || async move { client.close().await });
        Ok(())
    }
}
