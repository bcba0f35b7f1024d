//! `ringway man`: the man pages, one for the command and one for each of its commands.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use serde_json::json;

use crate::cli::{Cli, Man};
use crate::failure::Failure;
use crate::output::Output;

/// Writes them into a directory.
pub(super) fn run(options: &Man, output: &Output) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    let mut pages = vec![write_page(&options.directory, "ringway", &command)?];
    let visible = command.get_subcommands().filter(|each| !each.is_hide_set());
    for subcommand in visible.filter(|each| each.get_name() != "help") {
        let name = format!("ringway-{}", subcommand.get_name());
        pages.push(write_page(&options.directory, &name, subcommand)?);
    }
    output.finish(&json!({ "pages": pages }));
    Ok(())
}

fn write_page(directory: &Path, name: &str, command: &clap::Command) -> Result<PathBuf, Failure> {
    let path = directory.join(format!("{name}.1"));
    let fail = |error| Failure::file("write", &path, &error);
    // A page's title is the command's name; clap keeps names for as long as the program runs.
    let title: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().name(title))
        .render(&mut page)
        .map_err(fail)?;
    fs::write(&path, page).map_err(fail)?;
    Ok(path)
}
