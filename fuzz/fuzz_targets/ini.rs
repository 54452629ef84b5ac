//! Configuration files: lines, references, and secrets, which nothing shows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade::config::fuzzing::{ini, values};
use saccade_fuzz::{text, within};

const SECRET: &str = "M4rk3dS3cr3t";

fuzz_target!(|input: &[u8]| {
    let Some(text) = text(input) else { return };
    if text.contains(SECRET) {
        return;
    }
    let (assignments, errors) = within(64 * 1024 + 64 * input.len(), || ini(text));
    // Lines as Python's text mode has them.
    let text_lines: Vec<String> = text
        .replace("\r\n", "\n")
        .split(['\n', '\r'])
        .map(str::to_owned)
        .collect();
    for assignment in &assignments {
        let line = &text_lines[assignment.line - 1];
        assert!(line.starts_with(&assignment.key) || line.trim_start().starts_with(&assignment.key));
        assert!(!assignment.key.is_empty() && assignment.key.trim() == assignment.key);
        assert!(!assignment.key.contains(['=', ':']));
        assert!(text.contains(&format!("[{}]", assignment.section)));
    }
    assert!(errors.iter().all(|line| (1..=text_lines.len()).contains(line)));

    // 1000 references of at most 1 MiB, and one is held at each of 16 depths.
    let with_secret = format!("{text}\n[keystone_authtoken]\npassword = {SECRET}\n");
    for value in within(64 << 20, || values(&with_secret)) {
        match value {
            Ok(value) if value.text.contains(SECRET) => {
                assert!(value.secret && !value.shown.contains(SECRET), "{value:?}");
            }
            Ok(value) => assert!(!value.shown.contains(SECRET)),
            Err(shown) => assert!(!shown.contains(SECRET), "{shown}"),
        }
    }
});
