//! What the fuzz targets share: a heap that is measured, images that are laid out, and the properties of every report.

pub mod image;
mod memory;

pub use memory::within;

/// Lengths for cutting an input into chunks: short ones are as common as long ones.
pub struct Lengths {
    pub state: u64,
    /// Added to each, so that a long input does not take for ever.
    pub least: usize,
}

impl Lengths {
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed,
            least: 0,
        }
    }

    /// The next length, at least 1.
    pub fn next(&mut self) -> usize {
        // Knuth's MMIX generator; its high bits choose the magnitude.
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let limit = 1_u64 << ((self.state >> 60) + 1);
        self.least + usize::try_from(1 + (self.state >> 20) % limit).unwrap_or(1)
    }

    /// `data` in chunks of such lengths.
    pub fn cut<'d>(mut self, data: &'d [u8]) -> impl Iterator<Item = &'d [u8]> {
        let mut rest = data;
        std::iter::from_fn(move || {
            let (chunk, after) = rest.split_at(self.next().min(rest.len()));
            rest = after;
            (!chunk.is_empty()).then_some(chunk)
        })
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
