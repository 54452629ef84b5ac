//! Glance's two drafts of JSON Patch: refusals are 400 or 403, one operation for each that was sent, and no operation
//! touches what clients may not set.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use saccade::{
    catalog::{Attribute, Operation, Rules},
    http::fuzzing::patch,
};
use saccade_fuzz::within;
use serde_json::Value;

const FOUR: &str = "application/openstack-images-v2.0-json-patch";
const TEN: &str = "application/openstack-images-v2.1-json-patch";
const FORBIDDEN: [&str; 6] = ["id", "status", "checksum", "location", "deleted", "stores"];

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules {
    disk_formats: vec!["raw".to_owned(), "qcow2".to_owned()],
    container_formats: vec!["bare".to_owned(), "ova".to_owned()],
    max_properties: Some(128),
    max_tags: Some(128),
    max_members: Some(128),
    max_locations: Some(10),
    show_locations: true,
    hash_algorithm: "sha512".to_owned(),
    hash_length: 128,
    deferred_deletion: false,
    page_default: 25,
    page_max: 1000,
});

fuzz_target!(|input: &[u8]| {
    let Some((&draft, body)) = input.split_first() else {
        return;
    };
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let four = draft & 1 == 0;
    let media_type = if four { FOUR } else { TEN };
    let sent = body.as_array().cloned();
    let read = within(64 * 1024 + 256 * input.len(), || {
        patch(media_type, body, &RULES).unwrap()
    });
    match read {
        Err(status) => assert!(matches!(status, 400 | 403), "{status}"),
        Ok(operations) => {
            let sent = sent.unwrap();
            assert_eq!(operations.len(), sent.len());
            for (operation, sent) in operations.iter().zip(&sent) {
                check(operation, sent, four);
            }
        }
    }
});

fn check(operation: &Operation, sent: &Value, four: bool) {
    let (kind, name) = match operation {
        Operation::Add(Attribute::Property(name, _), _) => ("add", name),
        Operation::Replace(Attribute::Property(name, _)) => ("replace", name),
        Operation::Remove { name } => ("remove", name),
        _ => return,
    };
    assert!(
        !FORBIDDEN.contains(&name.as_str()) && !name.starts_with("os_glance"),
        "{name}"
    );
    let pointer = if four { &sent[kind] } else { &sent["path"] };
    let pointer = pointer.as_str().unwrap();
    // RFC 6901, and Glance's trimming.
    let token = pointer
        .trim_start_matches('/')
        .replace("~1", "/")
        .replace("~0", "~");
    assert_eq!(token.trim(), name);
}
