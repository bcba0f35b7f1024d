//! `ringway key`: make a key, or show which one is used.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ringway::{KeyFileError, KeyId, Keys, NamedKey};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cli::{Key, KeyCommand, KeyNew, KeyShow};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Does what the subcommand says.
pub(super) fn run(options: &Key, output: &Output) -> Result<(), Failure> {
    match &options.command {
        KeyCommand::New(options) => new(options, output),
        KeyCommand::Show(options) => show(options, output),
    }
}

fn new(options: &KeyNew, output: &Output) -> Result<(), Failure> {
    let path = path_of(options.key_file.as_deref())?;
    let id = match &options.id {
        Some(id) => id.clone(),
        None => std::env::var("USER").unwrap_or_default(),
    };
    let id = KeyId::new(&id).or_else(|error| match &options.id {
        Some(id) => Err(Failure::usage(format_args!("--id {id}: {error}"))),
        None => KeyId::new("user").map_err(Failure::usage),
    })?;
    let key = Keys::generate(id);
    match Keys::create(&path, &key) {
        Err(KeyFileError::Io { error, .. }) if error.kind() == ErrorKind::AlreadyExists => {
            replace(&path, &key, options.force)?;
        }
        other => other?,
    }
    tell(&path, &key, false, output);
    Ok(())
}

/// Puts the new key in the place of the old by one rename: a command that starts meanwhile finds
/// the one or the other.
fn replace(path: &Path, key: &NamedKey, force: bool) -> Result<(), Failure> {
    if !force {
        let shown = path.display();
        let message = format_args!(
            "{shown} is there already: --force replaces it, and whoever only knows the old key is \
             refused from then on"
        );
        return Err(Failure::coded(Exit::File, "exists", message));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".replacing-{}", std::process::id()));
    let temporary = PathBuf::from(name);
    Keys::create(&temporary, key)?;
    fs::rename(&temporary, path).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        Failure::file("replace", path, &error)
    })
}

fn show(options: &KeyShow, output: &Output) -> Result<(), Failure> {
    let path = path_of(options.key_file.as_deref())?;
    let keys = match &options.key_file {
        // A file that was named is expected to be there; the user's own is made on first use.
        Some(path) => Keys::load(path)?,
        None => Keys::load_or_create(&path)?,
    };
    tell(&path, &keys.own(), options.secret, output);
    Ok(())
}

fn path_of(named: Option<&Path>) -> Result<PathBuf, Failure> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => Ok(Keys::path_of_user()?),
    }
}

fn tell(path: &Path, key: &NamedKey, with_secret: bool, output: &Output) {
    let (id, fingerprint) = (key.id.to_string(), fingerprint(key));
    let secret = with_secret.then(|| key.key.to_hex().as_str().to_owned());
    output.line(&format!("id           {id}"));
    output.line(&format!("fingerprint  {fingerprint}"));
    output.line(&format!("file         {}", path.display()));
    if let Some(secret) = &secret {
        output.line(&format!("secret       {secret}"));
    }
    let mut document = json!({
        "id": id,
        "fingerprint": fingerprint,
        "file": path.to_string_lossy(),
    });
    if let Some(secret) = secret {
        document["secret"] = secret.into();
    }
    output.finish(&document);
}

/// Tells two keys apart without telling the keys: the first half of a SHA-256 over a prefix of
/// its own and the key, in groups that can be read over the telephone.
fn fingerprint(key: &NamedKey) -> String {
    let mut hash = Sha256::new();
    hash.update(b"ringway key fingerprint 1\0");
    hash.update(key.key.to_hex().as_bytes());
    let digest = hash.finalize();
    let groups: Vec<_> = digest[..16]
        .chunks(2)
        .map(|pair| format!("{:02x}{:02x}", pair[0], pair[1]))
        .collect();
    groups.join("-")
}
