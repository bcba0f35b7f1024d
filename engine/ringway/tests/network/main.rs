//! Engines on a real network: two network namespaces with a pair of virtual devices between them,
//! so that links can go down, drop everything, be slow, and have small socket buffers.

mod namespace;
#[path = "../pair/mod.rs"]
mod pair;

mod device;
mod links;
mod sockets;
