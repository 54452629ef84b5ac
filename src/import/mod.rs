//! Accepted work that finishes later: imports, and the tasks that tell what became of them.
//!
//! * [`Imports`]: data is brought for an import, an import is begun
//! * [`ImportRequest`]: what a client asks for
//! * `legacy`: an image made and imported by a task, of old
//! * `location`: data that is there already
//! * `stage_host`: requests about data that waits on another node
//! * [`plugins`]: what an operator has done to every import
//! * `tasks`: what became of imports; what was interrupted by a stop is told so at the next start
//! * `web`: bytes from another server; `region`: an image of another region; `reading`: their files, to the end
//!
//! An import that a stop or crash cuts off is undone by the janitor, from the ledger: the image is `queued` again.

mod error;
mod legacy;
mod location;
pub mod plugins;
mod reading;
mod region;
mod request;
mod stage_host;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod web;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body::Body;
use saccade_outgoing::Client;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

pub use self::{
    error::ImportError,
    legacy::LegacyImport,
    plugins::Plugins,
    request::{ImportRequest, NamedStore},
    stage_host::{Answered, Onward, Outcome, StageHostError},
    tasks::{TaskList, TaskListing, TaskSort},
};
use crate::{
    catalog::Catalog,
    identity::{Caller, Delegation},
    image::{
        AttemptId, IMPORT_TASK, Image, ImageId, NodeId, Status, Task, TaskId, TaskKind, TaskStatus, Timestamp,
    },
    metadata::{Metadata, TaskStore},
    policy::{Authorized, Import as MayImport, ImportKind},
    transfer::{Import, Origin, Partial, Source, Transfers, Treatment},
};

/// Begins imports, and tells what became of them. Clones are handles to the same one.
#[derive(Clone)]
pub struct Imports {
    shared: Arc<Parts>,
    /// As whoever asks may use them.
    catalog: Catalog,
    transfers: Transfers,
}

/// What imports work with.
pub struct Parts {
    /// The images.
    pub catalog: Catalog,
    /// Moves the data.
    pub transfers: Transfers,
    /// The images' records.
    pub metadata: Arc<dyn Metadata>,
    /// Where tasks are kept.
    pub tasks: Arc<dyn TaskStore>,
    /// Gets every import, so that a stop can wait for them.
    pub tracker: TaskTracker,
    /// Asks other servers.
    pub web: Client,
    /// Asks the image services of the same cloud, wherever they are; follows no redirects.
    pub cloud: Client,
    /// What is done to every import.
    pub plugins: Plugins,
    /// This node.
    pub node: NodeId,
    /// What the operator has decided.
    pub rules: Rules,
    /// When this was made: tasks that are older and still under way were interrupted.
    pub since: Timestamp,
}

/// What the operator has decided of imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The methods that clients may use.
    pub methods: Vec<Method>,
    /// The stores that clients know; `None` where stores have no names.
    pub stores: Option<Vec<NamedStore>>,
    /// The id of the store that takes data when the client names none.
    pub default_store: String,
    /// How the names of properties begin that an image of another region brings along (`extra_properties`).
    pub extra_properties: Vec<String>,
    /// How often a broken connection is taken up again without any progress (`http_retries`).
    pub retries: u32,
    /// How long tasks are kept after their end (`task_time_to_live`).
    pub time_to_live: Duration,
    /// Tasks on a page when the client does not say (`limit_param_default`).
    pub page_default: usize,
    /// The most tasks on a page (`api_limit_max`).
    pub page_max: usize,
}

/// A way to import that can be carried out, by its name in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// What was staged on this node.
    GlanceDirect,
    /// What another server sends.
    WebDownload,
    /// What the image has, into more stores.
    CopyImage,
    /// An image of another region of the same cloud.
    GlanceDownload,
}

/// What a request says of an import beside its body.
#[derive(Debug)]
pub struct Besides<'a> {
    /// `X-Image-Meta-Store`.
    pub store: Option<&'a str>,
    /// What lets `glance-download` ask in the caller's name.
    pub delegation: Option<Delegation>,
    /// The request's id.
    pub request_id: &'a str,
    /// What another node is told, if the request is its to answer.
    pub onward: &'a Onward,
}

impl Method {
    /// Its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GlanceDirect => "glance-direct",
            Self::WebDownload => "web-download",
            Self::CopyImage => "copy-image",
            Self::GlanceDownload => "glance-download",
        }
    }
}

impl Imports {
    /// Imports with the given parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            catalog: parts.catalog.clone(),
            transfers: parts.transfers.clone(),
            shared: Arc::new(parts),
        }
    }

    /// The same by way of these, which act in some caller's name.
    #[must_use]
    pub fn by_way_of(&self, catalog: Catalog, transfers: Transfers) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            catalog,
            transfers,
        }
    }

    /// The methods that clients may use.
    pub fn methods(&self) -> &[Method] {
        &self.shared.rules.methods
    }

    /// Keeps data for an import of a queued image; see [`Transfers::stage`].
    ///
    /// # Errors
    /// `NotFound` where this method is not offered; `Catalog`, `Transfer`.
    pub async fn stage<B>(&self, caller: &Caller, id: &str, source: Source<B>) -> Result<(), ImportError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (permission, image) = self.catalog.authorize_stage(caller, id).await?;
        Ok(self.transfers.stage(permission, &image, source).await?)
    }

    /// Begins an import: checks in Glance's order, then the image is `importing`, and the rest happens in the background. What
    /// waits on another node is imported there.
    ///
    /// # Errors
    /// See [`ImportError`]; nothing was begun.
    pub async fn import(
        &self,
        caller: &Caller,
        id: &str,
        request: ImportRequest,
        besides: Besides<'_>,
    ) -> Result<Outcome, ImportError> {
        let Besides {
            store: header,
            delegation,
            request_id,
            onward,
        } = besides;
        let Self {
            catalog, transfers, ..
        } = self;
        let rules = &self.shared.rules;
        let image = catalog.known(caller, id).await?;
        let method = request.method();
        check_state(&image, method)?;
        let original = match method {
            Method::GlanceDownload => Some(request.original_image()?),
            _ => None,
        };
        let kind = match method {
            Method::CopyImage => ImportKind::Copy,
            Method::GlanceDirect | Method::WebDownload | Method::GlanceDownload => ImportKind::NewData,
        };
        let permission = catalog.authorize_import(caller, &image, kind)?;
        transfers.check_room(&image).await?;
        if image.properties.contains_key(IMPORT_TASK) {
            return Err(ImportError::Conflict("Image has active task".to_owned()));
        }
        let mut shown = match &rules.stores {
            Some(named) => request.stores(header, &rules.default_store, named)?,
            None => Vec::new(),
        };
        if method == Method::CopyImage {
            request.leave_out_present(&image, &mut shown)?;
            if shown.is_empty() {
                // It is in all of them.
                return Ok(Outcome::Done);
            }
        }
        if !request.all_stores_must_succeed && rules.stores.is_none() {
            return Err(ImportError::Invalid(
                "All_stores_must_succeed can only be set with enabled_backends".to_owned(),
            ));
        }
        if method == Method::GlanceDirect
            && let Some(host) = transfers.stage_host(&image).await
        {
            let answered = self.import_there(host, image.id, &request, onward).await?;
            return Ok(answered);
        }
        let origin = match (method, original) {
            (_, Some(original)) => {
                let asking = self.asking(caller, &image, original, delegation);
                Origin::Elsewhere(region::open(asking))
            }
            (Method::GlanceDirect, _) => Origin::Staged(image.staged().ok_or_else(not_staged)?),
            (Method::CopyImage, _) => Origin::Own,
            _ => {
                let target = web::admitted(&self.shared.web, request.uri.as_deref()).await?;
                Origin::Elsewhere(web::open(self.shared.web.clone(), target, rules.retries))
            }
        };
        let backend = match &rules.stores {
            Some(_) => json!(shown),
            None => json!([null]),
        };
        let input =
            json!({"image_id": image.id.to_string(), "import_req": request.shown(), "backend": backend});
        let task = self.new_task(TaskKind::ApiImageImport, caller, image.id, &input, request_id);
        let import = Import {
            task: task.id,
            attempt: task.attempt,
            origin,
            stores: shown.clone(),
            shown,
            partial: match request.all_stores_must_succeed {
                true => Partial::Refused,
                false => Partial::Accepted,
            },
            treatment: match method {
                Method::CopyImage => Treatment::default(),
                Method::GlanceDirect | Method::WebDownload | Method::GlanceDownload => {
                    self.shared.plugins.for_import_of(caller)
                }
            },
        };
        self.begin(task, permission, image, import).await?;
        Ok(Outcome::Done)
    }

    /// A task that begins now.
    fn new_task(
        &self,
        kind: TaskKind,
        caller: &Caller,
        image: ImageId,
        input: &Value,
        request_id: &str,
    ) -> Task {
        let now = Timestamp::now();
        Task {
            id: TaskId::random(),
            kind,
            status: TaskStatus::Processing,
            owner: caller.project_id.clone(),
            user_id: caller.user_id.clone(),
            request_id: request_id.to_owned(),
            image_id: image,
            input: input.to_string(),
            message: String::new(),
            node: self.shared.node,
            attempt: AttemptId::random(),
            created_at: now,
            updated_at: now,
            expires_at: None,
        }
    }

    async fn begin(
        &self,
        task: Task,
        permission: Authorized<MayImport>,
        image: Image,
        import: Import,
    ) -> Result<(), ImportError> {
        let imports = self.clone();
        let (told, answer) = oneshot::channel();
        // Whoever asked may go away: the task has its end all the same.
        let begun = async move {
            // Before the image: whoever sees that it is importing finds the task.
            if let Err(error) = imports.shared.tasks.keep_task(task.clone()).await {
                let _ = told.send(Err(error.into()));
                return;
            }
            match imports.transfers.import(permission, image, import).await {
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
        self.shared.tracker.spawn(begun.instrument(Span::current()));
        answer.await.unwrap_or_else(|_| Err(ImportError::fault()))
    }

    /// Forgets a task that was not begun.
    async fn forget(&self, task: TaskId) {
        if let Err(error) = self.shared.tasks.forget_tasks(vec![task]).await {
            tracing::warn!(%task, %error, "a task that was not begun stays for now");
        }
    }
}

/// Whether the image may be imported in this way (Glance 33, `import_image`).
fn check_state(image: &Image, method: Method) -> Result<(), ImportError> {
    let refused = |reason: &str| Err(ImportError::Conflict(reason.to_owned()));
    if method == Method::CopyImage {
        return match image.status {
            Status::Active => Ok(()),
            _ => refused("Only images with status active can be targeted for copying"),
        };
    }
    if image.status == Status::Active {
        return refused("Image with status active cannot be target for import");
    }
    match method {
        Method::WebDownload | Method::GlanceDownload if image.status != Status::Queued => {
            return refused(&format!(
                "Image needs to be in 'queued' state to use '{}' method",
                method.as_str()
            ));
        }
        Method::GlanceDirect if image.staged().is_none() => return Err(not_staged()),
        _ => {}
    }
    if image.container_format.is_none() {
        return refused("'container_format' needs to be set before import");
    }
    if image.disk_format.is_none() {
        return refused("'disk_format' needs to be set before import");
    }
    Ok(())
}

fn not_staged() -> ImportError {
    ImportError::Conflict("Image needs to be staged before 'glance-direct' method can be used".to_owned())
}
