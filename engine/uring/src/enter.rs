//! What an answer of io_uring_enter(2) means for the loop around it.

use ringway_io::Errno;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The call did what it could: look at the queues.
    Done,
    /// The time is over (`ETIME`), the normal end of a wait.
    TimedOut,
    /// A signal came (`EINTR`): wait on.
    Again,
    /// Completions must be taken out before more can go in (`EBUSY`).
    MakeRoom,
    /// The kernel has no memory for a request right now (`EAGAIN`, `ENOMEM`).
    BackOff,
    /// The ring is over: completions were dropped (`EBADR`), the caller is not its issuer
    /// (`EEXIST`), or what nobody has an answer to.
    Fatal(Errno),
}

/// Reads an answer.
pub(crate) fn judge(answer: Result<u32, Errno>) -> Verdict {
    match answer {
        Ok(_) => Verdict::Done,
        Err(Errno(libc::ETIME)) => Verdict::TimedOut,
        Err(Errno::EINTR) => Verdict::Again,
        Err(Errno(libc::EBUSY)) => Verdict::MakeRoom,
        Err(Errno::EAGAIN | Errno::ENOMEM) => Verdict::BackOff,
        Err(errno) => Verdict::Fatal(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_the_ring_is_fatal() {
        assert_eq!(judge(Ok(3)), Verdict::Done);
        assert_eq!(judge(Err(Errno(62))), Verdict::TimedOut);
        assert_eq!(judge(Err(Errno(4))), Verdict::Again);
        assert_eq!(judge(Err(Errno(16))), Verdict::MakeRoom);
        assert_eq!(judge(Err(Errno(11))), Verdict::BackOff);
        assert_eq!(judge(Err(Errno(53))), Verdict::Fatal(Errno(53)), "EBADR");
        assert_eq!(judge(Err(Errno(17))), Verdict::Fatal(Errno(17)), "EEXIST");
    }
}
