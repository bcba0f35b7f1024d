//! Ops that handles ask for (open, read, rename, …): so many in the kernel at a time, the rest wait
//! here in the order they came.
//!
//! Slots and helper threads are shared with connections. A program that opens two thousand files at
//! once must neither be refused for want of a slot nor take the last one from a connection that
//! has to send an ack.

use std::collections::VecDeque;

use ringway_io::{Completion, Op};

use crate::reply::Reply;

/// In the kernel at a time, where there are slots enough: below the helpers' queue (256), for many
/// of these ops run there.
const IN_KERNEL_MAX: usize = 192;

/// An op with who waits for it.
pub(crate) type CallerOp = (Op, Reply<Completion>);

/// The account of them.
#[derive(Debug)]
pub(crate) struct CallerOps {
    in_kernel: usize,
    in_kernel_max: usize,
    waiting: VecDeque<CallerOp>,
}

impl CallerOps {
    /// For a kernel with so many slots, half of which are left to others.
    pub(crate) fn new(ops_max: u32) -> Self {
        let half = usize::try_from(ops_max / 2).unwrap_or(IN_KERNEL_MAX);
        Self {
            in_kernel: 0,
            in_kernel_max: half.clamp(1, IN_KERNEL_MAX),
            waiting: VecDeque::new(),
        }
    }

    /// Gives it back if it may be submitted now, else keeps it. What waits is bounded by those who
    /// wait: each holds one future.
    pub(crate) fn add(&mut self, op: CallerOp) -> Option<CallerOp> {
        self.waiting.push_back(op);
        self.next()
    }

    /// One has completed: the next to submit.
    pub(crate) fn complete_one(&mut self) -> Option<CallerOp> {
        self.in_kernel = self.in_kernel.saturating_sub(1);
        self.next()
    }

    /// The next whose caller still waits, if there is room. What nobody waits for was never begun.
    fn next(&mut self) -> Option<CallerOp> {
        if self.in_kernel >= self.in_kernel_max {
            return None;
        }
        while let Some((op, reply)) = self.waiting.pop_front() {
            if !reply.is_forgotten() {
                self.in_kernel += 1;
                return Some((op, reply));
            }
        }
        None
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The end: whoever waits is told that the engine has stopped.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::reply;

    fn op(at_ns: u64) -> Op {
        Op::Timeout { at_ns }
    }

    fn number(op: Option<CallerOp>) -> Option<u64> {
        op.and_then(|(op, _)| match op {
            Op::Timeout { at_ns } => Some(at_ns),
            _ => None,
        })
    }

    #[test]
    fn beyond_the_bound_ops_wait_in_order_and_none_is_refused() {
        let mut ops = CallerOps::new(4);
        let mut answers = Vec::new();
        let mut submitted = Vec::new();
        for at_ns in 0..5 {
            let (reply, answer) = reply();
            answers.push(answer);
            submitted.extend(number(ops.add((op(at_ns), reply))));
        }
        assert_eq!((submitted, ops.waiting()), (vec![0, 1], 3));
        drop(answers.remove(3));
        assert_eq!(number(ops.complete_one()), Some(2));
        assert_eq!(number(ops.complete_one()), Some(4), "nobody waits for 3");
        assert_eq!(number(ops.complete_one()), None);
        let (reply, _answer) = reply();
        assert_eq!(number(ops.add((op(5), reply))), Some(5));
    }

    #[test]
    fn however_few_slots_there_are_one_op_is_let_through() {
        assert_eq!(CallerOps::new(1).in_kernel_max, 1);
        assert_eq!(CallerOps::new(64).in_kernel_max, 32);
        assert_eq!(CallerOps::new(4096).in_kernel_max, IN_KERNEL_MAX);
    }
}
