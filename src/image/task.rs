//! What became of an import, for whoever asks later.

use std::fmt;

use uuid::Uuid;

use super::{AttemptId, ImageId, NodeId, Timestamp};

/// The id of a task: a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(Uuid);

impl TaskId {
    /// A new task.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id from its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id that is written so, in any of a UUID's forms.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// One import, under way or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Who asked, and how.
    pub kind: TaskKind,
    /// Where it is in its life.
    pub status: TaskStatus,
    /// The project of whoever asked.
    pub owner: Option<String>,
    /// The user who asked.
    pub user_id: String,
    /// The request that asked.
    pub request_id: String,
    /// The image that gets the data.
    pub image_id: ImageId,
    /// What was asked for: JSON.
    pub input: String,
    /// Why it failed; empty otherwise.
    pub message: String,
    /// The node that works on it.
    pub node: NodeId,
    /// What brings the data: the image has it when this attempt's content is the image's.
    pub attempt: AttemptId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it may be forgotten; `None` while it is under way.
    pub expires_at: Option<Timestamp>,
}

/// How an import was asked for, by the names of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// By the import of an image.
    ApiImageImport,
    /// By a task, of old.
    Import,
    /// By the address of data that is there already.
    LocationImport,
}

/// Where a task is in its life, by the names of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The names are the API's own.
pub enum TaskStatus {
    Pending,
    Processing,
    Success,
    Failure,
}

impl TaskKind {
    /// Its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiImageImport => "api_image_import",
            Self::Import => "import",
            Self::LocationImport => "location_import",
        }
    }
}

impl TaskStatus {
    /// Its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }

    /// Whether nothing happens any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failure)
    }
}

impl Task {
    /// The task at its end, to be forgotten at `expires_at`; the message is empty when it has succeeded.
    #[must_use]
    pub fn ended(
        mut self,
        status: TaskStatus,
        message: String,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        self.status = status;
        self.message = message;
        self.updated_at = now.max(self.created_at);
        self.expires_at = Some(expires_at);
        self
    }
}
