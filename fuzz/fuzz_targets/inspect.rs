//! The whole inspector, as large images go through it: two ways of cutting them, and data that goes on and on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade::inspect::Inspector;
use saccade_fuzz::{Lengths, image, within};

fuzz_target!(|input: (u64, u64, &[u8])| {
    let (one, other, data) = input;
    let report = image::check(data, one);
    // Some images go on for megabytes: what is kept of them does not.
    let repeats = if other & 0xff == 0x21 && !data.is_empty() {
        48
    } else {
        0
    };
    let block = data.repeat(64 * 1024 / data.len().max(1) * repeats.min(1));
    let chunked = within(4 << 20, || {
        let mut inspector = Inspector::new();
        for chunk in Lengths::new(other).cut(data) {
            inspector.push(chunk);
        }
        for _ in 0..repeats {
            inspector.push(&block);
        }
        inspector.finish()
    });
    if repeats == 0 {
        assert_eq!(report, chunked, "the answer depends on the chunks");
    }
});
