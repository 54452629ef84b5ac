//! The log: one line an event, on standard error.

use crate::config::{Log, LogFormat, LogLevel};
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal},
    panic::PanicHookInfo,
};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter,
    filter::ParseError,
    fmt::{MakeWriter, Subscriber as Builder},
    util::SubscriberInitExt,
};

/// Holds more precise directives than `debug`, such as `info,saccade::transfer=trace`.
const FILTER_VARIABLE: &str = "SACCADE_LOG";

/// The log cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter of the environment is malformed.
    #[error("environment variable {FILTER_VARIABLE}: not a filter such as `info,saccade::transfer=trace`")]
    Filter(#[source] ParseError),
    /// The variable holds bytes that are no text.
    #[error("environment variable {FILTER_VARIABLE}: not UTF-8")]
    NotText,
    /// The process has a log already.
    #[error("the log is started twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sends everything that is logged from now on, panics included, to standard error. `SACCADE_LOG` overrides
/// the level.
///
/// # Errors
/// The environment's filter is malformed, or there is a log already; nothing has changed then.
pub fn start(log: Log) -> Result<(), LogError> {
    let directives = match std::env::var(FILTER_VARIABLE) {
        Ok(directives) => Some(directives),
        Err(std::env::VarError::NotPresent) => None,
        Err(std::env::VarError::NotUnicode(_)) => return Err(LogError::NotText),
    };
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let subscriber = subscriber(log, directives.as_deref(), colours, io::stderr)?;
    subscriber.try_init().map_err(LogError::Twice)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn subscriber<W>(
    log: Log,
    directives: Option<&str>,
    colours: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let default = match log.level {
        LogLevel::Info => "info",
        // Only our own: what hyper says at this level is seldom what is looked for.
        LogLevel::Debug => "info,saccade=debug",
    };
    let directives = directives.filter(|given| !given.is_empty()).unwrap_or(default);
    let filter = EnvFilter::try_new(directives).map_err(LogError::Filter)?;
    let builder = Builder::builder().with_env_filter(filter).with_writer(writer);
    Ok(match log.format {
        LogFormat::Text => Box::new(builder.with_ansi(colours).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_span_list(false).finish()),
    })
}

/// One line in the log's own format, within the request's span, where the default hook would print several
/// beside it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("of unknown kind");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => tracing::error!(place, thread, %backtrace, "panic: {message}"),
        _ => tracing::error!(place, thread, "panic: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, format: LogFormat, directives: Option<&str>, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber =
            subscriber(Log { level, format }, directives, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn some_events() {
        let _request = tracing::info_span!("request", id = "req-1").entered();
        tracing::info!(image = "i", "two\nlines");
        tracing::debug!("of ours");
        tracing::debug!(target: "saccade_store_file", "of a store");
        tracing::debug!(target: "hyper", "of others");
    }

    #[test]
    fn text_is_one_line_an_event_without_colours() {
        let text = logged(LogLevel::Info, LogFormat::Text, None, some_events);
        assert!(!text.contains('\x1b'), "{text:?}");
        assert!(
            text.contains("INFO request{id=\"req-1\"}: saccade::telemetry::log::tests: two"),
            "{text}"
        );
        assert!(text.trim_end().ends_with("image=\"i\""), "{text}");
        assert!(!text.contains("of ours"), "{text}");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged(LogLevel::Info, LogFormat::Json, None, some_events);
        let lines: Vec<_> = text.lines().collect();
        let [line] = lines.as_slice() else {
            panic!("one line: {text}")
        };
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["message"], "two\nlines");
        assert_eq!(event["image"], "i");
        assert_eq!(event["level"], "INFO");
        assert_eq!(event["span"]["id"], "req-1");
    }

    #[test]
    fn debug_shows_what_our_own_crates_say() {
        let text = logged(LogLevel::Debug, LogFormat::Text, None, some_events);
        assert!(
            text.contains("of ours") && text.contains("of a store") && !text.contains("of others"),
            "{text}"
        );
    }

    #[test]
    fn the_environment_overrides_the_level() {
        let text = logged(
            LogLevel::Debug,
            LogFormat::Text,
            Some("warn,hyper=debug"),
            some_events,
        );
        assert!(
            text.contains("of others") && !text.contains("of ours") && !text.contains("two"),
            "{text}"
        );
        let text = logged(LogLevel::Info, LogFormat::Text, Some(""), some_events);
        assert!(text.contains("two"), "{text}");
    }

    #[test]
    fn a_malformed_filter_is_refused() {
        let log = Log {
            level: LogLevel::Info,
            format: LogFormat::Text,
        };
        let Err(error) = subscriber(log, Some("saccade=loud"), false, io::sink) else {
            panic!("there is no such level")
        };
        assert!(matches!(error, LogError::Filter(_)), "{error}");
        assert!(error.to_string().contains("SACCADE_LOG"));
    }
}
