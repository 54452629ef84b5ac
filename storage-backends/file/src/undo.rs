//! Undoing an attempt, and making it final. Blocking.

use std::io;

use saccade_disk::Disk;
use saccade_store_contract::{Error, Operation};

use crate::{attempt::same_file, errors::failed, layout::AttemptNames, store::Inner};

/// Removes what an attempt has left, published or not.
///
/// The published name is removed first, *and that is made durable*, before the temporary goes. Removals that are not
/// synced may survive a power cut in any combination. Had both been under way, the temporary could be gone and the
/// published name be back, and nothing would show any more whose file it is: it would stay for ever. In this order,
/// whatever a crash leaves of the published name, the temporary is still beside it.
///
/// The temporary missing means that nothing of this attempt is left, or that it was settled; either way a file under
/// the blob's name is not to be touched.
///
/// Every path ends in a sync, also where there is nothing to remove: an earlier call may have removed it and failed before
/// that was durable. For the same reason the published name is synced even when it is not there.
pub(crate) fn discard(inner: &Inner, names: &AttemptNames, operation: Operation) -> Result<(), Error> {
    // A call of the writer that still runs would otherwise make the file, or publish it, after we have looked.
    if let Some(state) = inner.attempts.find(names.blob, names.attempt) {
        state.end();
    }
    let directory = inner.layout.directory();
    let disk = &*inner.disk;
    inner
        .names
        .hold(&names.published, || {
            if exists(disk, names)? {
                if same_file(disk, &names.temporary, &names.published)? {
                    remove(disk.unlink(&names.published))?;
                }
                disk.sync_dir(directory)?;
                remove(disk.unlink(&names.temporary))?;
            } else {
                inner.same_directory()?;
            }
            disk.sync_dir(directory)
        })
        .map_err(|source| failed(operation, names.blob.to_string(), source))
}

/// Removes the temporary's name and keeps the published one.
pub(crate) fn settle(inner: &Inner, names: &AttemptNames) -> Result<(), Error> {
    let settled = || {
        if exists(&*inner.disk, names)? {
            remove(inner.disk.unlink(&names.temporary))?;
        } else {
            inner.same_directory()?;
        }
        inner.disk.sync_dir(inner.layout.directory())
    };
    settled().map_err(|source| failed(Operation::Settle, names.blob.to_string(), source))
}

fn exists(disk: &dyn Disk, names: &AttemptNames) -> io::Result<bool> {
    match disk.stat(&names.temporary) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gone is gone.
fn remove(unlinked: io::Result<()>) -> io::Result<()> {
    match unlinked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
