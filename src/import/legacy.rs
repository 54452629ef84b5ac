//! An image that a task makes and brings its data from the web: how it was done before images could be imported, and
//! still is by some scripts (Glance 33, `POST /v2/tasks`, `common/scripts/image_import/main.py`).

use serde_json::{Map, Value};

use super::{ImportError, Imports, web};
use crate::{
    catalog::{NewImage, Rules, without_secrets},
    identity::Caller,
    image::{Task, TaskKind},
    policy::ImportKind,
    transfer::{Import, Origin, Partial, Treatment},
};

/// The longest input, in bytes: it is kept with the task.
const MAX_INPUT: usize = 64 << 10;

/// What the input of such a task asks for.
pub struct LegacyImport {
    image: NewImage,
    from: String,
    /// As it was sent, without what could be a secret.
    input: Value,
}

impl LegacyImport {
    /// Reads the input of a task. As in Glance, an image of which nothing is said is a bare QCOW2.
    ///
    /// # Errors
    /// `Invalid` with the reason, `Catalog` for the image's properties.
    pub fn parse(input: Value, rules: &Rules) -> Result<Self, ImportError> {
        let missing = ["import_from", "import_from_format", "image_properties"]
            .into_iter()
            .find(|name| input.get(name).is_none());
        if let Some(name) = missing {
            return Err(invalid(format!("Input does not contain '{name}' field")));
        }
        let Some(Value::String(from)) = input.get("import_from") else {
            return Err(invalid("'import_from' must be an address"));
        };
        let from = from.clone();
        let length = input.to_string().len();
        if length > MAX_INPUT {
            return Err(invalid(format!(
                "the input has {length} bytes: at most {MAX_INPUT} are taken"
            )));
        }
        if from.starts_with("file:///") || from.starts_with("filesystem:///") {
            return Err(invalid(
                "File based imports are not allowed. Please use a non-local source of image data.",
            ));
        }
        if !from.starts_with("http://") && !from.starts_with("https://") {
            return Err(invalid(
                "The given uri is not valid. Please specify a valid uri from the following list of supported uri ['http']",
            ));
        }
        let mut properties = match input.get("image_properties") {
            Some(Value::Object(properties)) => properties.clone(),
            _ => return Err(invalid("'image_properties' must be an object")),
        };
        if properties.is_empty() {
            properties = Map::from_iter([
                ("disk_format".to_owned(), "qcow2".into()),
                ("container_format".to_owned(), "bare".into()),
            ]);
        }
        let image = NewImage::parse(properties, rules).map_err(crate::catalog::CatalogError::from)?;
        let mut input = input;
        if let Some(shown) = input.get_mut("import_from") {
            *shown = without_secrets(&from).into();
        }
        Ok(Self { image, from, input })
    }
}

impl Imports {
    /// Makes the image, begins its import into the default store, and returns the task. Glance makes the image later; what
    /// is wrong with it is told at once here.
    ///
    /// # Errors
    /// See [`ImportError`]. When the import cannot begin, the image is there, `queued`.
    pub async fn create_task(
        &self,
        caller: &Caller,
        legacy: LegacyImport,
        request_id: &str,
    ) -> Result<Task, ImportError> {
        let shared = &self.shared;
        let target = web::admitted_for(&shared.web, Some(&legacy.from), "legacy import task").await?;
        let made = self.catalog.create(caller, &legacy.image).await?;
        // As it is recorded, with what the caller may not see.
        let image = self.catalog.known(caller, &made.id.to_string()).await?;
        let permission = self
            .catalog
            .authorize_import(caller, &image, ImportKind::NewData)?;
        let task = self.new_task(TaskKind::Import, caller, image.id, &legacy.input, request_id);
        let import = Import {
            task: task.id,
            attempt: task.attempt,
            origin: Origin::Elsewhere(web::open(shared.web.clone(), target, shared.rules.retries)),
            stores: Vec::new(),
            shown: Vec::new(),
            partial: Partial::Refused,
            // Glance has no plugins there either.
            treatment: Treatment::default(),
        };
        self.begin(task.clone(), permission, image, import).await?;
        Ok(task)
    }
}

fn invalid(reason: impl Into<String>) -> ImportError {
    ImportError::Invalid(reason.into())
}
