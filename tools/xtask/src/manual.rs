//! Manual pages, made from the comments of the C header.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::failure::{Failure, Result};

/// One function of the header.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// How it is declared, without the semicolon.
    pub declaration: String,
    /// Its comment, line by line.
    pub comment: Vec<String>,
}

/// The functions of the header, in its order.
pub fn functions(header: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    let mut comment = Vec::new();
    let mut declaration = String::new();
    for line in header.lines() {
        let trimmed = line.trim();
        if trimmed == "/**" {
            comment.clear();
            declaration.clear();
        } else if let Some(text) = line.strip_prefix(" *") {
            if text != "/" {
                comment.push(text.trim_start().to_owned());
            }
        } else if trimmed.is_empty() || line.starts_with('#') {
            declaration.clear();
        } else {
            declaration.push_str(line);
            declaration.push('\n');
            if line.ends_with(");") {
                let declared = declaration.trim_end_matches([';', '\n']).to_owned();
                functions.extend(function(declared, &comment));
                declaration.clear();
            }
        }
    }
    functions
}

fn function(declaration: String, comment: &[String]) -> Option<Function> {
    if declaration.starts_with("typedef") {
        return None;
    }
    let head = declaration.split('(').next()?;
    let name = head.rsplit([' ', '*']).next()?.to_owned();
    Some(Function {
        name,
        declaration,
        comment: comment.to_vec(),
    })
}

/// Writes a page for each function; returns how many.
pub fn write(header: &Path, folder: &Path) -> Result<usize> {
    let text = fs::read_to_string(header).map_err(Failure::file(header))?;
    fs::create_dir_all(folder).map_err(Failure::file(folder))?;
    let functions = functions(&text);
    for function in &functions {
        let page = folder.join(format!("{}.3", function.name));
        fs::write(&page, function.page()).map_err(Failure::file(&page))?;
    }
    Ok(functions.len())
}

impl Function {
    fn page(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let mut page = String::new();
        // Writing into a string does not fail.
        let _ = writeln!(
            page,
            ".TH {} 3 \"\" \"ringway {version}\" \"Ringway\"",
            self.name
        );
        let _ = writeln!(page, ".SH NAME\n{} \\- {}", self.name, self.summary());
        let _ = writeln!(page, ".SH SYNOPSIS\n.nf\n.B #include <ringway.h>\n.PP");
        for line in self.declaration.lines() {
            let _ = writeln!(page, "{}", escaped(line));
        }
        let _ = writeln!(page, ".fi\n.SH DESCRIPTION");
        for line in &self.comment {
            let _ = match line.strip_prefix("Errors: ") {
                Some(errors) => writeln!(page, ".SH ERRORS\n{}", escaped(&plain(errors))),
                None if line.is_empty() => writeln!(page, ".PP"),
                None => writeln!(page, "{}", escaped(&plain(line))),
            };
        }
        let _ = writeln!(page, ".SH SEE ALSO\n.BR ringway (1)");
        page
    }

    /// The first sentence.
    fn summary(&self) -> String {
        let text = self.comment.join(" ");
        let end = text
            .find(". ")
            .or_else(|| text.find(": "))
            .unwrap_or(text.len());
        escaped(&plain(text[..end].trim_end_matches('.')))
    }
}

fn plain(line: &str) -> String {
    line.replace('`', "")
}

/// What troff would take for its own.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "\
/**
 * A type.
 */
typedef int (*ringway_fn)(void *context,
                          int n);

/**
 * Does it. Any thread.
 *
 * Errors: `RINGWAY_E_NULL`.
 */
int ringway_do(struct ringway_engine *engine,
               const char *name);

/**
 * The version.
 */
const char *ringway_version(void);
";

    #[test]
    fn functions_are_found_and_types_are_not() {
        let found = functions(HEADER);
        let names: Vec<_> = found.iter().map(|function| &*function.name).collect();
        assert_eq!(names, ["ringway_do", "ringway_version"]);
        assert_eq!(found[0].comment.len(), 3);
    }

    #[test]
    fn a_page_has_the_errors_in_a_section_of_their_own() {
        let page = functions(HEADER)[0].page();
        assert!(page.contains(".SH ERRORS\nRINGWAY_E_NULL."), "{page}");
        assert!(page.contains("ringway_do \\- Does it\n"), "{page}");
    }
}
