//! Where to connect to or listen on, as people write it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ringway_io::Address;

/// `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`. A host name is resolved again at each redial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A host by name or literal address.
    Host {
        /// Name or literal, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix stream socket.
    Unix(PathBuf),
}

/// Why a text is no [`Target`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address: write HOST:PORT, [IPV6]:PORT or unix:PATH ({why})")]
pub struct TargetError {
    /// The text as given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Target {
    /// The address, if no resolver is needed.
    #[must_use]
    pub fn literal(&self) -> Option<Address> {
        match self {
            Self::Host { host, port } => {
                let ip: IpAddr = host.parse().ok()?;
                Some(Address::Tcp(SocketAddr::new(ip, *port)))
            }
            Self::Unix(path) => Some(Address::Unix(path.clone())),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let fail = |why| TargetError {
            text: text.into(),
            why,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(fail("the path is empty"));
            }
            return Ok(Self::Unix(path.into()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| fail("no port"))?;
        let port = port.parse().map_err(|_| fail("the port is no number"))?;
        let host = unbracketed(host).ok_or_else(|| fail("an IPv6 address needs brackets"))?;
        if host.is_empty() {
            return Err(fail("the host is empty"));
        }
        let host = host.to_owned();
        Ok(Self::Host { host, port })
    }
}

fn unbracketed(host: &str) -> Option<&str> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']'),
        None if host.contains(':') => None,
        None => Some(host),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<Address> for Target {
    fn from(address: Address) -> Self {
        match address {
            Address::Tcp(address) => Self::Host {
                host: address.ip().to_string(),
                port: address.port(),
            },
            Address::Unix(path) => Self::Unix(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_alike() {
        for text in [
            "node-b:7400",
            "127.0.0.1:0",
            "[::1]:7400",
            "unix:/run/r.sock",
        ] {
            assert_eq!(text.parse::<Target>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_wrong_address_says_what_is_wrong() {
        for text in [
            "node-b",
            "::1:7400",
            ":7400",
            "node-b:x",
            "unix:",
            "[::1:7400",
        ] {
            let error = text.parse::<Target>().expect_err(text);
            assert!(error.to_string().contains(text));
        }
    }
}
