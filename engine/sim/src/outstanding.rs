//! What was lent and never came back.

use crate::state::State;
use crate::{HostId, KernelId};

/// What is still out, by kernel. A test ends with nothing in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outstanding {
    /// Only kernels that have something out.
    pub kernels: Vec<KernelOutstanding>,
}

/// What one kernel has lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelOutstanding {
    /// Which kernel.
    pub kernel: KernelId,
    /// On which host.
    pub host: HostId,
    /// Open descriptors that it made, those of idle pipes apart.
    pub descriptors: usize,
    /// Leases of its arena.
    pub leases: usize,
    /// Ops whose last completion was not reaped.
    pub ops: usize,
    /// Pipes of its pool.
    pub pipes: usize,
    /// Provided buffers that were not recycled.
    pub provided_buffers: usize,
}

impl Outstanding {
    /// Whether everything came back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kernels.is_empty()
    }
}

impl KernelOutstanding {
    fn is_zero(&self) -> bool {
        self.descriptors + self.leases + self.ops + self.pipes + self.provided_buffers == 0
    }
}

impl State {
    pub(crate) fn outstanding(&self) -> Outstanding {
        let alive = (0..self.rings.len()).filter(|&index| self.rings[index].is_alive);
        let kernels = alive.map(|index| self.outstanding_of(KernelId(index)));
        Outstanding {
            kernels: kernels.filter(|kernel| !kernel.is_zero()).collect(),
        }
    }

    fn outstanding_of(&self, kernel: KernelId) -> KernelOutstanding {
        let ring = &self.rings[kernel.0];
        let owned = self.objects.values().filter(|entry| entry.owner == kernel);
        KernelOutstanding {
            kernel,
            host: ring.host,
            descriptors: owned.count() - 2 * ring.pipes.idle.len(),
            leases: ring.arena.lent(),
            ops: ring.ops.len(),
            pipes: ring.pipes.lent as usize,
            provided_buffers: ring.provided.lent.len(),
        }
    }
}
