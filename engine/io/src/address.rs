//! Where a socket listens or connects to, already resolved.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A resolved transport address.
///
/// Host names are resolved by the layer above, again at each redial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A Unix stream socket by path; a path that begins with a NUL byte is an abstract name.
    Unix(PathBuf),
}

impl Address {
    /// Whether only this machine can be at the other end: loopback or a Unix socket.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither `IP:PORT`, `[IPV6]:PORT` nor `unix:PATH`")]
pub struct AddressError {
    /// The text as given.
    pub text: String,
}

impl FromStr for Address {
    type Err = AddressError;

    /// Parses `IP:PORT`, `[IPV6]:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// [`AddressError`] for anything else, host names included: they need a resolver.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        text.parse()
            .map(Self::Tcp)
            .map_err(|_| AddressError { text: text.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_a_round_trip_through_text() {
        for text in ["127.0.0.1:7400", "[::1]:7400", "unix:/run/ringway.sock"] {
            let address: Address = text.parse().expect("valid");
            assert_eq!(address.to_string(), text);
            assert!(address.is_local());
        }
    }

    #[test]
    fn a_host_name_is_refused_with_its_text() {
        let error = "node-b:7400"
            .parse::<Address>()
            .expect_err("needs a resolver");
        assert!(error.to_string().contains("node-b:7400"));
        assert!("unix:".parse::<Address>().is_err());
    }
}
