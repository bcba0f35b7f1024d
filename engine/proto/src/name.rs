//! Names that peers tell each other: bounded, printable.

use std::fmt;

use crate::limit::{ENDPOINT_NAME_BYTES_MAX, KEY_ID_BYTES_MAX};

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has none or too many bytes.
    #[error("a name has 1 to {max} bytes, this one has {length}")]
    Length {
        /// Its length.
        length: usize,
        /// The bound.
        max: usize,
    },
    /// It has something else than letters, digits and `. _ - @ :`.
    #[error("byte {byte:#04x} at {at}: a name has ASCII letters, digits and . _ - @ : only")]
    Character {
        /// Which.
        byte: u8,
        /// Where.
        at: usize,
    },
}

fn check(text: &str, max: usize) -> Result<Box<str>, NameError> {
    let length = text.len();
    if length == 0 || length > max {
        return Err(NameError::Length { length, max });
    }
    let is_usable = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@:".contains(&byte);
    match text.bytes().enumerate().find(|&(_, byte)| !is_usable(byte)) {
        Some((at, byte)) => Err(NameError::Character { byte, at }),
        None => Ok(text.into()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks a name.
            ///
            /// # Errors
            /// [`NameError`].
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text, $max).map(Self)
            }

            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// What an endpoint is called, 1 to 255 bytes.
    EndpointName, ENDPOINT_NAME_BYTES_MAX
}

name! {
    /// Who a pre-shared key stands for, 1 to 64 bytes; not secret.
    KeyId, KEY_ID_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_printable() {
        assert!(EndpointName::new("node-a.rack_7@x:1").is_ok());
        assert!(matches!(
            KeyId::new(&"x".repeat(65)),
            Err(NameError::Length {
                length: 65,
                max: 64
            })
        ));
        assert!(matches!(
            KeyId::new("a\nb"),
            Err(NameError::Character { byte: b'\n', at: 1 })
        ));
        assert!(EndpointName::new("").is_err());
    }
}
