//! Doors to private parsers, for `fuzz/` alone: thin, and with plain or public types.

use super::record;
use crate::{
    image::{Entry, ImageId, Task},
    metadefs::Namespace,
};

/// The entry that is stored under `id`, or why there is none.
pub fn decode(id: ImageId, bytes: &[u8]) -> Result<Entry, String> {
    record::decode(id, bytes).map_err(|error| error.to_string())
}

/// The bytes that are stored for an entry.
pub fn encode(entry: &Entry) -> Option<Vec<u8>> {
    record::encode(entry).ok()
}

/// The task that is stored so, or why there is none.
pub fn decode_task(bytes: &[u8]) -> Result<Task, String> {
    record::task::decode(bytes).map_err(|error| error.to_string())
}

/// The bytes that are stored for a task.
pub fn encode_task(task: &Task) -> Option<Vec<u8>> {
    record::task::encode(task).ok()
}

/// The namespace that is stored under `name`, or why there is none.
pub fn decode_namespace(name: &str, bytes: &[u8]) -> Result<Namespace, String> {
    record::definition::decode(name, bytes).map_err(|error| error.to_string())
}

/// The bytes that are stored for a namespace.
pub fn encode_namespace(namespace: &Namespace) -> Option<Vec<u8>> {
    record::definition::encode(namespace).ok()
}
