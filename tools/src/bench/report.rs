//! `ringway bench report`: results as one HTML page with plots, which needs no network.
//!
//! [`result`] reads what a page is made of, [`chart`] draws (SVG), [`page`] puts it together.

mod chart;
mod page;
mod result;
mod scale;

use std::path::Path;

use serde_json::json;

use self::result::TestResult;
use super::options::Report;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// More than any result has; a file that is larger is something else.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// More lines than that nobody can tell apart.
const FILES_MAX: usize = 32;

/// Reads all, then writes the page.
pub(super) fn run(options: &Report, output: &Output) -> Result<(), Failure> {
    if options.files.len() > FILES_MAX {
        let message = format_args!(
            "{} results: a page shows at most {FILES_MAX}",
            options.files.len()
        );
        return Err(Failure::new(Exit::Limit, message));
    }
    let results: Vec<_> = options
        .files
        .iter()
        .map(|path| read(path))
        .collect::<Result<_, _>>()?;
    let page = page::page(&results);
    std::fs::write(&options.output, &page)
        .map_err(|error| Failure::file("write", &options.output, &error))?;
    let path = options.output.display().to_string();
    output.remark(&format!("{path}: {} results", results.len()));
    output.finish(&json!({ "report": path, "results": results.len(), "bytes": page.len() }));
    Ok(())
}

fn read(path: &Path) -> Result<TestResult, Failure> {
    let fail = |error| Failure::file("read", path, &error);
    let metadata = std::fs::metadata(path).map_err(fail)?;
    if metadata.len() > FILE_BYTES_MAX {
        let message = format_args!(
            "{} has {} bytes, a result at most {FILE_BYTES_MAX}",
            path.display(),
            metadata.len()
        );
        return Err(Failure::new(Exit::Limit, message));
    }
    let text = std::fs::read_to_string(path).map_err(fail)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    TestResult::parse(&text, &name).map_err(|why| {
        let message = format_args!(
            "{} is no result of `ringway bench run --json`: {why}",
            path.display()
        );
        Failure::coded(Exit::File, "no_result", message)
    })
}
