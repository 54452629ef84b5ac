//! Tasks: reads, and what a change to them adds to a commit group.

use ::rocksdb::{DB, WriteBatch};
use async_trait::async_trait;
use tokio::sync::oneshot;

use super::{
    RocksMetadata, keys,
    open::{Reach, read_error, read_options},
    record::{self, task},
    writer::Message,
};
use crate::{
    image::{ImageId, Task, TaskId},
    metadata::{MetadataError, MetadataErrorKind, TaskStore},
};

pub(super) type Answer = Result<(), MetadataError>;

pub(super) enum Change {
    Keep(Box<Task>),
    Forget(Vec<TaskId>),
}

pub(super) struct Request {
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Answer>,
}

impl Change {
    pub(super) fn add(&self, batch: &mut WriteBatch) -> Answer {
        match self {
            Self::Keep(kept) => {
                let record = task::encode(kept)
                    .map_err(|error| MetadataError::caused_by(MetadataErrorKind::Unavailable, error))?;
                batch.put(keys::task(kept.id), record);
            }
            Self::Forget(ids) => ids.iter().for_each(|id| batch.delete(keys::task(*id))),
        }
        Ok(())
    }
}

impl RocksMetadata {
    async fn change_tasks(&self, change: Change) -> Answer {
        let (reply, answer) = oneshot::channel();
        let unavailable = || MetadataError::new(MetadataErrorKind::Unavailable);
        let queue = self.0.queue.as_ref().ok_or_else(unavailable)?;
        let message = Message::Task(Request { change, reply });
        queue.send(message).await.map_err(|_| unavailable())?;
        // A writer that went away without an answer may have written before.
        answer
            .await
            .unwrap_or_else(|_| Err(MetadataError::new(MetadataErrorKind::OutcomeUnknown)))
    }
}

#[async_trait]
impl TaskStore for RocksMetadata {
    async fn keep_task(&self, task: Task) -> Answer {
        self.change_tasks(Change::Keep(Box::new(task))).await
    }

    async fn forget_tasks(&self, ids: Vec<TaskId>) -> Answer {
        self.change_tasks(Change::Forget(ids)).await
    }

    async fn task(&self, id: TaskId) -> Result<Option<Task>, MetadataError> {
        self.read(move |db| {
            let bytes = db.get_pinned_opt(keys::task(id), &read_options(Reach::Disk));
            let bytes = bytes.map_err(read_error)?;
            bytes
                .map(|bytes| task::decode(&bytes))
                .transpose()
                .map_err(corrupt)
        })
        .await
    }

    async fn tasks(&self, image: Option<ImageId>) -> Result<Vec<Task>, MetadataError> {
        self.read(move |db| all(db, image)).await
    }
}

fn all(db: &DB, image: Option<ImageId>) -> Result<Vec<Task>, MetadataError> {
    let mut options = read_options(Reach::Disk);
    options.set_iterate_upper_bound(keys::end_of(keys::TASKS));
    let mut iterator = db.raw_iterator_opt(options);
    iterator.seek(keys::TASKS);
    let mut found = Vec::new();
    while let Some((_, value)) = iterator.item() {
        let task = task::decode(value).map_err(corrupt)?;
        if image.is_none_or(|image| task.image_id == image) {
            found.push(task);
        }
        iterator.next();
    }
    iterator.status().map_err(read_error)?;
    Ok(found)
}

fn corrupt(error: record::CorruptRecord) -> MetadataError {
    MetadataError::caused_by(MetadataErrorKind::Corrupt, error)
}
