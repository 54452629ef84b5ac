//! Data that is there already becomes an image's, and a task tells what came of it (Glance 33,
//! `async_/flows/location_import.py`).

use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use super::{ImportError, Imports};
use crate::{catalog::GivenData, identity::Caller, image::TaskKind, transfer::Adoption};

impl Imports {
    /// Begins to give a queued image the data of an address; see [`crate::transfer::Transfers::adopt`]. The task ends
    /// when the image is active and, where hashes are made, has them.
    ///
    /// # Errors
    /// See [`ImportError`]; nothing was begun.
    pub async fn add_location(
        &self,
        caller: &Caller,
        id: &str,
        data: GivenData,
        request_id: &str,
    ) -> Result<(), ImportError> {
        let found = self.catalog.authorize_adoption(caller, id, &data).await?;
        let (permission, image, location, size) = found;
        let kind = TaskKind::LocationImport;
        let task = self.new_task(kind, caller, image.id, &data.shown(id), request_id);
        let adoption = Adoption {
            attempt: task.attempt,
            location,
            size,
            hash: data.hash,
        };
        let imports = self.clone();
        let (told, answer) = oneshot::channel();
        let begun = async move {
            if let Err(error) = imports.shared.tasks.keep_task(task.clone()).await {
                let _ = told.send(Err(error.into()));
                return;
            }
            match imports.transfers.adopt(permission, &image, adoption).await {
                Ok(end) => {
                    let _ = told.send(Ok(()));
                    imports.tell(task, end).await;
                }
                Err(error) => {
                    imports.forget(task.id).await;
                    let _ = told.send(Err(error.into()));
                }
            }
        };
        // Whoever asked may go away. A stop does not wait for hashes: the next start settles the task by what the image has.
        tokio::spawn(begun.instrument(Span::current()));
        answer.await.unwrap_or_else(|_| Err(ImportError::fault()))
    }
}
