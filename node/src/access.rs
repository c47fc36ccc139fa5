//! Who is let in: the lists of the flags and of a file, which is read again when it changes.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail, ensure};
use causeway_transports::{Lists, Transports};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{cli::AccessArgs, commands::explain};

/// How often the file is looked at.
const POLL: Duration = Duration::from_millis(250);

/// Largest file that is read: some 200,000 networks.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// What the user said of who is let in.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// By flags.
    flags: Lists,
    file: Option<PathBuf>,
}

/// How a file looked when it was read: when it was written, and how long it is.
type Stamp = Option<(Option<SystemTime>, u64)>;

impl Access {
    pub(crate) fn new(args: AccessArgs) -> Self {
        let AccessArgs { deny, allow, only_allowed, list_file } = args;
        Self { flags: Lists { allow, deny, only_allowed }, file: list_file }
    }

    /// What is to hold now.
    ///
    /// # Errors
    /// If the file cannot be read or says something else than lists; tells what and where.
    pub(crate) fn read(&self) -> anyhow::Result<Lists> {
        let mut lists = self.flags.clone();
        if let Some(file) = &self.file {
            let name = file.display();
            let mut text = String::new();
            let read = File::open(file).and_then(|open| open.take(MAX_FILE + 1).read_to_string(&mut text));
            let length = read.with_context(|| {
                format!("cannot read the lists in {name}; check the path, and that this user may read it")
            })?;
            ensure!(length as u64 <= MAX_FILE, "{name} is over {MAX_FILE} bytes long; is it the right file?");
            parse(&text, &mut lists).with_context(|| format!("the lists in {name}"))?;
        }
        Ok(lists)
    }

    /// Puts the file's lists in force as they change, and at SIGHUP. A file that cannot be used changes nothing and
    /// is complained of once. Until `stop`.
    ///
    /// # Errors
    /// If the system refuses to tell of SIGHUP.
    pub(crate) async fn follow(self, transports: Transports, stop: CancellationToken) -> anyhow::Result<()> {
        let mut hangup = Hangup::listen()?;
        let mut seen = None; // the file may have changed since the start
        loop {
            let stamp = self.file.as_deref().map(stamp);
            if seen != stamp {
                seen = stamp;
                match self.read() {
                    Ok(lists) => put_in_force(&transports, &lists).await,
                    Err(error) => warn!(reason = explain(&error), "the lists stay as they were"),
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(POLL) => {}
                () = hangup.heard() => seen = None,
            }
        }
    }
}

async fn put_in_force(transports: &Transports, lists: &Lists) {
    let (allowed, denied) = (lists.allow.len(), lists.deny.len());
    match transports.set_lists(lists).await {
        Ok(closed) => info!(allowed, denied, only_allowed = lists.only_allowed, closed, "lists in force"),
        Err(error) => warn!(%error, "the lists could not be put in force"),
    }
}

fn stamp(file: &Path) -> Stamp {
    fs::metadata(file).ok().map(|data| (data.modified().ok(), data.len()))
}

/// Adds what a file says to `lists`.
fn parse(text: &str, lists: &mut Lists) -> anyhow::Result<()> {
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        let listed = |who: &str| who.parse().with_context(|| format!("line {}", index + 1));
        match words.as_slice() {
            [] => {}
            ["deny", who] => lists.deny.push(listed(who)?),
            ["allow", who] => lists.allow.push(listed(who)?),
            ["only-allowed"] => lists.only_allowed = true,
            words => bail!(
                "line {}: `{}` is none of `deny WHO`, `allow WHO`, `only-allowed`",
                index + 1,
                words.join(" ")
            ),
        }
    }
    Ok(())
}

/// The signal to read files again.
struct Hangup(#[cfg(unix)] tokio::signal::unix::Signal);

impl Hangup {
    #[cfg(unix)]
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).map(Self).context("listening for SIGHUP")
    }

    #[cfg(not(unix))]
    fn listen() -> anyhow::Result<Self> {
        Ok(Self())
    }

    #[cfg(unix)]
    async fn heard(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }

    #[cfg(not(unix))]
    async fn heard(&mut self) {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Lists, String> {
        let mut lists = Lists::default();
        parse(text, &mut lists).map(|()| lists).map_err(|error| explain(&error))
    }

    #[test]
    fn lines_add_up() {
        let text = "# who\n\ndeny 203.0.113.0/24  # a scraper\r\n\tallow 10.0.0.0/8\nonly-allowed\n";
        let lists = parsed(text).expect("good");

        let networks = |text: &str| vec![text.parse().expect("network")];
        assert_eq!((lists.deny, lists.allow), (networks("203.0.113.0/24"), networks("10.0.0.0/8")));
        assert!(lists.only_allowed);
        assert_eq!(parsed(""), Ok(Lists::default()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, fault) in [
            ("deny 1.2.3.4\nban 1.2.3.4", "line 2: `ban 1.2.3.4` is none of `deny WHO`"),
            ("deny", "line 1: `deny` is none of"),
            ("\n\nallow nobody", "line 3: \"nobody\" is neither a peer nor a network"),
        ] {
            let error = parsed(text).expect_err(text);
            assert!(error.starts_with(fault), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let missing = Access { file: Some(PathBuf::from("no-such-file")), ..Access::default() };
        let error = explain(&missing.read().expect_err("missing"));
        assert!(error.starts_with("cannot read the lists in no-such-file"), "{error}");
    }
}
