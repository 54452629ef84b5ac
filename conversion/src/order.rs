//! What a worker is told, as arguments: the only thing beside its three open files that it is given.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use crate::{SourceFormat, TargetFormat};

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The process that started it, and that it does not outlive.
    pub parent: u32,
    /// What becomes of it when it cannot lock itself in.
    pub sandbox: Sandbox,
    /// What it may use up.
    pub limits: Limits,
    /// `qemu-img`, by its real path.
    pub program: PathBuf,
    /// The work.
    pub job: Job,
}

/// What becomes of a worker that cannot lock itself in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// It does nothing: Landlock and seccomp must both hold.
    Required,
    /// It works with what the kernel has.
    BestEffort,
}

/// What a worker may use up; the kernel holds it to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Processor time of all its threads together, in seconds.
    pub cpu_seconds: u64,
    /// Address space, in bytes.
    pub memory: u64,
    /// The longest file that it may write, in bytes.
    pub file_size: u64,
}

/// The work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Show that `qemu-img` starts at all when locked in: it tells its version.
    Check,
    /// Convert standard input, a file, into standard output, a file.
    Convert {
        /// What the source is, as an inspection has found.
        from: SourceFormat,
        /// What the destination becomes.
        to: TargetFormat,
    },
}

/// Arguments that are not an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is started by the daemon, with arguments that it knows: {0:?} is none")]
pub struct NotAnOrder(Option<OsString>);

impl Order {
    /// As arguments.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<OsString> {
        let sandbox = match self.sandbox {
            Sandbox::Required => "required",
            Sandbox::BestEffort => "best-effort",
        };
        let (from, to) = match self.job {
            Job::Check => ("check", "check"),
            Job::Convert { from, to } => (from.name(), to.name()),
        };
        let numbers = [
            u64::from(self.parent),
            self.limits.cpu_seconds,
            self.limits.memory,
            self.limits.file_size,
        ];
        let mut arguments: Vec<OsString> = numbers.map(|number| number.to_string().into()).into();
        arguments.extend([sandbox, from, to].map(OsString::from));
        arguments.push(self.program.clone().into_os_string());
        arguments
    }

    /// From arguments.
    ///
    /// # Errors
    /// The first one that is missing or wrong.
    pub fn parse(arguments: &[OsString]) -> Result<Self, NotAnOrder> {
        let [parent, cpu_seconds, memory, file_size, sandbox, from, to, program] = arguments else {
            return Err(NotAnOrder(arguments.first().cloned()));
        };
        let wrong = |text: &OsStr| NotAnOrder(Some(text.to_owned()));
        let number = |text: &OsStr| {
            let number = text.to_str().and_then(|text| text.parse::<u64>().ok());
            number.ok_or_else(|| wrong(text))
        };
        let job = match (from.to_str(), to.to_str()) {
            (Some("check"), Some("check")) => Job::Check,
            (Some(from_name), Some(to_name)) => Job::Convert {
                from: SourceFormat::from_name(from_name).ok_or_else(|| wrong(from))?,
                to: TargetFormat::from_name(to_name).ok_or_else(|| wrong(to))?,
            },
            _ => return Err(wrong(from)),
        };
        Ok(Self {
            parent: u32::try_from(number(parent)?).map_err(|_| wrong(parent))?,
            sandbox: match sandbox.to_str() {
                Some("required") => Sandbox::Required,
                Some("best-effort") => Sandbox::BestEffort,
                _ => return Err(wrong(sandbox)),
            },
            limits: Limits {
                cpu_seconds: number(cpu_seconds)?,
                memory: number(memory)?,
                file_size: number(file_size)?,
            },
            program: PathBuf::from(program),
            job,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let mut jobs = vec![Job::Check];
        for from in SourceFormat::ALL {
            jobs.extend(TargetFormat::ALL.map(|to| Job::Convert { from, to }));
        }
        for job in jobs {
            for sandbox in [Sandbox::Required, Sandbox::BestEffort] {
                let order = Order {
                    parent: 7,
                    sandbox,
                    limits: Limits {
                        cpu_seconds: 1,
                        memory: 2,
                        file_size: u64::MAX,
                    },
                    program: "/usr/bin/qemu-img".into(),
                    job,
                };
                assert_eq!(Order::parse(&order.to_arguments()), Ok(order));
            }
        }
    }

    #[test]
    fn anything_else_is_no_order() {
        let good = ["7", "1", "2", "3", "required", "qcow2", "raw", "/q"];
        let parse = |arguments: &[&str]| Order::parse(&arguments.iter().map(Into::into).collect::<Vec<_>>());
        assert!(parse(&good).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&good[1..]).is_err());
        for (at, wrong) in [
            (0, "-1"),
            (0, "4294967296"),
            (3, "x"),
            (4, "no"),
            (5, "qcow"),
            (6, "vdi"),
            (6, "check"),
        ] {
            let mut arguments = good;
            arguments[at] = wrong;
            assert!(parse(&arguments).is_err(), "{wrong}");
        }
    }
}
