//! The seam of tasks: what became of imports. Rules 1 and 3 to 5 of the module hold here, too.

use async_trait::async_trait;

use super::MetadataError;
use crate::image::{ImageId, Task, TaskId};

/// Tasks, one the unit of change.
#[async_trait]
pub trait TaskStore: Send + Sync {
    /// Keeps a task, in the place of what was kept under its id.
    ///
    /// # Errors
    /// As [`Metadata::commit`](super::Metadata::commit); never `Rejected`.
    async fn keep_task(&self, task: Task) -> Result<(), MetadataError>;

    /// Forgets tasks; those that are not there are forgotten already.
    ///
    /// # Errors
    /// As [`Self::keep_task`].
    async fn forget_tasks(&self, ids: Vec<TaskId>) -> Result<(), MetadataError>;

    /// The task of this id. Sees every change that was acknowledged before the call.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn task(&self, id: TaskId) -> Result<Option<Task>, MetadataError>;

    /// Every task, or those of one image, by their ids, from one snapshot. Time is linear in the number of all tasks, memory
    /// in that of those returned; expiry bounds both.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn tasks(&self, image: Option<ImageId>) -> Result<Vec<Task>, MetadataError>;
}
