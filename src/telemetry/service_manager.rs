//! Tells systemd how far the daemon is (`Type=notify`), where it asks to be told.

use sd_notify::NotifyState;

/// What the service manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<'a> {
    /// The start goes on; a line for `systemctl status`.
    Starting(&'a str),
    /// Requests are answered; a line for `systemctl status`.
    Ready(&'a str),
    /// The daemon was told to stop; a line for `systemctl status`.
    Stopping(&'a str),
}

/// Does nothing unless `NOTIFY_SOCKET` is set. That nobody listens there is no reason not to run.
pub fn tell(state: State<'_>) {
    let told = match state {
        State::Starting(status) => sd_notify::notify(&[NotifyState::Status(status)]),
        State::Ready(status) => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]),
        State::Stopping(status) => sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(status)]),
    };
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager cannot be told: {state:?}");
    }
}
