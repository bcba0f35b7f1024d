//! The tests again, as a user without any privilege and with little locked memory.
//!
//! Root hides mistakes: it may lock any amount of memory, fill any pipe and read any file. So the
//! test programs are started once more as [`UID`], without capabilities and with the memlock limit
//! that real machines have. They run in place, because tests carry paths of the checkout inside
//! (`env!("CARGO_BIN_EXE_ringway")`): a copy elsewhere would be another program.
//!
//! A checkout may lie where an ordinary user cannot go, such as root's home. Then, and only then,
//! the user keeps the one capability to walk and read any directory. It touches neither memory
//! limits nor pipe limits, which are what this step is about.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::test_programs::TestPrograms;
use super::test_run::{TestRun, scratch_dir};
use crate::failure::{Failure, Result};
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// `nobody`, and its group, on every Linux: the number needs no entry in the user database.
const UID: u32 = 65534;

/// Limits on locked memory, in bytes: the kernel's default since 5.16, and the one before it.
const MEMLOCK_BYTES: [u64; 2] = [8 << 20, 64 << 10];

/// The crates whose tests touch the kernel.
const PACKAGES: [&str; 4] = ["ringway-uring", "ringway", "ringway-files", "ringway-tools"];

/// A test that works as root in the plain run may give this word as its reason here.
const EXCUSE: &str = "root";

/// Runs the tests once for each limit.
pub fn run(workspace: &Workspace) -> Result<()> {
    let programs = TestPrograms::build(workspace, &PACKAGES)?;
    let user = User::able_to_reach(workspace.root(), &programs)?;
    let run_with = |memlock_bytes| run_as(user, memlock_bytes, &programs);
    MEMLOCK_BYTES.into_iter().try_for_each(run_with)
}

fn run_as(user: User, memlock_bytes: u64, programs: &TestPrograms) -> Result<()> {
    println!("--- as {}, memlock {memlock_bytes} bytes", user.name());
    let scratch = scratch_dir()?;
    let home = home_dir(scratch.path())?;
    let start = user
        .command(memlock_bytes)
        .scratch_env("HOME", &home)
        .scratch_env("TMPDIR", &home);
    TestRun::of(programs.commands(&start)?)
        .excusing(&[EXCUSE])
        .run()
}

/// A directory the user may fill: its home, and the place of its temporary files.
fn home_dir(scratch: &Path) -> Result<PathBuf> {
    let home = scratch.join("home");
    fs::create_dir(&home).map_err(Failure::file(&home))?;
    // Like /tmp: the user is another one than we are, and may be anyone.
    fs::set_permissions(&home, Permissions::from_mode(0o1777)).map_err(Failure::file(&home))?;
    Ok(home)
}

/// Who runs the tests.
#[derive(Clone, Copy)]
enum User {
    /// Who we are, if that is not root.
    Ourselves,
    /// `nobody`, without capabilities.
    Nobody,
    /// `nobody`, allowed to walk and read any directory.
    NobodyWhoReads,
}

impl User {
    /// The least able user who can read the checkout at `root` and what was built from it.
    fn able_to_reach(root: &Path, programs: &TestPrograms) -> Result<Self> {
        let own_process = Path::new("/proc/self");
        let own_uid = fs::metadata(own_process)
            .map_err(Failure::file(own_process))?
            .uid();
        if own_uid != 0 {
            return Ok(Self::Ourselves);
        }
        for user in [Self::Nobody, Self::NobodyWhoReads] {
            if user.reaches(root, programs)? {
                return Ok(user);
            }
        }
        Err(Failure::Unreachable {
            uid: UID,
            path: root.to_owned(),
        })
    }

    /// Tried by reading, because access(2) looks away from capabilities. Who may read a program
    /// may execute it: cargo's umask takes both bits or none.
    fn reaches(self, root: &Path, programs: &TestPrograms) -> Result<bool> {
        self.command(MEMLOCK_BYTES[0])
            .args(["head", "--bytes=1"])
            .args([root.join("Cargo.toml")])
            .args(programs.paths())
            .succeeds()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ourselves => "the current user",
            Self::Nobody => "nobody, without capabilities",
            Self::NobodyWhoReads => "nobody, with CAP_DAC_READ_SEARCH to reach the checkout",
        }
    }

    /// The start of a command as this user; the program is to be added.
    fn command(self, memlock_bytes: u64) -> Invocation {
        let limit = format!("--memlock={memlock_bytes}:{memlock_bytes}");
        let limited = Invocation::new("prlimit").args([limit]);
        let capabilities = match self {
            Self::Ourselves => return limited,
            Self::Nobody => "-all",
            Self::NobodyWhoReads => "-all,+dac_read_search",
        };
        limited.args([
            "setpriv".to_owned(),
            format!("--reuid={UID}"),
            format!("--regid={UID}"),
            "--clear-groups".to_owned(),
            format!("--inh-caps={capabilities}"),
            format!("--ambient-caps={capabilities}"),
            format!("--bounding-set={capabilities}"),
        ])
    }
}
