//! The command line: what was asked for, and the exit code that answers.

mod admin;
mod inspect;
mod metadefs;
mod policy;
mod restore;
#[cfg(test)]
mod tests;

use crate::{
    config::{self, Loaded, Overrides, Sources},
    server,
};
use clap::{Args, Parser, Subcommand, error::ErrorKind};
use std::{
    error::Error,
    ffi::OsString,
    fmt::Write as _,
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

const AFTER_HELP: &str = "\
Examples:
  saccade serve
      A cloud's image service on this machine: everything under one data directory, users of its own.
  saccade serve --config-file /etc/glance/glance-api.conf --config-file /etc/saccade/saccade.conf
      In the place of Glance, with its configuration.
  saccade config check --config-file /etc/glance/glance-api.conf
      What holds, from where, and what would stop the start.
  saccade policy list --config-file /etc/glance/glance-api.conf --rule '*_image'
      Who may do what to images, and where that is written.
  saccade inspect disk.qcow2 --disk-format qcow2
      What it is and refers to, and whether an upload of it would be accepted.
  saccade user add alice --project demo
      A user of the local identity; their password is printed.

Environment:
  OS_<GROUP>__<OPTION>  an option of the configuration, such as OS_DEFAULT__DEBUG=true; wins over files
  SACCADE_LOG           a filter for the log, such as info,saccade::transfer=trace; wins over debug
  NO_COLOR              a log without colours, on a terminal too
  NOTIFY_SOCKET         set by systemd, which is told when the daemon is ready and when it stops
  RUST_BACKTRACE        1 adds a backtrace to the log of a panic

Exit codes: 0 done; 1 failed; 3 the inspected image is not safe, or not what it was said to be; 64 wrong arguments; 78 wrong configuration.";

/// Keeps a cloud's disk images: a drop-in replacement for OpenStack Glance.
#[derive(Debug, Parser)]
#[command(name = "saccade", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground, until SIGTERM or SIGINT.
    ///
    /// The first signal lets open requests finish (drain_delay, graceful_timeout), a second one does not.
    Serve(ConfigArgs),
    /// Look at the configuration, without running anything.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say what a disk image is, how large its disk is, what it refers to, and whether it is safe to open.
    ///
    /// Reads it as an upload would be read, from a file or a pipe, and opens nothing that it refers to.
    #[command(after_help = inspect::AFTER_HELP)]
    Inspect(inspect::Inspect),
    /// Users of the local identity. Works on a running daemon, and on its data directory when it does not run.
    User(admin::User),
    /// Projects of the local identity.
    Project(admin::Project),
    /// Metadata definitions: what properties images, flavors and volumes may be given.
    Metadefs(metadefs::Metadefs),
    /// The rules of who may do what.
    Policy(policy::Policy),
    /// Bring back a deleted image whose data is still kept (delayed_delete).
    ///
    /// Works on a running daemon, and on its data directory when it does not run.
    Restore(restore::Restore),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show every option that differs from its default and every one without effect, or what stops the start.
    Check(ConfigArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// A configuration file such as glance-api.conf; repeat it for more, later ones win. Without any, defaults
    /// hold.
    #[arg(long, value_name = "FILE")]
    config_file: Vec<PathBuf>,
    /// A directory whose *.conf files are read, sorted by name, after those named.
    #[arg(long, value_name = "DIR")]
    config_dir: Vec<PathBuf>,
    /// Where metadata, keys and, by default, images are kept. Wins over the configuration.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the API listens. Wins over the configuration.
    #[arg(long, value_name = "HOST:PORT")]
    bind: Option<String>,
}

impl ConfigArgs {
    fn sources(self) -> Sources {
        let overrides = Overrides {
            data_dir: self.data_dir,
            bind: self.bind,
        };
        Sources::of_process(self.config_file, self.config_dir, overrides)
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Success,
    Failure,
    /// The inspected image is not safe.
    Unsafe,
    /// `EX_USAGE` of sysexits.h.
    Usage,
    /// `EX_CONFIG` of sysexits.h.
    Config,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Unsafe => 3,
            Exit::Usage => 64,
            Exit::Config => 78,
        })
    }
}

/// What a command reads and writes, except for the daemon, which logs.
struct Streams<'a> {
    input: &'a mut dyn Read,
    output: &'a mut dyn Write,
    errors: &'a mut dyn Write,
}

impl Streams<'_> {
    /// To standard output.
    fn print(&mut self, text: &str) -> Exit {
        match self
            .output
            .write_all(text.as_bytes())
            .and_then(|()| self.output.flush())
        {
            Ok(()) => Exit::Success,
            Err(error) => self.fail("cannot write to standard output", &error),
        }
    }

    /// To standard error, with every cause.
    fn fail(&mut self, what: &str, error: &dyn Error) -> Exit {
        let mut text = format!("saccade: {what}: {error}");
        let mut cause = error.source();
        while let Some(source) = cause {
            let _ = write!(text, ": {source}");
            cause = source.source();
        }
        self.complain(&text)
    }

    fn complain(&mut self, text: &str) -> Exit {
        // Where complaints cannot be written either, the exit code is all that is left.
        let _ = writeln!(self.errors, "{}", text.trim_end());
        Exit::Failure
    }
}

/// Does what the arguments (the program's name first) ask for, and says how it went.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Before anything else is done: it is about to lock itself in.
    if let [_, command, order @ ..] = &arguments[..]
        && command == server::CONVERT_WORKER
    {
        return server::convert_worker(order);
    }
    // None of them is locked: the daemon's threads may write, too.
    let mut streams = Streams {
        input: &mut io::stdin(),
        output: &mut io::stdout(),
        errors: &mut io::stderr(),
    };
    dispatch(arguments, &mut streams).into()
}

fn dispatch(arguments: impl IntoIterator<Item = OsString>, streams: &mut Streams<'_>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return explain_usage(&error, streams),
    };
    match cli.command {
        Command::Serve(args) => match load(args, streams) {
            Ok(loaded) => match server::serve(loaded) {
                Ok(()) => Exit::Success,
                Err(error) => streams.fail("cannot start", &error),
            },
            Err(exit) => exit,
        },
        Command::Config(ConfigCommand::Check(args)) => match load(args, streams) {
            Ok(loaded) => match server::check(&loaded.config) {
                Ok(()) => streams.print(&loaded.report.to_string()),
                Err(error) => {
                    streams.fail("cannot start", &error);
                    Exit::Config
                }
            },
            Err(exit) => exit,
        },
        Command::Inspect(inspect) => inspect.run(streams),
        Command::User(user) => user.run(streams),
        Command::Project(project) => project.run(streams),
        Command::Metadefs(metadefs) => metadefs.run(streams),
        Command::Policy(policy) => policy.run(streams),
        Command::Restore(restore) => restore.run(streams),
    }
}

/// clap exits with 2 for itself, and this program with what sysexits.h says.
fn explain_usage(error: &clap::Error, streams: &mut Streams<'_>) -> Exit {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => streams.print(&text),
        _ => {
            streams.complain(&text);
            Exit::Usage
        }
    }
}

fn load(args: ConfigArgs, streams: &mut Streams<'_>) -> Result<Loaded, Exit> {
    config::load(&args.sources()).map_err(|errors| {
        streams.complain(&config::explain(&errors));
        Exit::Config
    })
}
