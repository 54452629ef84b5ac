//! Files and bodies that define metadata: what is accepted is stored, and reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade::{
    image::Timestamp,
    metadata::rocksdb::fuzzing::{decode_namespace, encode_namespace},
    metadefs::{
        AssociationDraft, Namespace, NamespaceDraft, ObjectDraft, parse_property, parse_tag, parse_tags,
    },
};
use saccade_fuzz::within;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Ok(body) = serde_json::from_slice::<Value>(input) else {
        return;
    };
    let bound = 64 * 1024 + 1024 * input.len();
    let draft = within(bound, || NamespaceDraft::parse_file(body.clone()));
    let from_client = within(bound, || NamespaceDraft::parse(body.clone()));
    if from_client.is_ok() {
        assert!(draft.is_ok(), "a client may say what a file may not");
    }
    if let Ok(draft) = draft {
        let name = draft.name.clone();
        assert!(!name.is_empty() && !name.contains('/') && name.chars().count() <= 80);
        if let Ok(namespace) = Namespace::new(draft, Some("owner"), Timestamp::from_micros(1)) {
            let stored = encode_namespace(&namespace).unwrap();
            assert_eq!(decode_namespace(&name, &stored).unwrap(), namespace);
        }
    }
    let _ = within(bound, || ObjectDraft::parse(body.clone()));
    let _ = within(bound, || AssociationDraft::parse(body.clone()));
    if let Ok(tag) = parse_tag(body.clone()) {
        assert!(tag.chars().count() <= 80);
    }
    let _ = parse_tags(body.clone());
    let _ = parse_property(body);
});
