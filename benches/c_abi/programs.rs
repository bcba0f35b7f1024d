//! The C programs of the benchmark, and how a process of a run is started.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ringway_benches::Result;
use tempfile::TempDir;

/// What Rust's own libraries need of the system's.
const SYSTEM_LIBRARIES: [&str; 6] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

/// Copies by vector instructions: single steps would count each byte of `rep movsb`.
const TUNABLES: &str = "glibc.cpu.x86_rep_movsb_threshold=0x7fffffffffff:\
                        glibc.cpu.x86_rep_stosb_threshold=0x7fffffffffff";

/// Built once for a run of the benchmark.
pub struct Programs {
    folder: TempDir,
    rust: PathBuf,
}

/// Whose side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    C,
    Rust,
    /// C without Ringway.
    Bare,
}

impl Programs {
    /// Builds the library as it is installed (release) and the C programs with it.
    ///
    /// # Errors
    /// What cargo or the C compiler says.
    pub fn build() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let folder = tempfile::tempdir()?;
        let rust = std::env::current_exe()?;
        // target/<profile>/deps/<this>; both sides are built in the same way.
        let built = rust.ancestors().nth(2).ok_or("cargo's own layout")?;
        let profile = match built.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let mut build = Command::new(cargo);
        build.current_dir(&root).args(["build", "-q", "-p"]);
        succeed(build.args(["ringway-ffi", "--profile", profile]))?;
        let archive = built.join("libringway_ffi.a");
        for name in ["sides", "bare", "steps"] {
            let mut cc = Command::new("cc");
            cc.args(["-std=gnu99", "-O2", "-Wall", "-Wextra", "-I"]);
            cc.arg(root.join("ffi/include"));
            cc.arg(root.join(format!("benches/c_abi/c/{name}.c")));
            cc.arg("-o").arg(folder.path().join(name));
            if name == "sides" {
                cc.arg(&archive).args(SYSTEM_LIBRARIES);
            }
            succeed(&mut cc)?;
        }
        Ok(Self { folder, rust })
    }

    /// A process on that core: `words` are the same for both languages.
    pub fn command(&self, language: Language, core: Option<usize>, words: &[&str]) -> Command {
        let program = match language {
            Language::C => self.folder.path().join("sides"),
            Language::Bare => self.folder.path().join("bare"),
            Language::Rust => self.rust.clone(),
        };
        let mut command = started(core);
        command.arg(program);
        if language == Language::Rust {
            command.arg("side");
        }
        command.args(words);
        command
    }

    /// The same, with its instructions counted into `count`.
    pub fn counted(
        &self,
        language: Language,
        core: Option<usize>,
        words: &[&str],
    ) -> (Command, PathBuf) {
        let count = self.folder.path().join("count");
        let inner = self.command(language, None, words);
        let mut command = started(core);
        command.arg(self.folder.path().join("steps")).arg(&count);
        command.arg(inner.get_program()).args(inner.get_args());
        (command, count)
    }
}

/// Marks are ignored; what follows is the program.
fn started(core: Option<usize>) -> Command {
    let mut command = Command::new("env");
    command.arg("--ignore-signal=USR1");
    command.arg(format!("GLIBC_TUNABLES={TUNABLES}"));
    if let Some(core) = core {
        command.args(["taskset", "-c", &core.to_string()]);
    }
    command
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {status}").into()),
    }
}

/// A side that serves; killed when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: String,
}

impl Server {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// It does not start, or does not listen.
    pub fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().ok_or("no pipe")?;
        let mut line = String::new();
        let mut server = Self {
            child,
            address: String::new(),
        };
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim().strip_prefix("ready ");
        server.address = address.ok_or("the server did not start")?.to_owned();
        Ok(server)
    }

    /// Waits for its own end.
    ///
    /// # Errors
    /// It failed.
    pub fn finish(mut self) -> Result<()> {
        match self.child.wait()? {
            status if status.success() => Ok(()),
            status => Err(format!("a server of the run failed: {status}").into()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of a process that has ended already, both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a side to its end and reads the number that it prints.
///
/// # Errors
/// It failed, or printed no number.
pub fn number_of(command: &mut Command) -> Result<f64> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}
