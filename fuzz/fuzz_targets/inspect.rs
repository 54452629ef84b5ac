//! The whole inspector, as large images go through it: two ways of cutting them, and data that goes on and on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade::inspect::Inspector;
use saccade_fuzz::{chunks, image, within};

const BLOCK: usize = 64 * 1024;
/// Blocks of an image that goes on: more than is kept of any.
const BLOCKS: usize = 20;

fuzz_target!(|input: (u64, u64, &[u8])| {
    let (one, other, data) = input;
    let report = image::check(data, one);
    let inspector = || {
        let mut inspector = Inspector::new();
        for chunk in chunks(data, other) {
            inspector.push(chunk);
        }
        inspector
    };
    let again = within(4 << 20, || inspector().finish());
    assert_eq!(report, again, "the answer depends on the chunks");

    // Some go on for more than is kept of them. Which ones, no single bit says, or all that come of one that does would.
    let mixed = (one ^ other ^ data.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    if mixed == 0 && !data.is_empty() {
        let block = data.repeat(BLOCK / data.len());
        within(4 << 20, || {
            let mut inspector = inspector();
            for _ in 0..BLOCKS {
                inspector.push(&block);
            }
            inspector.finish()
        });
    }
});
