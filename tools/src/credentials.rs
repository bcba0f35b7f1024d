//! Keys and connections as the command line names them.

use ringway::{
    AuthenticationMode, ConnectOptions, Engine, Keys, ListenOptions, PathChoice, Target,
};
use ringway_files::{Client, ClientOptions};

use crate::cli::{Credentials, Reach};
use crate::failure::Failure;

impl Credentials {
    /// The keys to use: those of the named file, else the user's own, made on first use; `None`
    /// for `--insecure`.
    fn keys(&self) -> Result<Option<Keys>, Failure> {
        if self.insecure {
            return Ok(None);
        }
        let keys = match &self.key_file {
            Some(path) => Keys::load_or_create(path)?,
            None => Keys::of_user()?,
        };
        Ok(Some(keys))
    }

    /// How to connect with them.
    pub(crate) fn connect_options(&self) -> Result<ConnectOptions, Failure> {
        let keys = self.keys()?;
        Ok(keys.map_or_else(ConnectOptions::insecure, |keys| ConnectOptions::keys(&keys)))
    }

    /// How to listen with them; `anywhere` counts only without keys.
    pub(crate) fn listen_options(&self, anywhere: bool) -> Result<ListenOptions, Failure> {
        let mut options = ListenOptions::insecure();
        options.authentication = match self.keys()? {
            Some(keys) => AuthenticationMode::Keyed(keys),
            None => AuthenticationMode::Insecure { anywhere },
        };
        Ok(options)
    }
}

impl Reach {
    /// A client for the server at `target`; it connects with its first call.
    pub(crate) fn client(
        &self,
        engine: &Engine,
        target: &Target,
        path: PathChoice,
    ) -> Result<Client, Failure> {
        let mut connect = self.credentials.connect_options()?;
        connect.connect_timeout = self.connect_timeout;
        connect.attempt_timeout = connect.attempt_timeout.min(self.connect_timeout);
        connect.path = Some(path);
        let options = ClientOptions {
            give_up_after: self.give_up_after,
        };
        Ok(Client::new(engine, &target.to_string(), connect, options))
    }
}
