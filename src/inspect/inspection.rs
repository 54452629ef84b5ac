//! The inspection of an upload: of what its declaration says it is.

use super::{Accepted, Declared, Inspector, Refusal, archive::ArchiveInspector, verdict::Scope};

/// Looks at an upload's bytes as they pass by, and judges them by what they were declared to be. Has the guarantees
/// of the [module](super); an archive's memory is that of one member, and 2 MiB.
#[derive(Debug)]
pub struct Inspection {
    declared: Declared,
    subject: Subject,
}

#[derive(Debug)]
enum Subject {
    Unseen,
    Disk(Box<Inspector>),
    Archive(Box<ArchiveInspector>),
}

impl Inspection {
    /// An inspection that has seen nothing.
    #[must_use]
    pub fn new(declared: Declared) -> Self {
        let subject = match declared.scope() {
            Scope::Nothing => Subject::Unseen,
            Scope::Disk => Subject::Disk(Box::default()),
            Scope::Archive => Subject::Archive(Box::new(ArchiveInspector::new())),
        };
        Self { declared, subject }
    }

    /// Take the next bytes, in order and of any length.
    pub fn push(&mut self, chunk: &[u8]) {
        match &mut self.subject {
            Subject::Unseen => {}
            Subject::Disk(inspector) => inspector.push(chunk),
            Subject::Archive(inspector) => inspector.push(chunk),
        }
    }

    /// The refusal that is certain by now: whatever follows, the verdict is one. Cheap; ask after every
    /// [`Inspection::push`].
    #[must_use]
    pub fn early_refusal(&self) -> Option<Refusal> {
        match &self.subject {
            Subject::Unseen => None,
            Subject::Disk(inspector) => inspector.early_refusal(&self.declared),
            Subject::Archive(inspector) => refused(inspector.hazards()),
        }
    }

    /// All has come: whether it may be kept.
    ///
    /// # Errors
    /// The refusal; a mismatch before a hazard.
    pub fn verdict(self) -> Result<Accepted, Refusal> {
        let accepted = Accepted { virtual_size: None };
        match self.subject {
            Subject::Unseen => Ok(accepted),
            Subject::Disk(inspector) => inspector.finish().verdict(&self.declared),
            Subject::Archive(inspector) => refused(inspector.finish()).map_or(Ok(accepted), Err),
        }
    }
}

fn refused(hazards: Vec<super::Hazard>) -> Option<Refusal> {
    (!hazards.is_empty()).then_some(Refusal::UnsafeArchive { hazards })
}
