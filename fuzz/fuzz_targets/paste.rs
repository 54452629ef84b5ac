//! Paste files: what is read stands in the file once.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use saccade::config::fuzzing::paste;
use saccade_fuzz::{text, within};

fuzz_target!(|input: &[u8]| {
    let Some(text) = text(input) else { return };
    let lines = text.lines().count();
    match within(64 * 1024 + 64 * input.len(), || paste(text)) {
        Err(line) => assert!((1..=lines).contains(&line)),
        Ok(assignments) => {
            let mut seen = BTreeSet::new();
            for assignment in &assignments {
                assert!((1..=lines).contains(&assignment.line) && !assignment.key.is_empty());
                assert!(text.contains(&assignment.section) && text.contains(&assignment.key));
                assert!(
                    seen.insert((&assignment.section, &assignment.key)),
                    "twice: {assignment:?}"
                );
            }
        }
    }
});
