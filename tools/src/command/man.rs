//! `ringway man`: the man pages, one for the command and one for each of its commands.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use crate::cli::{Cli, Man};
use crate::failure::Failure;

/// Writes them into a directory.
pub(super) fn run(options: &Man) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    write_page(&options.directory, "ringway", &command)?;
    let visible = command.get_subcommands().filter(|each| !each.is_hide_set());
    for subcommand in visible.filter(|each| each.get_name() != "help") {
        let name = format!("ringway-{}", subcommand.get_name());
        write_page(&options.directory, &name, subcommand)?;
    }
    Ok(())
}

fn write_page(directory: &Path, name: &str, command: &clap::Command) -> Result<(), Failure> {
    let path = directory.join(format!("{name}.1"));
    let fail = |error| Failure::file("write", &path, &error);
    // A page's title is the command's name; clap keeps names for as long as the program runs.
    let title: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().name(title))
        .render(&mut page)
        .map_err(fail)?;
    fs::write(&path, page).map_err(fail)
}
