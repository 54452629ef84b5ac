//! Locations and handles of the file store: none names a file outside of its directory, or one that an upload is writing.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use saccade_fuzz::text;
use saccade_store_file::fuzzing::{canonical, handle, resolve};

const DIRECTORY: &str = "/var/lib/glance/images";

fuzz_target!(|input: &[u8]| {
    let Some(text) = text(input) else { return };
    let directory = Path::new(DIRECTORY);
    if let Some(path) = resolve(directory, text) {
        let name = path
            .to_str()
            .unwrap()
            .strip_prefix(DIRECTORY)
            .unwrap()
            .strip_prefix('/')
            .unwrap();
        assert!(
            !name.contains('/') && !name.is_empty() && name != "." && name != "..",
            "{name:?}"
        );
        assert!(!name.starts_with(".saccade.") && !name.contains('\0'), "{name:?}");
        assert!(text.ends_with(name) && !text.contains("/../"), "{text:?}");
        // The store's own form of it leads to the same file, and is its own.
        let own = canonical(directory, text).unwrap();
        assert_eq!(resolve(directory, &own), Some(path.clone()));
        assert_eq!(canonical(directory, &own).as_ref(), Some(&own));
    }
    if let Some((again, temporary)) = handle(directory, text) {
        assert_eq!(again, text, "an attempt has one handle");
        assert_eq!(temporary.parent(), Some(directory));
    }
});
