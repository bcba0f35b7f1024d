//! The C programs in `tests/c`, built with the system's C compiler under the sanitizers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
const SYSTEM_LIBRARIES: [&str; 6] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The static library. Cargo has built it for this test, or does so now.
fn archive() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let test = std::env::current_exe().expect("a test knows where it is");
        // target/<profile>/deps/<test>
        let folder = test.ancestors().nth(2).expect("cargo's own layout");
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let target = folder.parent().expect("cargo's own layout");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = Command::new(cargo)
            .args(["build", "-q", "-p", "ringway-ffi", "--profile", profile])
            .arg("--target-dir")
            .arg(target)
            .status();
        assert!(build.expect("cargo runs").success(), "the library builds");
        folder.join("libringway_ffi.a")
    })
}

/// The shared library, linked once, as `cargo xtask install` does. The programs use it and not the
/// archive, because ThreadSanitizer tells code that it does not know by the module.
fn shared() -> &'static Path {
    static SHARED: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = SHARED.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let library = folder.path().join("libringway.so");
        let script = format!("-Wl,--version-script={}", here("ringway.map").display());
        let linked = Command::new("cc")
            .args(["-shared", "-o"])
            .arg(&library)
            .args(["-Wl,-soname,libringway.so", &script, "-Wl,--whole-archive"])
            .arg(archive())
            .arg("-Wl,--no-whole-archive")
            .args(SYSTEM_LIBRARIES)
            .status();
        assert!(linked.expect("cc runs").success(), "the library links");
        (folder, library)
    });
    library
}

fn compile(name: &str, options: &[&str], folder: &Path) -> PathBuf {
    compile_with(&here("include"), name, options, folder)
}

fn compile_with(include: &Path, name: &str, options: &[&str], folder: &Path) -> PathBuf {
    let program = folder.join(name);
    let built = Command::new("cc")
        .args(["-std=gnu99", "-g", "-O1"])
        .args(WARNINGS)
        .args(options)
        .arg("-I")
        .arg(include)
        .arg("-o")
        .arg(&program)
        .arg(here(&format!("tests/c/{name}.c")))
        .arg(shared())
        .arg("-lpthread")
        .output()
        .expect("cc runs");
    let text = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{name}: {text}");
    program
}

fn run(program: &Path, arguments: &[&str]) {
    let output = Command::new("timeout")
        .arg("120")
        .arg(program)
        .args(arguments)
        .env("UBSAN_OPTIONS", "halt_on_error=1")
        .env(
            "TSAN_OPTIONS",
            "halt_on_error=1 ignore_noninstrumented_modules=1",
        )
        .env(
            "LD_LIBRARY_PATH",
            shared().parent().expect("it lies in a folder"),
        )
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}: {}\n{text}",
        program.display(),
        output.status
    );
}

fn check(name: &str, options: &[&str], arguments: &[&str]) {
    let folder = tempfile::tempdir().expect("a scratch directory");
    run(&compile(name, options, folder.path()), arguments);
}

const ADDRESS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

#[test]
fn records_cross_between_every_pair_of_loop_modes() {
    check("exchange", &ADDRESS, &[]);
}

#[test]
fn what_was_finished_arrives_though_its_handle_was_freed_at_once() {
    check("freed", &ADDRESS, &[]);
}

#[test]
fn files_and_lent_memory_arrive_and_come_back() {
    check("files", &ADDRESS, &[]);
}

#[test]
fn every_kind_of_function_works_in_both_loop_modes() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let program = compile("surface", &ADDRESS, folder.path());
    let scratch = tempfile::tempdir().expect("a scratch directory");
    run(&program, &[&scratch.path().to_string_lossy()]);
}

#[test]
fn a_loop_that_is_not_polled_is_taken_for_dead_warned_and_resumes() {
    check("late", &ADDRESS, &[]);
}

#[test]
fn every_bad_argument_gets_its_code_and_touches_nothing() {
    check("arguments", &ADDRESS, &[]);
}

#[test]
fn every_function_of_the_header_is_called_with_bad_arguments() {
    let header = std::fs::read_to_string(here("include/ringway.h")).expect("the header");
    let program = std::fs::read_to_string(here("tests/c/arguments.c")).expect("the program");
    // A declaration begins its line and opens its parameters there.
    let declared: Vec<&str> = header
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_alphabetic()))
        .filter_map(|line| line.split_once('(')?.0.split([' ', '*']).next_back())
        .filter(|name| name.starts_with("ringway_"))
        .collect();
    assert!(declared.len() > 80, "only {declared:?}");
    let missing: Vec<_> = declared
        .iter()
        .filter(|name| !program.contains(&format!("{name}(")))
        .collect();
    assert!(missing.is_empty(), "not in arguments.c: {missing:?}");
}

/// Structures were smaller then.
#[test]
fn programs_built_with_the_first_header_run_with_this_library() {
    let include = tempfile::tempdir().expect("a scratch directory");
    let first = here("abi/ringway-0.1.0.h");
    std::fs::copy(first, include.path().join("ringway.h")).expect("a copy");
    for name in ["exchange", "files", "dialer", "misuse"] {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let program = compile_with(include.path(), name, &ADDRESS, folder.path());
        let arguments: &[&str] = if name == "misuse" { &["7"] } else { &[] };
        run(&program, arguments);
    }
}

#[test]
fn an_own_dialer_and_an_adopted_connection_resume() {
    check("dialer", &ADDRESS, &[]);
}

#[test]
fn whatever_is_misused_a_code_comes_back() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let program = compile("misuse", &ADDRESS, folder.path());
    let first: u64 = std::env::var("RINGWAY_SEED")
        .map_or(1, |seed| seed.parse().expect("RINGWAY_SEED is a number"));
    for seed in first..first + 3 {
        run(&program, &[&seed.to_string()]);
    }
}

/// The sanitizer sees the C side only.
#[test]
fn threads_of_c_share_an_engine_without_a_race() {
    check("threads", &["-fsanitize=thread"], &[]);
}

#[test]
fn any_language_can_bind_the_shared_library() {
    let output = Command::new("timeout")
        .args(["60", "python3"])
        .arg(here("tests/c/smoke.py"))
        .arg(shared())
        .output()
        .expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn the_header_is_clean_in_c99_and_cpp17_with_both_compilers() {
    let header = here("include/ringway.h");
    for compiler in ["gcc", "clang"] {
        for language in [["c", "-std=c99"], ["c++", "-std=c++17"]] {
            let checked = Command::new(compiler)
                .args(["-x", language[0], language[1], "-fsyntax-only"])
                .args(WARNINGS)
                .arg(&header)
                .output();
            let checked = checked.unwrap_or_else(|error| panic!("{compiler}: {error}"));
            let text = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success(), "{compiler} {language:?}: {text}");
        }
    }
}
