//! Keys, and the file that holds one user's.
//!
//! ```text
//! # Ringway key: whoever has it may connect as this name. Keep it secret.
//! ringway-key-1 <key id> <64 hex digits> [sessions=<n>] [streams=<n>] [retained=<bytes>]
//! ```
//!
//! The first key is the user's own, to connect with. A second line with its id holds what it was
//! before, while the key is being changed (docs/decisions/key-rotation.md).
//!
//! What stands behind a key bounds what its holder may take ([`KeyLimits`]).
//!
//! The file is made on first use with mode 0600 in a directory of mode 0700, so that one user's
//! commands just work together and another user's are refused. A file that others can read is
//! refused: its key is no secret.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ringway_proto::{Key, KeyId};

use crate::key_limits::KeyLimits;

/// A key and the name it is known by.
#[derive(Clone)]
pub struct NamedKey {
    /// Names the key in handshakes; not secret.
    pub id: KeyId,
    /// The secret.
    pub key: Key,
}

impl fmt::Debug for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamedKey({}, secret)", self.id)
    }
}

/// A set of keys: what a listener accepts; the first is the user's own.
#[derive(Clone, Debug)]
pub struct Keys {
    own: NamedKey,
    others: BTreeMap<String, NamedKey>,
    limits: BTreeMap<String, KeyLimits>,
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or made.
    #[error("key file {path}: {error}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others can read or write it.
    #[error("key file {path} has mode {mode:03o}: others can read it; make a new key with `ringway key new`, or run `chmod 600 {path}` if nobody did", path = path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("key file {path} belongs to user {owner}, you are {you}", path = path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Effective user.
        you: u32,
    },
    /// A line is not what it should be.
    #[error("key file {path}, line {line}: {why}", path = path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Counted from 1; 0: the file has no key.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// There is no home to put one in.
    #[error("neither XDG_CONFIG_HOME nor HOME is set: name a key file")]
    NoHome,
}

const TAG: &str = "ringway-key-1";

impl Keys {
    /// One key.
    #[must_use]
    pub fn one(own: NamedKey) -> Self {
        Self {
            own,
            others: BTreeMap::new(),
            limits: BTreeMap::new(),
        }
    }

    /// One more key; it takes the place of one with the same id that is not the first. With the
    /// id of the first it is what that key was before ([`previous`](Self::previous)).
    #[must_use]
    pub fn with(mut self, key: NamedKey) -> Self {
        self.others.insert(key.id.to_string(), key);
        self
    }

    /// With all keys of another set, and their limits; the first stays the first. As in a file, a
    /// key with the id of the first is what that was before; of other ids the joined set's holds.
    #[must_use]
    pub fn join(self, more: &Self) -> Self {
        let others = more.others.values().filter(|key| key.id != more.own.id);
        others.chain([&more.own]).fold(self, |all, key| {
            let is_previous = key.id == all.own.id;
            match is_previous {
                true => all.with(key.clone()),
                false => all
                    .limit(&key.id, more.limits_of(&key.id))
                    .with(key.clone()),
            }
        })
    }

    /// Bounds what the holder of a key may take.
    #[must_use]
    pub fn limit(mut self, id: &KeyId, limits: KeyLimits) -> Self {
        self.limits.insert(id.to_string(), limits);
        self
    }

    /// What the holder of a key may take.
    #[must_use]
    pub fn limits_of(&self, id: &KeyId) -> KeyLimits {
        self.limits
            .get(&id.to_string())
            .copied()
            .unwrap_or_default()
    }

    /// A new random key.
    ///
    /// # Panics
    /// When the kernel gives no randomness, which it always does.
    #[must_use]
    pub fn generate(id: KeyId) -> NamedKey {
        let mut bytes = [0; 32];
        let mut source = fs::File::open("/dev/urandom").expect("every Linux has /dev/urandom");
        io::Read::read_exact(&mut source, &mut bytes).expect("/dev/urandom never ends");
        NamedKey {
            id,
            key: Key::from_bytes(bytes),
        }
    }

    /// The user's own keys, from [`path_of_user`](Self::path_of_user); made if there are none.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn of_user() -> Result<Self, KeyFileError> {
        Self::load_or_create(&Self::path_of_user()?)
    }

    /// `$XDG_CONFIG_HOME/ringway/key`, or `~/.config/ringway/key`.
    ///
    /// # Errors
    /// [`KeyFileError::NoHome`].
    pub fn path_of_user() -> Result<PathBuf, KeyFileError> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let base = match set("XDG_CONFIG_HOME") {
            Some(base) => PathBuf::from(base),
            None => PathBuf::from(set("HOME").ok_or(KeyFileError::NoHome)?).join(".config"),
        };
        Ok(base.join("ringway").join("key"))
    }

    /// Reads a key file, or makes one with a new key if there is none.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        match Self::load(path) {
            Err(KeyFileError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                match Self::create(path, &Self::generate(default_id())) {
                    // Another process was first: its key is the user's key.
                    Err(KeyFileError::Io { error, .. })
                        if error.kind() == io::ErrorKind::AlreadyExists => {}
                    other => other?,
                }
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let fail = |error| KeyFileError::Io {
            path: path.into(),
            error,
        };
        let file = fs::File::open(path).map_err(fail)?;
        check_owner(path, &file.metadata().map_err(fail)?)?;
        let mut text = String::new();
        io::Read::read_to_string(&mut io::Read::take(file, 1 << 20), &mut text).map_err(fail)?;
        Self::parse(path, &text)
    }

    /// Writes a key file, whole or not at all; an existing one is not replaced.
    ///
    /// # Errors
    /// [`KeyFileError::Io`], with `AlreadyExists` if there is one.
    pub fn create(path: &Path, key: &NamedKey) -> Result<(), KeyFileError> {
        let fail = |error| KeyFileError::Io {
            path: path.into(),
            error,
        };
        if let Some(parent) = path.parent() {
            let mut builder = fs::DirBuilder::new();
            builder
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .map_err(fail)?;
        }
        let temporary = path.with_extension(format!("new-{}", std::process::id()));
        let written = write_new(&temporary, key)
            .and_then(|()| fs::hard_link(&temporary, path))
            .map_err(fail);
        let _ = fs::remove_file(&temporary);
        written
    }

    fn parse(path: &Path, text: &str) -> Result<Self, KeyFileError> {
        let fail = |line, why| KeyFileError::Malformed {
            path: path.into(),
            line,
            why,
        };
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            keys.push(parse_line(line).map_err(|why| fail(index + 1, why))?);
        }
        let mut keys = keys.into_iter();
        let (own, limits) = keys
            .next()
            .ok_or_else(|| fail(0, "there is no key in it"))?;
        let first = Self::one(own.clone()).limit(&own.id, limits);
        Ok(keys.fold(first, |all, (key, limits)| {
            match key.id == all.own.id {
                // What the first key was before: the limits are those of its present line.
                true => all.with(key),
                false => all.limit(&key.id, limits).with(key),
            }
        }))
    }

    /// The key to connect with: the first of the file.
    #[must_use]
    pub fn own(&self) -> NamedKey {
        self.own.clone()
    }

    /// What that key was before it was changed: the one that follows under the same id.
    #[must_use]
    pub fn previous(&self) -> Option<Key> {
        let before = self.others.get(&self.own.id.to_string());
        before.map(|named| named.key.clone())
    }

    /// The key of that name.
    #[must_use]
    pub fn find(&self, id: &KeyId) -> Option<&NamedKey> {
        if self.own.id == *id {
            return Some(&self.own);
        }
        self.others.get(&id.to_string())
    }
}

fn default_id() -> KeyId {
    let user = std::env::var("USER").unwrap_or_default();
    let usable = user.chars().filter(char::is_ascii_alphanumeric).take(32);
    let id: String = usable.collect();
    let id = if id.is_empty() { "user".into() } else { id };
    KeyId::new(&id).expect("up to 32 letters and digits are a key id")
}

fn write_new(path: &Path, key: &NamedKey) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let (id, secret) = (&key.id, key.key.to_hex());
    let secret = secret.as_str();
    file.write_all(
        format!(
            "# Ringway key: whoever has it may connect under this name. Keep it secret.\n\
             {TAG} {id} {secret}\n"
        )
        .as_bytes(),
    )?;
    file.sync_all()
}

fn check_owner(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.into();
        return Err(KeyFileError::Exposed { path, mode });
    }
    let you = fs::metadata("/proc/self").map_or(metadata.uid(), |own| own.uid());
    if metadata.uid() != you && you != 0 {
        return Err(KeyFileError::Foreign {
            path: path.into(),
            owner: metadata.uid(),
            you,
        });
    }
    Ok(())
}

fn parse_line(line: &str) -> Result<(NamedKey, KeyLimits), &'static str> {
    let mut words = line.split_whitespace();
    if words.next() != Some(TAG) {
        return Err("it does not begin with `ringway-key-1`");
    }
    let id = words.next().ok_or("the key id is missing")?;
    let secret = words.next().ok_or("the key is missing")?;
    let key = NamedKey {
        id: KeyId::new(id).map_err(|_| "the key id is not valid")?,
        key: Key::from_hex(secret).map_err(|_| "the key is not 64 hex digits")?,
    };
    Ok((key, KeyLimits::parse(words)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_is_made_once_private_and_read_back() {
        let home = tempfile::tempdir().expect("temporary directory");
        let path = home.path().join("ringway/key");
        let first = Keys::load_or_create(&path).expect("made");
        let again = Keys::load_or_create(&path).expect("read");
        assert_eq!(first.own().key.to_hex(), again.own().key.to_hex());
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(again.find(&first.own().id).is_some());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_remedy() {
        let home = tempfile::tempdir().expect("temporary directory");
        let path = home.path().join("key");
        Keys::load_or_create(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        let error = Keys::load(&path).expect_err("exposed");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn limits_stand_behind_their_key() {
        let secret = "0f".repeat(32);
        let text = format!(
            "ringway-key-1 me {secret}\nringway-key-1 you {secret} sessions=2 streams=64\n"
        );
        let keys = Keys::parse(Path::new("key"), &text).expect("valid");
        let id = |name| KeyId::new(name).expect("valid");
        assert_eq!(keys.limits_of(&id("me")), KeyLimits::default());
        let limits = keys.limits_of(&id("you"));
        assert_eq!((limits.sessions, limits.streams), (Some(2), Some(64)));
        assert!(keys.find(&id("you")).is_some());
    }

    #[test]
    fn joined_sets_know_all_keys_with_their_limits_and_what_the_first_was_before() {
        let id = |name| KeyId::new(name).expect("valid");
        let one = |name, limits| {
            let key = Keys::generate(id(name));
            Keys::one(key).limit(&id(name), limits)
        };
        let limits = |sessions| KeyLimits {
            sessions: Some(sessions),
            ..KeyLimits::default()
        };
        let own = one("me", limits(1));
        let before = one("me", limits(9));
        let you = one("you", limits(2)).join(&one("they", limits(3)));
        let you = you.join(&one("you", limits(4)));
        let all = own.clone().join(&you).join(&before);
        let secret = |key: Option<Key>| key.map(|key| key.to_hex().as_str().to_owned());
        assert_eq!(secret(Some(all.own().key)), secret(Some(own.own().key)));
        assert_eq!(secret(all.previous()), secret(Some(before.own().key)));
        let found = all.find(&id("you")).map(|named| named.key.clone());
        assert_eq!(secret(found), secret(Some(you.own().key)));
        let sessions = ["me", "you", "they"].map(|name| all.limits_of(&id(name)).sessions);
        assert_eq!(sessions, [Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn a_malformed_file_names_the_line_and_never_the_secret() {
        let path = Path::new("key");
        let text = "# comment\nringway-key-1 me 00ff\n";
        let error = Keys::parse(path, text).expect_err("too short").to_string();
        assert!(
            error.contains("line 2") && !error.contains("00ff"),
            "{error}"
        );
        assert!(Keys::parse(path, "\n").is_err());
        let text = format!("ringway-key-1 me {} much=1\n", "0f".repeat(32));
        let error = Keys::parse(path, &text).expect_err("unknown word");
        assert!(error.to_string().contains("sessions="), "{error}");
    }

    #[test]
    fn a_second_line_with_the_first_id_is_what_the_key_was_before() {
        let [new, old] = ["11", "22"].map(|byte| byte.repeat(32));
        let text =
            format!("ringway-key-1 alice {new} sessions=2\nringway-key-1 alice {old} sessions=9\n");
        let keys = Keys::parse(Path::new("keys"), &text).expect("valid");
        let id = keys.own().id;
        assert_eq!(keys.own().key.to_hex().as_str(), new);
        let previous = keys.previous().expect("it was given");
        assert_eq!(previous.to_hex().as_str(), old);
        let found = keys.find(&id).expect("known");
        assert_eq!(found.key.to_hex().as_str(), new);
        assert_eq!(keys.limits_of(&id).sessions, Some(2));
    }
}
