//! The C programs in `tests/c`, built with the system's C compiler under the sanitizers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use ringway::{Config, Engine, ListenOptions, block_on};
use ringway_files::{ServeOptions, Server};
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
fn files_go_to_and_from_a_service_with_their_progress_in_both_loop_modes() {
    let served = tempfile::tempdir().expect("a scratch directory");
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let source = scratch.path().join("source");
    let bytes: Vec<u8> = (0..24_000_000_u32).map(|at| (at / 251) as u8).collect();
    std::fs::write(&source, bytes).expect("a source");
    let engine = Engine::start(Config {
        shards: 1,
        ..Config::default()
    });
    let engine = engine.expect("the engine starts");
    let listening = engine.listen("127.0.0.1:0", ListenOptions::insecure());
    let listener = block_on(listening).expect("a listener");
    let address = listener.address().to_string();
    let server = Server::new(&engine, ServeOptions::new(served.path()));
    let server = block_on(server).expect("a server");
    let serve = move || async move {
        // It ends with the engine.
        let _ = server.serve(&listener).await;
    };
    engine.spawn_on(0, serve).expect("the shard is there");
    let paths = [source.as_path(), scratch.path()].map(|path| path.to_string_lossy().into_owned());
    check("transfers", &ADDRESS, &[&address, &paths[0], &paths[1]]);
    block_on(engine.shutdown(Duration::from_secs(1)));
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

/// A function as the header declares it: its name, its comment, its parameters.
struct Declared<'a> {
    name: &'a str,
    comment: &'a str,
    parameters: &'a str,
}

/// A declaration begins its line and opens its parameters there; its comment stands before it.
fn declared(header: &str) -> Vec<Declared<'_>> {
    let mut found = Vec::new();
    for (comment, rest) in header.split("/**").filter_map(|part| part.split_once("*/")) {
        let declaration = rest.split(';').next().unwrap_or_default().trim_start();
        let Some((before, parameters)) = declaration.split_once('(') else {
            continue;
        };
        let name = before.split([' ', '*']).next_back().unwrap_or_default();
        if name.starts_with("ringway_") && !before.contains(['{', '#']) {
            found.push(Declared {
                name,
                comment,
                parameters,
            });
        }
    }
    found
}

/// Structures that begin with their size.
fn sized(header: &str) -> Vec<&str> {
    let structures = header.split("typedef struct ").skip(1);
    let sized = structures.filter_map(|text| {
        let (name, fields) = text.split_once(" {")?;
        let fields = fields.split('}').next()?;
        fields.contains("size_t struct_size;").then_some(name)
    });
    sized.collect()
}

/// Whether the comment says that a result may come, or that errors are as those of a function
/// whose comment does.
fn says(all: &[Declared<'_>], function: &Declared<'_>, code: &str) -> bool {
    let (_, errors) = (function.comment.split_once("Errors:")).unwrap_or_default();
    let named = errors.split_once(" as `").map(|(_, rest)| rest);
    let named = named.and_then(|rest| rest.split('`').next());
    let other = named.and_then(|name| all.iter().find(|each| each.name == name));
    errors.contains(code) || other.is_some_and(|other| says(all, other, code))
}

/// What the table of arguments.c says of a function: its marks; `None` where it is not in it.
fn marks<'a>(program: &'a str, function: &str) -> Option<&'a str> {
    let short = function.strip_prefix("ringway_")?;
    let row = program.split_once(&format!("    {{\"{short}\", "))?.1;
    row.split("},").next()?.rsplit(", ").next()
}

#[test]
fn every_function_of_the_header_is_called_with_bad_arguments() {
    let header = std::fs::read_to_string(here("include/ringway.h")).expect("the header");
    let program = std::fs::read_to_string(here("tests/c/arguments.c")).expect("the program");
    let (all, sized) = (declared(&header), sized(&header));
    assert!(
        all.len() > 85 && sized.len() > 12,
        "{} {sized:?}",
        all.len()
    );
    for function in &all {
        let name = function.name;
        assert!(program.contains(&format!("{name}(")), "{name} is missing");
        let has_engine = function.parameters.contains("ringway_engine *engine");
        let row = marks(&program, name);
        // The pointer of an engine that is freed means nothing: that one has its own lines.
        if has_engine && name != "ringway_engine_free" {
            assert!(row.is_some(), "{name} is not in the table");
        }
        let Some(row) = row else { continue };
        let wanted = |mark: &str| row.split(" | ").any(|each| each == mark);
        let takes = |structure: &&str| {
            function
                .parameters
                .contains(&format!("struct {structure} *"))
        };
        assert_eq!(wanted("SIZED"), sized.iter().any(takes), "{name}: SIZED");
        let is_own = says(&all, function, "RINGWAY_E_THREAD");
        assert_eq!(wanted("OWN"), is_own, "{name}: OWN");
    }
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
