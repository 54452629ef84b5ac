//! The whole inspector: no input makes it panic, its answer does not depend on how the input is cut into
//! chunks, and an early refusal is never taken back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade::inspect::{Declared, Inspector, Report, Rules};

/// Inspect `data` in chunks whose lengths come from a small generator started with `seed`.
fn inspect(data: &[u8], mut seed: u64, declared: &[Declared]) -> (Report, Vec<bool>) {
    let mut inspector = Inspector::new();
    let mut refused = vec![false; declared.len()];
    let mut rest = data;
    while !rest.is_empty() {
        // Knuth's MMIX generator; its high bits choose the magnitude, so that short chunks are common.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let limit = 1_u64 << ((seed >> 60) + 1);
        let length = 1 + (seed >> 20) % limit;
        let (chunk, after) = rest.split_at(usize::try_from(length).unwrap_or(1).min(rest.len()));
        inspector.push(chunk);
        rest = after;
        for (refused, declared) in refused.iter_mut().zip(declared) {
            *refused |= inspector.early_refusal(declared).is_some();
        }
    }
    (inspector.finish(), refused)
}

fuzz_target!(|input: (u64, u64, &[u8])| {
    let (one, other, data) = input;
    let declared = ["raw", "qcow2", "vmdk", "iso", "gpt", "ami"]
        .map(|disk_format| Declared::new(disk_format, "bare", Rules::default()));
    let (report, refused) = inspect(data, one, &declared);
    assert_eq!(report, inspect(data, other, &declared).0);
    for (refused, declared) in refused.into_iter().zip(&declared) {
        let verdict = report.verdict(declared);
        assert!(
            !refused || verdict.is_err(),
            "refused early, accepted in the end: {declared:?}"
        );
    }
    assert!(!report.to_string().is_empty());
    assert_eq!(report.to_json()["safe"], report.is_safe());
});
