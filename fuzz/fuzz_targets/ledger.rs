//! The ledger's journal: what is read is written so that it reads the same. Lines that are JSON get the sum they need,
//! unless the first byte is odd.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade::ledger::fuzzing::{line, parse};
use saccade_fuzz::within;

fuzz_target!(|input: &[u8]| {
    let Some((&how, text)) = input.split_first() else {
        return;
    };
    let mut journal = Vec::new();
    for json in text.split_inclusive(|&byte| byte == b'\n') {
        if how & 1 == 0 {
            let sum = crc32fast::hash(json.strip_suffix(b"\n").unwrap_or(json));
            journal.extend_from_slice(format!("{sum:08x} ").as_bytes());
        }
        journal.extend_from_slice(json);
    }
    let (entries, unreadable) = within(64 * 1024 + 512 * journal.len(), || parse(&journal));
    let ends = journal.iter().filter(|&&byte| byte == b'\n').count();
    assert!(unreadable <= ends && entries.len() + unreadable <= ends + 1);
    let again: String = entries
        .iter()
        .map(|(id, entry)| line(*id, entry.clone()))
        .collect();
    assert_eq!(parse(again.as_bytes()), (entries, 0));
    // A torn tail reads as nothing.
    let torn = again.as_bytes().split_last().map_or(&[][..], |(_, rest)| rest);
    let torn = torn.split_last().map_or(torn, |(_, rest)| rest);
    assert_eq!(parse(torn).1, 0);
});
