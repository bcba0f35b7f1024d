//! The sockets of the session that is cut: made by the application's own dialer, which keeps a
//! duplicate of each.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use ringway::Connector;

/// See the module.
#[derive(Clone, Default)]
pub struct Sockets(Arc<Mutex<Vec<OwnedFd>>>);

impl Sockets {
    /// A dialer to this address.
    pub fn connector(&self, address: SocketAddr) -> Connector {
        let kept = Arc::clone(&self.0);
        Connector::new(move || std::future::ready(dial(address, &kept)))
    }

    /// Resets every connection there is, for both ends.
    pub fn reset(&self) -> std::io::Result<()> {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for socket in sockets.drain(..) {
            rustix::net::connect_unspec(&socket)?;
        }
        Ok(())
    }
}

fn dial(address: SocketAddr, kept: &Mutex<Vec<OwnedFd>>) -> std::io::Result<OwnedFd> {
    let socket = TcpStream::connect(address)?;
    let copy = socket.try_clone()?;
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.push(copy.into());
    Ok(socket.into())
}
