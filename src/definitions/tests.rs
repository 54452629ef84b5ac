//! The rules, on the memory store.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{DefinitionErrorKind, Definitions, ListRequest, Parts, TagMode};
use crate::{
    catalog::tests::caller,
    identity::Caller,
    metadata::memory::MemoryMetadata,
    metadefs::{Direction, NamespaceDraft, SortKey},
    policy::Policy,
};

/// Nothing is defined.
pub(crate) fn definitions() -> Definitions {
    Definitions::new(Parts {
        store: Arc::new(MemoryMetadata::new()),
        policy: Arc::new(Policy::with_defaults().into()),
        page_default: 25,
        page_max: 1000,
    })
}

fn admin() -> Caller {
    caller("cloud", &["reader", "member", "admin"])
}

fn member() -> Caller {
    caller("us", &["reader", "member"])
}

fn draft(body: Value) -> NamespaceDraft {
    NamespaceDraft::parse(body).unwrap()
}

async fn with(body: Value) -> Definitions {
    let definitions = definitions();
    let made = definitions.create_namespace(&admin(), draft(body)).await;
    made.unwrap();
    definitions
}

fn newest() -> ListRequest {
    ListRequest {
        visibility: None,
        resource_types: None,
        order: (SortKey::CreatedAt, Direction::Descending),
        marker: None,
        limit: None,
    }
}

#[tokio::test]
async fn the_owner_is_the_callers_project_unless_another_is_named() {
    let definitions = with(json!({ "namespace": "n" })).await;
    let shown = definitions.namespace(&admin(), "n").await.unwrap();
    assert_eq!(shown.head.owner.as_deref(), Some("cloud"));
    let given = draft(json!({ "namespace": "n", "owner": "us" }));
    let updated = definitions.update_namespace(&admin(), "n", &given).await.unwrap();
    assert_eq!(updated.head.owner.as_deref(), Some("us"));
    definitions.namespace(&member(), "n").await.unwrap();
    let again = definitions
        .update_namespace(&admin(), "n", &draft(json!({ "namespace": "n" })))
        .await;
    assert_eq!(again.unwrap().head.owner.as_deref(), Some("cloud"));
}

#[tokio::test]
async fn who_may_not_see_a_namespace_is_told_that_there_is_none() {
    let definitions = with(json!({ "namespace": "private", "tags": [{ "name": "t" }] })).await;
    let hidden = |error: super::DefinitionError| {
        let expected = DefinitionErrorKind::NamespaceNotFound {
            name: "private".to_owned(),
        };
        assert_eq!(*error.kind(), expected);
    };
    let member = member();
    hidden(definitions.namespace(&member, "private").await.unwrap_err());
    hidden(definitions.tag(&member, "private", "t").await.unwrap_err());
    hidden(definitions.delete_tags(&member, "private").await.unwrap_err());
    hidden(definitions.create_tag(&member, "private", "u").await.unwrap_err());
    let marker = ListRequest {
        marker: Some("private".to_owned()),
        ..newest()
    };
    hidden(definitions.list_namespaces(&member, marker).await.unwrap_err());
    let listed = definitions.list_namespaces(&member, newest()).await.unwrap();
    assert!(listed.namespaces.is_empty());
}

#[tokio::test]
async fn who_reads_nothing_is_told_that_there_is_nothing() {
    let definitions = with(json!({ "namespace": "n", "visibility": "public" })).await;
    let stranger = caller("us", &["foo"]);
    let error = definitions.list_namespaces(&stranger, newest()).await;
    assert_eq!(*error.unwrap_err().kind(), DefinitionErrorKind::Hidden);
    let error = definitions.resource_types(&stranger).await;
    assert_eq!(*error.unwrap_err().kind(), DefinitionErrorKind::Hidden);
    definitions.namespace(&stranger, "n").await.unwrap_err();
}

#[tokio::test]
async fn who_sees_but_may_not_change_is_told_which_rule_says_so() {
    let definitions =
        with(json!({ "namespace": "n", "visibility": "public", "tags": [{ "name": "t" }] })).await;
    let refused = definitions.delete_tag(&member(), "n", "t").await.unwrap_err();
    let expected = DefinitionErrorKind::Denied {
        rule: "delete_metadef_tag",
    };
    assert_eq!(*refused.kind(), expected);
    definitions.tag(&member(), "n", "t").await.unwrap();
    let refused = definitions
        .create_namespace(&member(), draft(json!({ "namespace": "m" })))
        .await;
    assert!(matches!(
        refused.unwrap_err().kind(),
        DefinitionErrorKind::Denied { .. }
    ));
}

#[tokio::test]
async fn changes_by_many_at_once_are_all_made() {
    let definitions = with(json!({ "namespace": "n" })).await;
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let definitions = definitions.clone();
            tokio::spawn(async move { definitions.create_tag(&admin(), "n", &format!("t{number}")).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    let tags = definitions.namespace(&admin(), "n").await.unwrap().tags;
    assert_eq!(tags.len(), 8);
}

#[tokio::test]
async fn many_tags_are_added_all_or_none() {
    let definitions = with(json!({ "namespace": "n", "tags": [{ "name": "a" }] })).await;
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let create =
        async |tags: Vec<String>, mode| definitions.create_tags(&admin(), "n", &tags, mode).await.is_ok();
    assert!(!create(names(&["b", "a"]), TagMode::Append).await);
    assert!(!create(names(&["b", "b"]), TagMode::Replace).await);
    assert!(create(names(&[]), TagMode::Replace).await);
    let tags = definitions.namespace(&admin(), "n").await.unwrap().tags;
    assert_eq!(tags.len(), 1);
    assert!(create(names(&["b", "a"]), TagMode::Replace).await);
    let tags = definitions.namespace(&admin(), "n").await.unwrap().tags;
    assert_eq!(tags.len(), 2);
}
