//! The commands, one a file.

pub(crate) mod dev;
pub(crate) mod dns;
pub(crate) mod enr;
pub(crate) mod health;
pub(crate) mod light;
pub(crate) mod netcheck;
pub(crate) mod peers;
pub(crate) mod run;

use std::io::Write;

#[cfg(unix)]
use anyhow::Context;
use tokio_util::sync::CancellationToken;

/// An error with its causes in one line; a cause that the text before it tells already is left out.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Prints one line to stdout at once. A closed stdout is not our failure.
pub(crate) fn print_line(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Cancelled by Ctrl-C or a service manager's stop signal. Listens from this call on, not only once somebody
/// waits: the first process of a container has no default handling, so a signal during the start would be lost.
///
/// # Errors
/// If the system refuses the handlers.
pub(crate) fn stop_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context("listening for the stop signal")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            told.cancel();
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        told.cancel();
    });
    Ok(stop)
}
