//! What the fuzz targets share: a heap that is measured, images that are laid out, and the properties of every report.

pub mod image;
mod memory;

pub use memory::within;

/// Most cuts of all but one of sixteen inputs.
const CUTS: usize = 5;

/// `data` in chunks that `seed` chooses: few, since each is answered for, and one time in sixteen as many as come.
/// Short ones are as common as long ones, and cuts near the beginning of what is at a round offset as those elsewhere.
pub fn chunks(data: &[u8], seed: u64) -> impl Iterator<Item = &[u8]> {
    let mut random = Random(seed);
    let mut cuts: Vec<usize> = if seed.is_multiple_of(16) {
        // In long data each is longer, so that it does not take for ever.
        let least = 1 + data.len() / 128;
        let mut at = 0;
        std::iter::from_fn(|| {
            at += least + random.magnitude(16);
            Some(at).filter(|&at| at < data.len())
        })
        .collect()
    } else {
        (0..CUTS)
            .map(|_| {
                let base = random.below(1 + data.len() / ROUND) * ROUND;
                base + random.magnitude(16)
            })
            .filter(|&at| at < data.len())
            .collect()
    };
    cuts.sort_unstable();
    cuts.dedup();
    cuts.push(data.len());
    let mut from = 0;
    cuts.into_iter()
        .map(move |to| &data[std::mem::replace(&mut from, to)..to])
        .filter(|chunk| !chunk.is_empty())
}

/// Where structures that lie apart begin.
const ROUND: usize = 32 * 1024;

/// Knuth's MMIX generator.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Its high bits are the better ones.
        (self.0 >> 33) as usize % limit
    }

    /// A number of at most so many bits, of each length as often.
    fn magnitude(&mut self, bits: usize) -> usize {
        let bits = 1 + self.below(bits);
        self.below(1 << bits)
    }
}

/// The input as text, if it is.
pub fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The first line and what follows it.
pub fn lines(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}
