//! The policy in force, which follows its files.

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    fmt::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use super::{
    Policy, PolicyError, Warning,
    files::{Contents, PolicyFiles},
    stamps::Stamps,
};

/// The policy in force: what the files say now.
///
/// A changed file holds from the next call of [`Self::current`]. A version that cannot be used changes nothing: the
/// last one that could be stays in force, and the log says why, once for each version. The same when `policy_file` or
/// one of `policy_dirs` disappears, whose rules may be stricter than what would hold without them; files within
/// `policy_dirs` may come and go.
#[derive(Debug)]
pub struct LivePolicy {
    files: PolicyFiles,
    version: RwLock<Arc<Version>>,
    /// Held while files are read, so that each version is read once.
    reading: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Version {
    policy: Arc<Policy>,
    /// Which places the policy came from; see [`Contents::found`].
    found: Vec<Option<usize>>,
    /// As the files were when they were last read.
    stamps: Stamps,
    /// What was last read, whether it could be used or not; `None` if it could not even be read.
    contents: Option<Contents>,
    /// Why the policy is not what the files say.
    failure: Option<String>,
}

impl LivePolicy {
    /// Reads the files. Logs what [`Policy::load`] warns of, now and when they have changed.
    ///
    /// # Errors
    /// As [`Policy::load`].
    pub fn open(files: PolicyFiles) -> Result<Self, PolicyError> {
        let stamps = Stamps::take(&files);
        let contents = Contents::read(&files)?;
        let (policy, warnings) = Policy::build(&contents, &files)?;
        log(&warnings);
        let version = Version {
            policy: Arc::new(policy),
            found: contents.found.clone(),
            stamps,
            contents: Some(contents),
            failure: None,
        };
        Ok(Self {
            files,
            version: RwLock::new(Arc::new(version)),
            reading: Mutex::new(()),
        })
    }

    /// The policy now. To be asked for once for each decision, which then sees one version of all rules.
    ///
    /// Blocks for one system call (some microseconds) for each file and directory, and to read them after a change;
    /// policy files are small and local.
    pub fn current(&self) -> Arc<Policy> {
        let version = self.version();
        if version.stamps.hold() {
            return version.policy.clone();
        }
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.version();
        if version.stamps.hold() {
            return version.policy.clone();
        }
        let next = version.next(&self.files);
        let policy = next.policy.clone();
        *self.version.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        policy
    }

    fn version(&self) -> Arc<Version> {
        self.version
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl From<Policy> for LivePolicy {
    /// One that never changes.
    fn from(policy: Policy) -> Self {
        let files = PolicyFiles::default();
        let version = Version {
            policy: Arc::new(policy),
            found: Vec::new(),
            stamps: Stamps::take(&files),
            contents: None,
            failure: None,
        };
        Self {
            files,
            version: RwLock::new(Arc::new(version)),
            reading: Mutex::new(()),
        }
    }
}

impl Version {
    /// What holds after this one, given the files as they are now.
    fn next(&self, files: &PolicyFiles) -> Self {
        let mut stamps = Stamps::take(files);
        let read = self.still_there(files).and_then(|()| Contents::read(files));
        let contents = match read {
            Ok(contents) if self.contents.as_ref() == Some(&contents) => {
                return Self {
                    stamps,
                    ..self.clone()
                };
            }
            Ok(contents) => contents,
            Err(error) => {
                // Reading may fail for a reason that no stamp shows, such as too many open files: try each time.
                if matches!(error, PolicyError::Read { .. }) {
                    stamps.distrust();
                }
                let failure = with_causes(&error);
                if self.failure.as_ref() != Some(&failure) {
                    reject(&failure);
                }
                return Self {
                    stamps,
                    contents: None,
                    failure: Some(failure),
                    ..self.clone()
                };
            }
        };
        match Policy::build(&contents, files) {
            Ok((policy, warnings)) => {
                tracing::info!(
                    changed = self.policy.differences(&policy).join(" "),
                    "the policy files were read again"
                );
                log(&warnings);
                Self {
                    policy: Arc::new(policy),
                    found: contents.found.clone(),
                    stamps,
                    contents: Some(contents),
                    failure: None,
                }
            }
            Err(error) => {
                let failure = with_causes(&error);
                reject(&failure);
                Self {
                    stamps,
                    contents: Some(contents),
                    failure: Some(failure),
                    ..self.clone()
                }
            }
        }
    }

    /// Whether all is there that the policy came from, or something that goes before it.
    fn still_there(&self, files: &PolicyFiles) -> Result<(), PolicyError> {
        for (source, before) in files.sources().zip(&self.found) {
            let Some(before) = *before else { continue };
            let Some(path) = source.place(before) else {
                continue;
            };
            let is_there = source
                .found()
                .is_some_and(|now| now < before || (now == before && !is_gone(path)));
            if !is_there {
                return Err(PolicyError::Gone {
                    path: path.to_owned(),
                });
            }
        }
        Ok(())
    }
}

fn is_gone(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

fn log(warnings: &[Warning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

fn reject(failure: &str) {
    tracing::error!(
        "the policy files cannot be used, and the last rules that could be stay in force: {failure}"
    );
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let _ = write!(text, ": {source}");
        cause = source.source();
    }
    text
}
