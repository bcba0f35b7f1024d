//! Everything that touches raw memory or a raw system call.
//!
//! Nothing here decides: which op, which size, what to do after an error stands in the safe files
//! one floor up. Each file opens with numbered invariants; each `unsafe` block holds one operation
//! and names the invariants it rests on. The faces are safe: no caller outside of this folder can
//! break an invariant, whatever arguments it passes.
//!
//! | file | holds |
//! |---|---|
//! | `mapping` | memory from mmap(2) that is unmapped once |
//! | `stable` | one value whose address never changes |
//! | `scratch` | arguments and answers that travel by address |
//! | `held` | what a submitted entry points to, and the entry built from it |
//! | `ring` | the queues; memory goes in with an entry and comes out with its last completion |
//! | `arena` | pieces of one memfd, lent and taken back |
//! | `provided` | the ring of provided buffers |
//! | `socket`, `file`, `process` | system calls that have no safe wrapper |

pub(crate) mod arena;
pub(crate) mod file;
pub(crate) mod held;
pub(crate) mod mapping;
pub(crate) mod process;
pub(crate) mod provided;
pub(crate) mod ring;
mod scratch;
pub(crate) mod socket;
mod stable;
