//! For programs that live on another runtime: each behind a feature of its name.

#[cfg(feature = "tokio")]
mod stream_io;
#[cfg(feature = "tokio-uring")]
mod uring_buffer;

#[cfg(feature = "tokio")]
pub use stream_io::StreamIo;
#[cfg(feature = "tokio-uring")]
pub use uring_buffer::UringBuffer;
