//! The checkout, as cargo describes it.

use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::failure::Result;

/// The workspace around the current directory.
pub struct Workspace {
    metadata: Metadata,
}

impl Workspace {
    /// Asks cargo. Needs neither a network nor a lock file: dependencies are not resolved.
    ///
    /// # Errors
    /// When the current directory is in no workspace, or a manifest is broken.
    pub fn load() -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec()?;
        Ok(Self { metadata })
    }

    /// The directory of the root manifest.
    pub fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// A directory of ours in the build directory, for what is expensive to get again.
    pub fn cache_dir(&self, name: &str) -> PathBuf {
        self.metadata.target_directory.as_std_path().join(name)
    }

    /// All members.
    pub fn members(&self) -> &[Package] {
        &self.metadata.packages
    }

    /// The directories of these members.
    pub fn dirs_of(&self, packages: &[&str]) -> Vec<&Path> {
        let members = self.members().iter();
        members
            .filter(|member| packages.contains(&member.name.as_str()))
            .map(dir_of)
            .collect()
    }
}

/// The directory of a package.
pub fn dir_of(package: &Package) -> &Path {
    let manifest = package.manifest_path.as_std_path();
    manifest.parent().unwrap_or(manifest)
}
