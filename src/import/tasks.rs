//! What became of imports.

use std::{
    cmp::Ordering,
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use tracing::{info, warn};

use super::{ImportError, Imports, Method};
use crate::{
    identity::Caller,
    image::{Entry, Image, ImageId, Task, TaskId, TaskKind, TaskStatus, Timestamp},
    metadata::MetadataError,
    transfer::Importing,
};

/// How often what has expired is forgotten.
const EXPIRY: Duration = Duration::from_secs(600);

/// Tasks of one image that are kept after their end.
const KEPT: usize = 100;

/// How long an interrupted import is given to be undone before it is looked at again.
const PAUSE: Duration = Duration::from_secs(1);

/// An attribute that lists of tasks are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The names are the API's own.
pub enum TaskSort {
    Id,
    Type,
    Status,
    Owner,
    ExpiresAt,
    ImageId,
    RequestId,
    UserId,
    CreatedAt,
    UpdatedAt,
    /// Something that is the same for all.
    Deleted,
}

/// What a list of tasks is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskListing {
    /// Only those of this status.
    pub status: Option<String>,
    /// Only those of this type.
    pub kind: Option<String>,
    /// In the order of this attribute; then the newest.
    pub sort: TaskSort,
    /// The other way around.
    pub descending: bool,
    /// Behind this one.
    pub marker: Option<String>,
    /// The most tasks.
    pub limit: Option<usize>,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskList {
    /// The tasks, in order.
    pub tasks: Vec<Task>,
    /// Whether more may follow.
    pub full: bool,
}

impl Imports {
    /// One page of all tasks, for whoever may use the tasks API.
    ///
    /// # Errors
    /// `Invalid` for a marker that is no task; `Unavailable`.
    pub async fn tasks(&self, listing: &TaskListing) -> Result<TaskList, ImportError> {
        let rules = &self.shared.rules;
        let mut tasks = self.current().await?;
        tasks.retain(|task| {
            let is =
                |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
            is(&listing.status, task.status.as_str()) && is(&listing.kind, task.kind.as_str())
        });
        tasks.sort_by(|a, b| listing.compare(a, b));
        if let Some(marker) = &listing.marker {
            let at = TaskId::parse(marker).and_then(|id| tasks.iter().position(|task| task.id == id));
            let at = at.ok_or_else(|| ImportError::Invalid(absent(marker)))?;
            tasks.drain(..=at);
        }
        let limit = listing.limit.unwrap_or(rules.page_default).min(rules.page_max);
        tasks.truncate(limit);
        Ok(TaskList {
            full: !tasks.is_empty() && tasks.len() >= limit,
            tasks,
        })
    }

    /// One task, for whoever may use the tasks API.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn task(&self, id: &str) -> Result<Task, ImportError> {
        let not_found = || ImportError::NotFound(absent(id));
        let parsed = TaskId::parse(id).ok_or_else(not_found)?;
        let task = self.shared.tasks.task(parsed).await?.ok_or_else(not_found)?;
        match is_expired(&task, Timestamp::now()) {
            true => Err(not_found()),
            false => Ok(task),
        }
    }

    /// The tasks that brought an image its data, or tried to: those of the caller's project, all for an administrator.
    /// The oldest first.
    ///
    /// # Errors
    /// `Catalog` (`NotFound`), `Unavailable`.
    pub async fn tasks_of(&self, caller: &Caller, id: &str) -> Result<Vec<Task>, ImportError> {
        let image = self.catalog.known(caller, id).await?;
        let is_admin = self.catalog.is_admin(caller);
        let now = Timestamp::now();
        let mut tasks = self.shared.tasks.tasks(Some(image.id)).await?;
        tasks.retain(|task| (is_admin || task.owner == caller.project_id) && !is_expired(task, now));
        tasks.sort_by_key(|task| (task.created_at, task.id));
        Ok(tasks)
    }

    /// Tells the tasks that a stop has interrupted what became of them, and forgets those that have expired, for ever.
    pub async fn run(self) {
        let (mut settled, mut looked) = (false, None::<Instant>);
        loop {
            if looked.is_none_or(|looked| looked.elapsed() >= EXPIRY) {
                if let Err(error) = self.expire().await {
                    warn!(%error, "tasks that have expired cannot be forgotten now");
                }
                looked = Some(Instant::now());
            }
            if !settled {
                match self.settle_interrupted().await {
                    Ok(all) => settled = all,
                    Err(error) => warn!(%error, "tasks of interrupted imports cannot be settled yet"),
                }
            }
            tokio::time::sleep(if settled { EXPIRY } else { PAUSE }).await;
        }
    }

    /// Forgets the tasks that have expired, and of each image all but the newest that have ended.
    async fn expire(&self) -> Result<(), ImportError> {
        let mut ended = self.current().await?;
        ended.retain(|task| task.status.is_final());
        ended.sort_by_key(|task| std::cmp::Reverse((task.created_at, task.id)));
        let mut kept: HashMap<ImageId, usize> = HashMap::new();
        ended.retain(|task| {
            let count = kept.entry(task.image_id).or_default();
            *count = count.saturating_add(1);
            *count > KEPT
        });
        if !ended.is_empty() {
            let ids = ended.iter().map(|task| task.id).collect();
            self.shared.tasks.forget_tasks(ids).await?;
        }
        Ok(())
    }

    /// Waits for the end of an import, and keeps it.
    pub(super) async fn tell(&self, task: Task, end: Importing) {
        let (status, message) = match end.await {
            Ok(Ok(size)) => (TaskStatus::Success, success(task.kind, size)),
            Ok(Err(error)) => {
                info!(task = %task.id, image = %task.image_id, reason = %error, "an import has failed");
                (TaskStatus::Failure, error.to_string())
            }
            Err(_) => (
                TaskStatus::Failure,
                "the import was broken off by a fault of the service".to_owned(),
            ),
        };
        let id = task.id;
        if let Err(error) = self.end(task, status, message).await {
            warn!(task = %id, %error, "what became of an import cannot be kept: it is told after the next start");
        }
    }

    async fn end(&self, task: Task, status: TaskStatus, message: String) -> Result<(), MetadataError> {
        let now = Timestamp::now();
        let expires_at = now.after(self.shared.rules.time_to_live);
        self.shared
            .tasks
            .keep_task(task.ended(status, message, now, expires_at))
            .await
    }

    /// The tasks that have not expired; the others are forgotten.
    async fn current(&self) -> Result<Vec<Task>, ImportError> {
        let now = Timestamp::now();
        let tasks = self.shared.tasks.tasks(None).await?;
        let (expired, current): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|task| is_expired(task, now));
        if !expired.is_empty() {
            let ids = expired.iter().map(|task| task.id).collect();
            self.shared.tasks.forget_tasks(ids).await?;
        }
        Ok(current)
    }

    /// What an earlier run of this node has begun and not told the end of.
    ///
    /// # Errors
    /// The metadata does not answer; what was settled is.
    ///
    /// Returns whether that is all: of those whose data is still being removed the end is not known yet.
    pub(super) async fn settle_interrupted(&self) -> Result<bool, ImportError> {
        let mut tasks = self.shared.tasks.tasks(None).await?;
        tasks.retain(|task| {
            let is_ours = task.node == self.shared.node && task.created_at < self.shared.since;
            is_ours && !task.status.is_final()
        });
        let mut all = true;
        for task in tasks {
            let entry = self.shared.metadata.entry(task.image_id).await?;
            let Some((status, message)) = end_of(&task, entry.as_ref().and_then(Entry::live)) else {
                // The janitor is about to undo it.
                all = false;
                continue;
            };
            info!(task = %task.id, image = %task.image_id, status = status.as_str(), "settled an interrupted import");
            self.end(task, status, message).await?;
        }
        Ok(all)
    }
}

/// What became of a task that was cut off; `None` while its attempt holds the image.
fn end_of(task: &Task, image: Option<&Image>) -> Option<(TaskStatus, String)> {
    let content = image.and_then(|image| image.content.as_ref());
    let size = content.map_or(0, |content| content.size);
    let is_own = content.is_some_and(|content| content.attempt == task.attempt);
    let claim = image.and_then(|image| image.claim);
    if is_own || image.is_some_and(|image| image.claim.is_none() && is_copied(task, image)) {
        return Some((TaskStatus::Success, success(task.kind, size)));
    }
    if claim.is_some_and(|claim| claim.attempt == task.attempt) {
        return None;
    }
    let message = "the service was stopped during the import: nothing of the data is left, begin again";
    Some((TaskStatus::Failure, message.to_owned()))
}

impl TaskListing {
    fn compare(&self, a: &Task, b: &Task) -> Ordering {
        let by_key = match self.sort {
            TaskSort::Id => a.id.cmp(&b.id),
            TaskSort::Type => a.kind.as_str().cmp(b.kind.as_str()),
            TaskSort::Status => a.status.as_str().cmp(b.status.as_str()),
            TaskSort::Owner => a.owner.cmp(&b.owner),
            TaskSort::ExpiresAt => a.expires_at.cmp(&b.expires_at),
            TaskSort::ImageId => a.image_id.cmp(&b.image_id),
            TaskSort::RequestId => a.request_id.cmp(&b.request_id),
            TaskSort::UserId => a.user_id.cmp(&b.user_id),
            TaskSort::UpdatedAt => a.updated_at.cmp(&b.updated_at),
            TaskSort::CreatedAt | TaskSort::Deleted => Ordering::Equal,
        };
        let order = by_key.then_with(|| (a.created_at, a.id).cmp(&(b.created_at, b.id)));
        match self.descending {
            true => order.reverse(),
            false => order,
        }
    }
}

/// Whether the image is where the task was to copy it. Its locations are all that is known of a copy afterwards.
fn is_copied(task: &Task, image: &Image) -> bool {
    let input: Value = serde_json::from_str(&task.input).unwrap_or_default();
    let wanted = input.get("backend").and_then(Value::as_array);
    let wanted = wanted.map(Vec::as_slice).unwrap_or_default();
    let is_there = |id: &Value| {
        let mut stores = image
            .locations
            .iter()
            .filter_map(|location| location.store.as_ref());
        stores.any(|store| Some(store.as_str()) == id.as_str())
    };
    let method = input.pointer("/import_req/method/name").and_then(Value::as_str);
    let all = input
        .pointer("/import_req/all_stores_must_succeed")
        .and_then(Value::as_bool);
    method == Some(Method::CopyImage.as_str())
        && !wanted.is_empty()
        && match all == Some(false) {
            true => wanted.iter().any(is_there),
            false => wanted.iter().all(is_there),
        }
}

/// What a task says at its end, in Glance's words.
fn success(kind: TaskKind, size: u64) -> String {
    match kind {
        TaskKind::ApiImageImport => format!("Copied {} MiB", size >> 20),
        TaskKind::Import | TaskKind::LocationImport => String::new(),
    }
}

fn is_expired(task: &Task, now: Timestamp) -> bool {
    task.expires_at.is_some_and(|expires_at| expires_at < now)
}

fn absent(id: &str) -> String {
    format!("Task with the given id {id} was not found")
}
