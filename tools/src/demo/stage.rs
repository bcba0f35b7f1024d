//! The files of a demonstration, all in one temporary directory that is removed with this value.

use std::fs;
use std::path::{Path, PathBuf};

use ringway::{KeyId, Keys};
use tempfile::TempDir;

use super::content::{self, Generator, Watch};
use super::space;
use crate::cli::Demo;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::progress::Progress;

/// Name of the file at the receiving side.
pub(super) const ARRIVAL: &str = "arrived.bin";

/// Where it happens.
#[derive(Debug)]
pub(super) struct Stage {
    directory: TempDir,
    /// What is sent.
    pub(super) source: PathBuf,
    /// Its size.
    pub(super) bytes: u64,
    /// Decides content and cuts.
    pub(super) seed: u64,
    digest: u128,
}

impl Stage {
    /// Checks the space and makes everything.
    pub(super) fn set(
        options: &Demo,
        output: &Output,
        interrupt: &Interrupt,
    ) -> Result<Self, Failure> {
        let place = std::env::temp_dir();
        let own = options.file.as_deref().map(size_of).transpose()?;
        let bytes = own.unwrap_or(options.size.0);
        let needed = if own.is_some() {
            bytes
        } else {
            bytes.saturating_mul(2)
        };
        space::check(&place, needed)?;
        let fail = |error| Failure::file("make a directory in", &place, &error);
        let directory = tempfile::Builder::new()
            .prefix("ringway-demo-")
            .tempdir()
            .map_err(fail)?;
        interrupt.remove_at_end(directory.path().to_owned());
        let seed = options.seed.unwrap_or_else(random_seed);
        let mut stage = Self {
            source: options
                .file
                .clone()
                .unwrap_or_else(|| directory.path().join("source.bin")),
            directory,
            bytes,
            seed,
            digest: 0,
        };
        stage.furnish()?;
        stage.fill(own.is_some(), output, interrupt)?;
        Ok(stage)
    }

    fn furnish(&self) -> Result<(), Failure> {
        let id = KeyId::new("demo").map_err(Failure::usage)?;
        Keys::create(&self.key_file(), &Keys::generate(id))?;
        let root = self.root();
        fs::create_dir(&root).map_err(|error| Failure::file("make", &root, &error))
    }

    fn fill(
        &mut self,
        is_own: bool,
        output: &Output,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let what = if is_own {
            "reading the file"
        } else {
            "making a file"
        };
        let progress = &Progress::bytes(output, Some(self.bytes), what);
        let watch = Watch {
            progress,
            interrupt,
        };
        if is_own {
            (self.bytes, self.digest) = content::digest(&self.source, &watch)?;
        } else {
            self.digest = content::generate(&self.source, self.bytes, self.seed, &watch)?;
        }
        progress.clear();
        Ok(())
    }

    /// The directory that is served.
    pub(super) fn root(&self) -> PathBuf {
        self.directory.path().join("served")
    }

    /// The key of this demonstration alone: nobody else can join in, and the user's is not needed.
    pub(super) fn key_file(&self) -> PathBuf {
        self.directory.path().join("key")
    }

    /// Whether what arrived is what was sent.
    pub(super) fn verify(&self, output: &Output, interrupt: &Interrupt) -> Result<bool, Failure> {
        let progress = &Progress::bytes(output, Some(self.bytes), "verifying");
        let watch = Watch {
            progress,
            interrupt,
        };
        let arrived = content::digest(&self.root().join(ARRIVAL), &watch)?;
        progress.clear();
        Ok(arrived == (self.bytes, self.digest))
    }

    /// The digest in writing.
    pub(super) fn digest_text(&self) -> String {
        format!("xxh3-128:{:032x}", self.digest)
    }
}

fn size_of(path: &Path) -> Result<u64, Failure> {
    let metadata = fs::metadata(path).map_err(|error| Failure::file("read", path, &error))?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    let message = format_args!("{} is no regular file: name one", path.display());
    Err(Failure::coded(Exit::File, "not_regular", message))
}

fn random_seed() -> u64 {
    // Differs from run to run, which is all that is asked of it.
    use std::hash::{BuildHasher, RandomState};
    let seed = RandomState::new().hash_one(std::process::id());
    // Short enough to be typed again.
    Generator::new(seed).next() % 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo(file: Option<PathBuf>) -> Demo {
        use clap::Parser;
        let cli = crate::cli::Cli::parse_from(["ringway", "demo", "--size", "3KiB", "--seed", "5"]);
        match cli.command {
            crate::cli::Command::Demo(demo) => Demo { file, ..demo },
            _ => unreachable!("a demo was parsed"),
        }
    }

    #[test]
    fn the_stage_is_made_and_leaves_nothing() {
        let output = Output::guessed(&[]);
        let interrupt = Interrupt::default();
        let stage = Stage::set(&demo(None), &output, &interrupt).expect("set");
        let directory = stage.directory.path().to_owned();
        fs::copy(&stage.source, stage.root().join(ARRIVAL)).expect("copied");
        assert!(stage.verify(&output, &interrupt).expect("read"));
        fs::write(stage.root().join(ARRIVAL), b"something else").expect("written");
        assert!(!stage.verify(&output, &interrupt).expect("read"));
        drop(stage);
        assert!(!directory.exists());
    }

    #[test]
    fn an_interrupted_stage_leaves_nothing_either() {
        let interrupt = Interrupt::default();
        interrupt.request();
        let ended = Stage::set(&demo(None), &Output::guessed(&[]), &interrupt);
        assert_eq!(ended.expect_err("interrupted").exit, Exit::Interrupted);
    }

    #[test]
    fn a_file_of_the_user_is_taken_and_a_directory_refused() {
        let home = tempfile::tempdir().expect("temporary directory");
        let path = home.path().join("own");
        fs::write(&path, b"own bytes").expect("written");
        let (output, interrupt) = (Output::guessed(&[]), Interrupt::default());
        let stage = Stage::set(&demo(Some(path.clone())), &output, &interrupt).expect("set");
        assert_eq!((stage.bytes, &stage.source), (9, &path));
        drop(stage);
        assert!(path.exists(), "the user's own file stays");
        let refused = Stage::set(&demo(Some(home.path().into())), &output, &interrupt);
        assert_eq!(refused.expect_err("a directory").code, "not_regular");
    }
}
