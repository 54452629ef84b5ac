//! Regions of files from the page cache to the socket, beneath hyper: what is cached never passes through the
//! daemon's memory. What is not is read first, on another thread, so that it is cached.
//!
//! hyper writes what bodies yield, and knows memory only. A body yields *frames* that stand for bytes of the file; a
//! frame shows hyper a stretch of a buffer that nobody ever reads, the *stand-in*, as long as itself. The [`Socket`] beneath
//! hyper recognises the stand-in by its address, and has the kernel send the file instead. Frames and socket of a connection
//! are joined by its [`Lane`]: which file, and where in it the next byte is.
//!
//! That the stand-in's zeroes are never sent does not hang on how hyper works inside: the lane keeps the account. A frame
//! that moves on without the socket having sent as much was read by somebody else; the lane is broken then, and a broken
//! lane sends nothing more. So a copy that some later version might make costs a connection, never wrong bytes.

mod body;
#[cfg(test)]
mod cold_file;
mod cold_reads;
mod frame;
mod lane;
mod page_cache;
mod socket;
#[cfg(test)]
mod tests;

pub(super) use self::{body::ResponseBody, lane::Lane, socket::Socket};
