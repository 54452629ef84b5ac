//! Policy files: YAML, and JSON as a part of it. A plain JSON object of texts is read as what it says.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use saccade::policy::{
    fuzzing::file,
    language::{RuleSet, parse},
};
use saccade_fuzz::{text, within};

fuzz_target!(|input: &[u8]| {
    let Some(text) = text(input) else { return };
    // Aliases repeat what they stand for; a few bytes must not fill the memory.
    let read = within((16 << 20) + 1024 * input.len(), || file(text));
    if let Ok((entries, _)) = &read {
        // What the rules refer to, each other included, is looked through once.
        let mut rules = RuleSet::new("default");
        for entry in entries {
            rules.define(entry.name.as_str(), entry.check.clone());
        }
        for (name, fault) in within((16 << 20) + 1024 * input.len(), || rules.faults()) {
            assert!(rules.defined(&name).is_some(), "{fault:?}");
        }
        for entry in entries {
            let parsed = parse(&entry.text);
            if parsed.faults.is_empty() {
                assert_eq!(parsed.check, entry.check, "{}", entry.text);
            }
        }
    }
    if let Err(error) = &read {
        let _ = error.to_string();
    }
    let plain = text
        .bytes()
        .all(|byte| (b' '..0x7f).contains(&byte) && byte != b'\\');
    if !plain || text.len() > 1000 {
        return;
    }
    if let Ok(expected) = serde_json::from_str::<BTreeMap<String, String>>(text) {
        let (entries, _) = read.unwrap();
        let found: BTreeMap<String, String> = entries
            .into_iter()
            .map(|entry| (entry.name, entry.text))
            .collect();
        assert_eq!(found, expected);
    }
});
