use serde_json::{Value, json};

use super::*;
use crate::metadata::memory::MemoryMetadata;

struct Loader {
    store: MemoryMetadata,
    dir: tempfile::TempDir,
}

impl Loader {
    fn new() -> Self {
        Self {
            store: MemoryMetadata::new(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    async fn load(&self, content: &Value, existing: Existing) -> Outcome {
        let file = self.file("a.json", &content.to_string());
        let (_, outcome) = load_one(&self.store, &file, existing).await.unwrap();
        outcome
    }

    async fn namespace(&self) -> Namespace {
        self.store.namespace("OS::A").await.unwrap().unwrap()
    }
}

fn first() -> Value {
    json!({
        "namespace": "OS::A",
        "display_name": "A",
        "description": "first",
        "visibility": "public",
        "protected": null,
        "resource_type_associations": [{ "name": "R", "prefix": "a_", "properties_target": null }],
        "properties": { "p": { "title": "P", "type": "integer", "default": 8 } },
        "objects": [{ "name": "o", "required": ["q"], "properties": { "q": { "title": "Q", "type": "string" } } }],
        "tags": [{ "name": "t" }],
    })
}

fn second() -> Value {
    json!({
        "namespace": "OS::A",
        "description": "second",
        "owner": "them",
        "resource_type_associations": [{ "name": "R", "prefix": "b_" }, { "name": "S" }],
        "properties": {
            "p": { "title": "New", "type": "string" },
            "n": { "title": "N", "type": "string" },
        },
        "objects": [{ "name": "o", "description": "new" }, { "name": "o2" }],
        "tags": [{ "name": "t2" }],
    })
}

#[tokio::test]
async fn a_file_becomes_a_namespace() {
    let loader = Loader::new();
    assert_eq!(loader.load(&first(), Existing::Kept).await, Outcome::Loaded);
    let namespace = loader.namespace().await;
    assert_eq!(namespace.head.owner.as_deref(), Some("admin"));
    assert!(!namespace.head.protected);
    assert_eq!(namespace.head.updated_at, None);
    assert_eq!(namespace.objects["o"].required, ["q"]);
    assert_eq!(namespace.objects["o"].updated_at, None);
    assert_eq!(namespace.properties["p"].default, Some(json!("8")));
    let types = loader.store.resource_types().await.unwrap();
    assert_eq!(types[0].name, "R");
}

#[tokio::test]
async fn a_namespace_that_exists_is_left_alone_without_merge() {
    let loader = Loader::new();
    loader.load(&first(), Existing::Kept).await;
    let before = loader.namespace().await;
    assert_eq!(loader.load(&second(), Existing::Kept).await, Outcome::Skipped);
    assert_eq!(loader.namespace().await, before);
}

#[tokio::test]
async fn merge_adds_what_is_missing_and_keeps_what_is_there() {
    let loader = Loader::new();
    loader.load(&first(), Existing::Kept).await;
    let merged = Existing::Merged(Precedence::Existing);
    assert_eq!(loader.load(&second(), merged).await, Outcome::Merged);
    let namespace = loader.namespace().await;
    assert_eq!(namespace.head.description.as_deref(), Some("first"));
    assert_eq!(namespace.head.owner.as_deref(), Some("admin"));
    assert_eq!(
        namespace.head.association("R").unwrap().prefix.as_deref(),
        Some("a_")
    );
    assert!(namespace.head.association("S").is_some());
    assert_eq!(namespace.properties["p"].title, "P");
    assert_eq!(namespace.properties["n"].title, "N");
    assert_eq!(namespace.objects["o"].required, ["q"]);
    assert!(namespace.objects.contains_key("o2"));
    assert!(namespace.tag("t").is_some() && namespace.tag("t2").is_some());
}

#[tokio::test]
async fn prefer_new_takes_the_files_definitions_and_keeps_the_others() {
    let loader = Loader::new();
    loader.load(&first(), Existing::Kept).await;
    loader.load(&second(), Existing::Merged(Precedence::New)).await;
    let namespace = loader.namespace().await;
    assert_eq!(namespace.head.description.as_deref(), Some("second"));
    assert_eq!(namespace.head.display_name, None);
    assert_eq!(namespace.head.owner.as_deref(), Some("them"));
    assert_eq!(
        namespace.head.association("R").unwrap().prefix.as_deref(),
        Some("b_")
    );
    assert_eq!(namespace.properties["p"].title, "New");
    assert!(namespace.objects["o"].required.is_empty());
    assert!(namespace.objects["o"].updated_at.is_some());
    assert!(namespace.tag("t").is_some() && namespace.tag("t2").is_some());
}

#[tokio::test]
async fn overwrite_leaves_nothing_of_what_was_there() {
    let loader = Loader::new();
    loader.load(&first(), Existing::Kept).await;
    assert_eq!(
        loader.load(&second(), Existing::Replaced).await,
        Outcome::Replaced
    );
    let namespace = loader.namespace().await;
    assert_eq!(namespace.head.owner.as_deref(), Some("them"));
    assert!(namespace.tag("t").is_none() && namespace.tag("t2").is_some());
    assert_eq!(namespace.properties.len(), 2);
    assert_eq!(namespace.properties["p"].title, "New");
}

#[tokio::test]
async fn a_file_that_is_none_keeps_no_other_out() {
    let loader = Loader::new();
    loader.file("1.json", "{");
    loader.file("2.json", &first().to_string());
    loader.file("3.json", r#"{"namespace": "x", "surprise": 1}"#);
    loader.file("not.txt", "");
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut streams = Streams {
        input: &mut io::empty(),
        output: &mut output,
        errors: &mut errors,
    };
    let files = files(loader.dir.path()).unwrap();
    assert_eq!(files.len(), 3);
    let exit = load_all(&loader.store, &files, Existing::Kept, &mut streams).await;
    assert_eq!(exit, Exit::Failure);
    assert_eq!(output, b"OS::A: loaded\n");
    let errors = String::from_utf8(errors).unwrap();
    assert!(errors.contains("1.json") && errors.contains("3.json"), "{errors}");
    assert!(errors.contains("'surprise' was unexpected"), "{errors}");
}
