//! A file at another endpoint, as people write it: `ADDRESS/PATH`.

use std::fmt;
use std::str::FromStr;

use ringway::Target;

/// `HOST:PORT/PATH`, `[IPV6]:PORT/PATH` or `unix:SOCKET//PATH`.
///
/// The path is relative to the root that is served there; an empty one is the root itself. It is
/// kept as typed: the file service reads a trailing slash as "into this directory", and refuses
/// an absolute path with an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Who.
    pub(crate) target: Target,
    /// What.
    pub(crate) path: String,
}

impl Remote {
    /// The last component, empty for the root.
    pub(crate) fn file_name(&self) -> &str {
        let path = self.path.trim_end_matches('/');
        path.rsplit('/').next().unwrap_or_default()
    }
}

impl FromStr for Remote {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (target, path) = split(text);
        let target = target.parse::<Target>().map_err(|error| {
            let why = error.why;
            format!(
                "`{text}` is no remote file: write HOST:PORT/PATH, [IPV6]:PORT/PATH or \
                 unix:SOCKET//PATH ({why})"
            )
        })?;
        Ok(Self {
            target,
            path: path.to_owned(),
        })
    }
}

/// Cuts behind the address: at `//` for Unix sockets, whose own path has slashes.
fn split(text: &str) -> (&str, &str) {
    let separator = if text.starts_with("unix:") { "//" } else { "/" };
    text.split_once(separator).unwrap_or((text, ""))
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match self.target {
            Target::Unix(_) => "//",
            Target::Host { .. } => "/",
        };
        write!(f, "{}{separator}{}", self.target, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, String) {
        let remote: Remote = text.parse().expect(text);
        (remote.target.to_string(), remote.path)
    }

    #[test]
    fn every_form_of_address_is_cut_at_the_right_place() {
        for (text, target, path) in [
            ("node-b:7400/a/b", "node-b:7400", "a/b"),
            ("node-b:7400", "node-b:7400", ""),
            ("node-b:7400/", "node-b:7400", ""),
            ("127.0.0.1:7400//etc/x", "127.0.0.1:7400", "/etc/x"),
            ("[::1]:7400/dir/", "[::1]:7400", "dir/"),
            ("unix:/run/r.sock//a/b", "unix:/run/r.sock", "a/b"),
            ("unix:r.sock", "unix:r.sock", ""),
            ("unix:/run/r.sock//", "unix:/run/r.sock", ""),
            ("node-b:7400/with:colon", "node-b:7400", "with:colon"),
        ] {
            assert_eq!(parsed(text), (target.into(), path.into()), "{text}");
        }
    }

    #[test]
    fn what_is_local_is_not_taken_for_remote() {
        for text in [
            "./a:7400/x",
            "/a:1/b",
            "file",
            "dir/file",
            "",
            "a:b/c",
            "unix:",
        ] {
            let error = text.parse::<Remote>().expect_err(text);
            assert!(error.contains("HOST:PORT/PATH"), "{error}");
        }
    }

    #[test]
    fn a_remote_is_shown_as_it_is_read() {
        for text in ["node-b:7400/a/b", "[::1]:7400/x", "unix:/run/r.sock//a"] {
            let remote: Remote = text.parse().expect(text);
            assert_eq!(remote.to_string(), text);
        }
    }

    #[test]
    fn the_file_name_ignores_a_trailing_slash() {
        for (text, name) in [
            ("h:1/a/b", "b"),
            ("h:1/a/", "a"),
            ("h:1", ""),
            ("h:1/x", "x"),
        ] {
            assert_eq!(text.parse::<Remote>().expect(text).file_name(), name);
        }
    }
}
