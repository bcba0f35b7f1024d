//! Where sources go: scp's rules, as one function without I/O (F-31).

use std::ffi::OsString;
use std::path::Path;

use crate::error::UsageError;

/// What is at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    Missing,
    Directory,
    /// A regular file or anything else that is no directory.
    Other,
}

/// A destination as it was named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) path: &'a Path,
    pub(crate) existing: Existing,
    /// It was written with a slash at its end.
    pub(crate) has_trailing_slash: bool,
}

/// A source as it was named.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// The last name; `None` for `.`, `..` and `/`, whose content goes to the destination itself.
    pub(crate) name: Option<OsString>,
    pub(crate) is_directory: bool,
}

/// How sources get their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Each under its own name in the destination.
    Into,
    /// The only one, as the destination.
    As,
}

/// Decides how `sources` are placed.
pub(crate) fn place(sources: &[Named], to: Destination<'_>) -> Result<Placement, UsageError> {
    if let Some(twice) = first_twice(sources) {
        return Err(UsageError::SameTarget(to.path.join(twice)));
    }
    let path = to.path.to_owned();
    match (sources, to.existing) {
        ([], _) => Err(UsageError::NoSource),
        (_, Existing::Directory) => Ok(Placement::Into),
        ([only], Existing::Missing) if only.is_directory => Ok(Placement::As),
        ([only], Existing::Other) if only.is_directory => Err(UsageError::DirectoryOntoFile(path)),
        ([_], _) if to.has_trailing_slash => Err(UsageError::SlashNeedsDirectory(path)),
        ([_], _) => Ok(Placement::As),
        _ => Err(UsageError::SeveralNeedDirectory(path)),
    }
}

fn first_twice(sources: &[Named]) -> Option<&OsString> {
    let mut seen = std::collections::HashSet::new();
    let mut names = sources.iter().filter_map(|source| source.name.as_ref());
    names.find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, is_directory: bool) -> Named {
        let name = Some(name.into()).filter(|name: &OsString| name != ".");
        Named { name, is_directory }
    }

    fn to(existing: Existing, has_trailing_slash: bool) -> Destination<'static> {
        let path = Path::new("there");
        Destination {
            path,
            existing,
            has_trailing_slash,
        }
    }

    #[test]
    fn an_existing_directory_takes_everything_in_slash_or_not() {
        for slash in [false, true] {
            let place = |sources: &[Named]| place(sources, to(Existing::Directory, slash));
            assert_eq!(place(&[named("f", false)]), Ok(Placement::Into));
            assert_eq!(place(&[named("d", true)]), Ok(Placement::Into));
            assert_eq!(
                place(&[named("f", false), named("d", true)]),
                Ok(Placement::Into)
            );
        }
    }

    #[test]
    fn a_missing_destination_is_the_new_name() {
        let place = |source, slash| place(&[source], to(Existing::Missing, slash));
        assert_eq!(place(named("f", false), false), Ok(Placement::As));
        assert_eq!(place(named("d", true), false), Ok(Placement::As));
        assert_eq!(place(named("d", true), true), Ok(Placement::As));
        assert!(matches!(
            place(named("f", false), true),
            Err(UsageError::SlashNeedsDirectory(_))
        ));
    }

    #[test]
    fn a_file_is_replaced_by_a_file_and_never_by_a_directory() {
        let place = |source, slash| place(&[source], to(Existing::Other, slash));
        assert_eq!(place(named("f", false), false), Ok(Placement::As));
        assert!(matches!(
            place(named("f", false), true),
            Err(UsageError::SlashNeedsDirectory(_))
        ));
        assert!(matches!(
            place(named("d", true), false),
            Err(UsageError::DirectoryOntoFile(_))
        ));
    }

    #[test]
    fn several_sources_need_a_directory_and_different_names() {
        let two = [named("f", false), named("g", false)];
        for existing in [Existing::Missing, Existing::Other] {
            let placed = place(&two, to(existing, false));
            assert!(matches!(placed, Err(UsageError::SeveralNeedDirectory(_))));
        }
        let same = [named("f", false), named("f", false)];
        let placed = place(&same, to(Existing::Directory, false));
        assert_eq!(placed, Err(UsageError::SameTarget("there/f".into())));
        let placed = place(&[], to(Existing::Directory, false));
        assert_eq!(placed, Err(UsageError::NoSource));
    }
}
