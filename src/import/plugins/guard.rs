//! That data is what it is said to be, and nothing else: stricter than uploads, where data declared raw may be anything that
//! is safe. Whoever asks for one format must not get another one hidden in it (Glance 33, `image_conversion.py`,
//! `_inspect_path`).

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::convert::NAME;
use crate::{
    inspect::{Declared, Format, FormatMatch, Inspector, Report, Rules},
    transfer::{Incoming, PluginError, UploadErrorKind},
};

/// Looks at data as it passes by.
pub(super) struct Guard {
    inspector: Inspector,
    declared: Declared,
    disk_format: String,
}

/// Why data does not pass.
pub(super) type Refusal = UploadErrorKind;

impl Guard {
    /// Of data that has to be of this format, whatever the container is said to be.
    pub(super) fn new(disk_format: &str, rules: &Rules) -> Self {
        let rules = Rules {
            format_match: FormatMatch::Required,
            ..rules.clone()
        };
        Self {
            inspector: Inspector::new(),
            declared: Declared::new(disk_format, "bare", rules),
            disk_format: disk_format.to_owned(),
        }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// Whatever follows, it does not pass.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        self.inspector.push(chunk);
        match self.inspector.early_refusal(&self.declared) {
            Some(refusal) => Err(UploadErrorKind::Refused(refusal)),
            None => Ok(()),
        }
    }

    /// All has come.
    ///
    /// # Errors
    /// It does not pass.
    pub(super) fn finish(self) -> Result<Report, Refusal> {
        let report = self.inspector.finish();
        report.verdict(&self.declared).map_err(UploadErrorKind::Refused)?;
        let is_disk = report.format.counts_as_raw() || report.format == Format::Gpt;
        if self.disk_format == Format::Raw.name() && !is_disk {
            let explanation = format!(
                "the data is {}, but disk_format is raw: set disk_format to {0}",
                report.format
            );
            return Err(failed(explanation));
        }
        Ok(report)
    }
}

pub(super) fn failed(explanation: impl Into<String>) -> UploadErrorKind {
    PluginError {
        plugin: NAME,
        explanation: explanation.into(),
    }
    .into()
}

/// The same data, which ends in an error if it does not pass.
pub(super) fn guarded(data: Incoming, guard: Guard) -> Incoming {
    let state = Some((data.chunks, guard));
    let chunks = stream::unfold(state, |state| async move {
        let (mut chunks, mut guard) = state?;
        match chunks.next().await {
            Some(Ok(chunk)) => Some(match guard.push(&chunk) {
                Ok(()) => (Ok::<Bytes, _>(chunk), Some((chunks, guard))),
                Err(refusal) => (Err(told(refusal)), None),
            }),
            Some(Err(error)) => Some((Err(error), None)),
            None => guard.finish().err().map(|refusal| (Err(told(refusal)), None)),
        }
    });
    Incoming {
        size: data.size,
        chunks: chunks.boxed(),
    }
}

/// In a stream, the plugin's error.
fn told(refusal: Refusal) -> Box<dyn std::error::Error + Send + Sync> {
    let explanation = match refusal {
        UploadErrorKind::Plugin { explanation, .. } => explanation,
        other => other.to_string(),
    };
    PluginError {
        plugin: NAME,
        explanation,
    }
    .into()
}
