//! The house: which crates there are, where they live, and what each may do.
//!
//! ```text
//! roof    ffi  tools  benches
//!   4     files | rpc
//!   3     ringway
//!   2     proto | uring | sim
//!   1     io
//! ```
//!
//! A new crate, or a new edge, is a change of architecture: it changes this table and
//! docs/ARCHITECTURE.md in one commit.

/// One crate of ours and its rights.
pub struct Member {
    /// The package name.
    pub package: &'static str,
    /// Its folder, from the root of the checkout.
    pub folder: &'static str,
    /// Which of ours it may depend on.
    pub uses: Uses,
    /// Where its sources may say `unsafe`.
    pub unsafety: Unsafety,
}

/// Which of our crates a crate may depend on.
pub enum Uses {
    /// None of ours, not even in its tests: it must build and run alone.
    Nothing,
    /// These; its tests may add [`TEST_FLOOR`].
    Only(&'static [&'static str]),
    /// Any: it is the roof, nothing rests on it.
    Anything,
}

/// Where a crate's sources may say `unsafe`.
pub enum Unsafety {
    /// Nowhere: each root says `#![forbid(unsafe_code)]`.
    Forbidden,
    /// Below this folder of the crate: its root says `#![deny(unsafe_code)]`, and only files below
    /// the folder allow it again.
    Within(&'static str),
}

/// What tests may use although the crate itself may not: the simulated kernel.
pub const TEST_FLOOR: &str = "ringway-sim";

/// All crates of ours, from the ground up.
pub const HOUSE: [Member; 12] = [
    Member {
        package: "ringway-io",
        folder: "engine/io",
        uses: Uses::Only(&[]),
        unsafety: Unsafety::Forbidden,
    },
    Member {
        package: "ringway-proto",
        folder: "engine/proto",
        uses: Uses::Nothing,
        unsafety: Unsafety::Forbidden,
    },
    Member {
        package: "ringway-uring",
        folder: "engine/uring",
        uses: Uses::Only(&["ringway-io"]),
        unsafety: Unsafety::Within("src/sys"),
    },
    Member {
        package: "ringway-sim",
        folder: "engine/sim",
        uses: Uses::Only(&["ringway-io"]),
        unsafety: Unsafety::Forbidden,
    },
    Member {
        package: "ringway",
        folder: "engine/ringway",
        uses: Uses::Only(&["ringway-proto", "ringway-io", "ringway-uring"]),
        // tokio-uring's buffer traits are unsafe.
        unsafety: Unsafety::Within("src/adapters"),
    },
    Member {
        package: "ringway-files",
        folder: "engine/files",
        uses: Uses::Only(&["ringway"]),
        unsafety: Unsafety::Forbidden,
    },
    Member {
        package: "ringway-rpc",
        folder: "engine/rpc",
        uses: Uses::Only(&["ringway"]),
        unsafety: Unsafety::Forbidden,
    },
    Member {
        package: "ringway-ffi",
        folder: "ffi",
        uses: Uses::Only(&["ringway", "ringway-files", "ringway-rpc"]),
        // Every exported function crosses the pointer boundary, and stands there.
        unsafety: Unsafety::Within("src/abi"),
    },
    Member {
        package: "ringway-tools",
        folder: "tools",
        uses: Uses::Anything,
        unsafety: Unsafety::Forbidden,
    },
    Member {
        package: "ringway-simulate",
        folder: "tools/simulate",
        uses: Uses::Anything,
        unsafety: Unsafety::Forbidden,
    },
    Member {
        package: "ringway-benches",
        folder: "benches",
        uses: Uses::Anything,
        unsafety: Unsafety::Forbidden,
    },
    Member {
        package: "xtask",
        folder: "tools/xtask",
        uses: Uses::Nothing,
        unsafety: Unsafety::Forbidden,
    },
];

/// The rights of a package of ours.
pub fn member(package: &str) -> Option<&'static Member> {
    HOUSE.iter().find(|member| member.package == package)
}

impl Member {
    /// Whether the crate itself may depend on `package`.
    pub fn may_use(&self, package: &str) -> bool {
        match self.uses {
            Uses::Nothing => false,
            Uses::Only(packages) => packages.contains(&package),
            Uses::Anything => true,
        }
    }

    /// Whether the crate's tests may depend on `package`.
    pub fn tests_may_use(&self, package: &str) -> bool {
        let is_sim = package == TEST_FLOOR && !matches!(self.uses, Uses::Nothing);
        is_sim || self.may_use(package)
    }
}
