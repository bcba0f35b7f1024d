//! Keys as C holds them.

use std::path::Path;

use ringway::{Key, KeyId, KeyLimits, Keys, NamedKey};

use crate::failure::{Failure, Result};

/// The user's own keys, made on first use.
pub(crate) fn of_user() -> Result<Keys> {
    Ok(Keys::of_user()?)
}

/// Reads a key file, or makes one.
pub(crate) fn load(path: &Path, makes_one: bool) -> Result<Keys> {
    match makes_one {
        true => Ok(Keys::load_or_create(path)?),
        false => Ok(Keys::load(path)?),
    }
}

/// One key that the application keeps by its own means.
pub(crate) fn from_hex(id: &str, hex: &str) -> Result<Keys> {
    let key = Key::from_hex(hex).map_err(|error| Failure::argument(error.to_string()))?;
    let id = key_id(id)?;
    Ok(Keys::one(NamedKey { id, key }))
}

/// A new random key.
pub(crate) fn generate(id: &str) -> Result<Keys> {
    Ok(Keys::one(Keys::generate(key_id(id)?)))
}

/// What the holder of one of the keys may take.
pub(crate) fn limit(keys: Keys, id: &str, limits: KeyLimits) -> Result<Keys> {
    let id = key_id(id)?;
    match keys.find(&id) {
        Some(_) => Ok(keys.limit(&id, limits)),
        None => Err(Failure::argument(format!(
            "there is no key `{id}` among them"
        ))),
    }
}

fn key_id(text: &str) -> Result<KeyId> {
    KeyId::new(text).map_err(|error| Failure::argument(format!("key id: {error}")))
}
