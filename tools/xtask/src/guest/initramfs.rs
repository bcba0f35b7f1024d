//! The guest's file system: an archive that the kernel unpacks into memory at boot.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::failure::{Failure, Result};
use crate::invocation::{self, Invocation};

const INIT: &str = include_str!("init.sh");

/// The archive. It lives as long as this value.
pub struct Initramfs {
    dir: TempDir,
}

impl Initramfs {
    /// Packs busybox, `program`, its shared libraries, drivers in the order in which they are
    /// loaded, and the commands to run.
    pub fn pack(program: &Path, drivers: &[PathBuf], commands: &[Vec<String>]) -> Result<Self> {
        let dir = TempDir::new().map_err(Failure::file(&std::env::temp_dir()))?;
        let initramfs = Self { dir };
        initramfs.add_text("init", INIT)?;
        initramfs.add_text("commands", &script(commands))?;
        initramfs.add_file("bin/busybox", Path::new("/bin/busybox"))?;
        initramfs.add_file(&guest_path(program), program)?;
        for library in shared_libraries(program)? {
            // The loader looks where it looked on the host.
            initramfs.add_file(&library, Path::new(&library))?;
        }
        for (number, driver) in drivers.iter().enumerate() {
            initramfs.add_file(&format!("drivers/{number:02}.ko"), driver)?;
        }
        initramfs.archive()?;
        Ok(initramfs)
    }

    /// The archive's path.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("initramfs.cpio")
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn add_text(&self, name: &str, text: &str) -> Result<()> {
        let path = self.place(name)?;
        fs::write(&path, text).map_err(Failure::file(&path))?;
        executable(&path)
    }

    fn add_file(&self, name: &str, source: &Path) -> Result<()> {
        let path = self.place(name)?;
        fs::copy(source, &path).map_err(Failure::file(source))?;
        executable(&path)
    }

    /// The host's path of the guest's `/name`, with its directory made.
    fn place(&self, name: &str) -> Result<PathBuf> {
        let path = self.root().join(name.trim_start_matches('/'));
        let dir = path.parent().unwrap_or(&path);
        fs::create_dir_all(dir).map_err(Failure::file(dir))?;
        Ok(path)
    }

    /// Not compressed: unpacking would cost the slow guest more than loading costs the host.
    fn archive(&self) -> Result<()> {
        let names = Invocation::new("find")
            .args(["."])
            .dir(&self.root())
            .capture()?;
        Invocation::new("cpio")
            .args(["--quiet", "-o", "-H", "newc", "-R", "+0:+0", "-O"])
            .args([self.path()])
            .dir(&self.root())
            .feed(&names)
    }
}

/// Where the program lies in the guest: apart from busybox, which has hundreds of names.
pub fn guest_path(program: &Path) -> String {
    let name = program.file_name().unwrap_or(program.as_os_str());
    format!("/program/{}", name.to_string_lossy())
}

fn executable(path: &Path) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(Failure::file(path))
}

/// The commands as `init.sh` reads them: numbered, the next only if the last succeeded.
fn script(commands: &[Vec<String>]) -> String {
    let run = |(number, command): (usize, &Vec<String>)| {
        let words = command.iter().map(|word| invocation::quoted(word.as_ref()));
        format!("run {number} {}", words.collect::<Vec<_>>().join(" "))
    };
    let lines: Vec<_> = commands.iter().enumerate().map(run).collect();
    lines.join(" &&\n") + "\n"
}

/// Absolute paths of the libraries and the loader; none for a statically linked program.
fn shared_libraries(program: &Path) -> Result<Vec<String>> {
    let ldd = Invocation::new("ldd").args([program]);
    if !ldd.succeeds()? {
        // This is how ldd says that there is nothing dynamic about it.
        return Ok(Vec::new());
    }
    Ok(ldd.capture()?.lines().filter_map(library).collect())
}

/// `libc.so.6 => /lib/…/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`. The kernel's own
/// `linux-vdso.so.1` has no path.
fn library(line: &str) -> Option<String> {
    line.split_whitespace()
        .find(|word| word.starts_with('/'))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_by_their_paths() {
        let output = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f11)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f12)\n\
            \tstatically linked\n";
        let libraries: Vec<_> = output.lines().filter_map(library).collect();
        assert_eq!(
            libraries,
            [
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
    }

    #[test]
    fn a_failed_command_ends_the_script() {
        let commands = [
            vec!["ringway".to_owned(), "probe".to_owned()],
            vec!["echo".to_owned(), "two words".to_owned()],
        ];
        assert_eq!(
            script(&commands),
            "run 0 ringway probe &&\nrun 1 echo 'two words'\n"
        );
    }
}
