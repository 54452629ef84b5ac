//! Tasks in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;

use super::MemoryMetadata;
use crate::{
    image::{ImageId, Task, TaskId},
    metadata::{MetadataError, TaskStore},
};

pub(super) type Tasks = Arc<Mutex<BTreeMap<TaskId, Task>>>;

#[async_trait]
impl TaskStore for MemoryMetadata {
    async fn keep_task(&self, task: Task) -> Result<(), MetadataError> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.insert(task.id, task);
        Ok(())
    }

    async fn forget_tasks(&self, ids: Vec<TaskId>) -> Result<(), MetadataError> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|id, _| !ids.contains(id));
        Ok(())
    }

    async fn task(&self, id: TaskId) -> Result<Option<Task>, MetadataError> {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tasks.get(&id).cloned())
    }

    async fn tasks(&self, image: Option<ImageId>) -> Result<Vec<Task>, MetadataError> {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = tasks
            .values()
            .filter(|task| image.is_none_or(|image| task.image_id == image));
        Ok(wanted.cloned().collect())
    }
}
