//! Texts that nobody may read by accident.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A password, key or token in clear. Never shown by `Debug`; wiped when dropped.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes over a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// 255 random bits as 43 URL-safe characters, the first of them a letter: a command line takes a password that begins
    /// with a dash for an option.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes)?;
        let [first, ..] = &mut bytes;
        *first &= 0x7F;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        bytes.zeroize();
        Ok(Self(text))
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ones_differ_and_begin_with_a_letter() {
        let texts: std::collections::BTreeSet<String> = (0..1000)
            .map(|_| Secret::random().unwrap().expose().to_owned())
            .collect();
        assert_eq!(texts.len(), 1000);
        for text in texts {
            assert_eq!(text.len(), 43, "{text}");
            assert!(text.starts_with(|c: char| c.is_ascii_alphabetic()), "{text}");
        }
    }
}
