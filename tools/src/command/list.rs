//! `ringway list`: what a server has.

use ringway::{PathChoice, block_on};
use ringway_files::{Entry, EntryKind, ListOptions, Listing};
use serde_json::{Value, json};

use crate::cli::List;
use crate::engine_start::{SHUTDOWN_WITHIN, start_for_client};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;

/// Asks for it and prints it.
pub(super) fn run(options: &List, output: &Output) -> Result<(), Failure> {
    let interrupt = Interrupt::install()?;
    let engine = start_for_client(&options.reach, options.reach.faults.faults())?;
    let listing = ask(options, &engine, &interrupt);
    block_on(engine.shutdown(SHUTDOWN_WITHIN));
    let listing = listing?;
    for entry in shown(&listing) {
        output.line(&line(entry, options));
    }
    output.finish(&document(&listing));
    Ok(())
}

fn ask(
    options: &List,
    engine: &ringway::Engine,
    interrupt: &Interrupt,
) -> Result<Listing, Failure> {
    let client = options
        .reach
        .client(engine, &options.place.target, PathChoice::Auto)?;
    let list_options = ListOptions {
        recursive: options.recursive,
        ..ListOptions::default()
    };
    block_on(interrupt.unless_requested(async {
        let listing = client.list(&options.place.path, list_options).await?;
        client.close().await;
        Ok(listing)
    }))
}

/// The entries of a directory; anything else itself.
fn shown(listing: &Listing) -> &[Entry] {
    match listing.object.kind {
        EntryKind::Directory => &listing.entries,
        _ => std::slice::from_ref(&listing.object),
    }
}

fn line(entry: &Entry, options: &List) -> String {
    let name = if entry.path.is_root() {
        options.place.file_name().to_owned()
    } else {
        text(entry)
    };
    let slash = if entry.kind == EntryKind::Directory {
        "/"
    } else {
        ""
    };
    // Terminals obey control characters, and the name is a stranger's.
    let name: String = name
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if !options.long {
        return format!("{name}{slash}");
    }
    let (kind, mode) = (letter(entry.kind), entry.mode & 0o7777);
    let time = utc(entry.modified_seconds);
    format!("{kind} {mode:04o} {:>15} {time} {name}{slash}", entry.size)
}

/// The path, empty for the listed object itself; bytes that are no UTF-8 are replaced.
fn text(entry: &Entry) -> String {
    entry.path.as_path().to_string_lossy().into_owned()
}

fn letter(kind: EntryKind) -> char {
    match kind {
        EntryKind::File => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::Special => 's',
    }
}

fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symlink",
        EntryKind::Special => "special",
    }
}

/// `2026-01-31 23:59:59Z`. From days to a date by the method of Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms" (civil_from_days).
fn utc(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

fn document(listing: &Listing) -> Value {
    json!({
        "object": entry(&listing.object),
        "entries": listing.entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

fn entry(entry: &Entry) -> Value {
    json!({
        "path": text(entry),
        "kind": kind_name(entry.kind),
        "size": entry.size,
        "mode": format!("{:04o}", entry.mode & 0o7777),
        "modified_seconds": entry.modified_seconds,
        "modified_nanoseconds": entry.modified_nanoseconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_dates_before_and_after_1970() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (-1, "1969-12-31 23:59:59Z"),
            (951_827_696, "2000-02-29 12:34:56Z"),
            (1_772_323_199, "2026-02-28 23:59:59Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }

    fn options(long: bool) -> List {
        use clap::Parser;
        let mut arguments = vec!["ringway", "list", "h:1/dir/file"];
        arguments.extend(long.then_some("-l"));
        match crate::cli::Cli::parse_from(arguments).command {
            crate::cli::Command::List(list) => list,
            _ => unreachable!("a list was parsed"),
        }
    }

    fn sample(path: &str, kind: EntryKind) -> Entry {
        Entry {
            path: ringway_files::RemotePath::parse(path).expect("a path"),
            kind,
            size: 42,
            mode: 0o100_644,
            modified_seconds: 0,
            modified_nanoseconds: 0,
        }
    }

    #[test]
    fn a_file_listed_by_itself_keeps_its_name() {
        let entry = sample("", EntryKind::File);
        assert_eq!(line(&entry, &options(false)), "file");
        let long = line(&entry, &options(true));
        assert_eq!(long, "- 0644              42 1970-01-01 00:00:00Z file");
    }

    #[test]
    fn a_strangers_file_name_cannot_write_to_the_terminal() {
        let entry = sample("a\u{1b}[2Jb", EntryKind::Directory);
        assert_eq!(line(&entry, &options(false)), "a?[2Jb/");
    }
}
