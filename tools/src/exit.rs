//! The fixed exit codes of the command.

use std::process::ExitCode;

/// How the command ended, as a shell sees it. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// The command line is wrong.
    Usage = 2,
    /// Nobody answers, or the connection stayed lost beyond the resume window.
    Connect = 3,
    /// A key is missing, wrong or unusable.
    Authentication = 4,
    /// A peer, or this program, did not keep to the protocol.
    Protocol = 5,
    /// A file or directory: missing, refused, full disk.
    File = 6,
    /// The bytes that arrived are not those that were sent, or the source changed meanwhile.
    Checksum = 7,
    /// The kernel cannot, or may not.
    Kernel = 8,
    /// A limit was reached.
    Limit = 9,
    /// SIGINT or SIGTERM.
    Interrupted = 130,
}

impl Exit {
    /// All of them, in order; `--help` lists them.
    pub(crate) const ALL: [Self; 10] = [
        Self::Done,
        Self::Usage,
        Self::Connect,
        Self::Authentication,
        Self::Protocol,
        Self::File,
        Self::Checksum,
        Self::Kernel,
        Self::Limit,
        Self::Interrupted,
    ];

    /// The number.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    /// The name in JSON, where nothing more precise is known.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Usage => "usage",
            Self::Connect => "connect",
            Self::Authentication => "authentication",
            Self::Protocol => "protocol",
            Self::File => "file",
            Self::Checksum => "checksum",
            Self::Kernel => "kernel",
            Self::Limit => "limit",
            Self::Interrupted => "interrupted",
        }
    }

    /// The one that a child process of ours reported.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|exit| u64::from(exit.number()) == number)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_that_scripts_rely_on_never_change() {
        let numbers = Exit::ALL.map(Exit::number);
        assert_eq!(numbers, [0, 2, 3, 4, 5, 6, 7, 8, 9, 130]);
        for exit in Exit::ALL {
            assert_eq!(Exit::from_number(u64::from(exit.number())), Some(exit));
        }
        assert_eq!(Exit::from_number(1), None);
    }
}
