//! Locations, handles, manifests and references of the Swift store: what is asked for is an object in a container of the account,
//! and none that an upload is writing; a client may name it only by the account's key; and with a blob go its own
//! segments alone.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade_fuzz::text;
use saccade_store_swift::fuzzing::{KEY, STORAGE, handle, manifest, references, resolve, segments};
use uuid::Uuid;

const BLOB: Uuid = Uuid::from_u128(0x3f1a_0a5e_9d0e_4c6d_8f4b_0d4b_6a2e_7c11);

fuzz_target!(|input: &[u8]| {
    let Some(text) = text(input) else { return };
    if let Some((url, may_be_named)) = resolve(text) {
        let rest = url.as_str().strip_prefix(STORAGE).unwrap();
        let (container, object) = rest.split_once('/').unwrap();
        assert!(!rest.contains(['?', '#']) && !object.contains('/'), "{url}");
        for name in [container, object] {
            assert!(!name.is_empty() && name != "." && name != "..", "{url}");
        }
        assert!(!object.starts_with(".saccade."), "{url}");
        let (_, prefix) = manifest(BLOB, BLOB).unwrap();
        assert!(!object.starts_with(&prefix), "{url}");
        if may_be_named {
            let (credentials, _) = text.rsplit_once('@').unwrap();
            let plain = !credentials.contains('%');
            assert!(
                !plain || credentials.ends_with(&format!("service:glance:{KEY}")),
                "{text:?}"
            );
        }
    }
    if let Some(again) = handle(text) {
        assert_eq!(again, text, "an attempt has one handle");
    }
    if let Some(prefix) = segments(BLOB, text) {
        assert!(
            prefix.len() > 36 && prefix.starts_with(&BLOB.to_string()),
            "{prefix:?}"
        );
    }
    assert!(references(text) <= text.len());
});
