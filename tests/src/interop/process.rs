//! A peer as a child process: its stdout is JSON lines, which are waited for; it dies with its handle.

use std::{
    ffi::OsStr,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::watch,
    time::timeout,
};

use super::Stage;

/// How long a peer may take for an ordinary step.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take until peers that left are gone: one whose last packet over QUIC got lost is noticed after
/// 30 s.
pub(super) const GONE: Duration = Duration::from_secs(45);

/// A running peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Mutex<Vec<Value>>>,
    /// How many lines came; closed when stdout is.
    count: watch::Receiver<usize>,
    pub(super) stderr: PathBuf,
}

impl Peer {
    /// Starts a program; what it says goes to `NAME.out` and `NAME.err` in the row's folder.
    pub(super) fn start<A: AsRef<OsStr>>(
        stage: &Stage,
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<Self> {
        Self::start_trusting(stage, name, program, arguments, None)
    }

    /// The same, and Node.js and Go take the certificate in this file for one that they trust.
    pub(super) fn start_trusting<A: AsRef<OsStr>>(
        stage: &Stage,
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        certificate: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let trusted = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"];
        let variables = certificate.into_iter().flat_map(|file| trusted.map(|variable| (variable, file)));
        let stderr = stage.dir.join(format!("{name}.err"));
        let log = File::create(&stderr).with_context(|| format!("creating {}", stderr.display()))?;
        let mut copy = File::create(stage.dir.join(format!("{name}.out")))?;
        let mut child = stage
            .command(program)
            .args(arguments)
            .envs(variables)
            .current_dir(&stage.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name} ({})", program.display()))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let stdin = child.stdin.take();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let lines = Arc::clone(&said);
        tokio::spawn(async move {
            let mut stdout = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = stdout.next_line().await {
                let _ = writeln!(copy, "{line}");
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if let Ok(mut lines) = lines.lock() {
                    lines.push(value);
                    counted.send_replace(lines.len());
                }
            }
        });
        Ok(Self { name: name.to_owned(), child, stdin, said, count, stderr })
    }

    /// Everything that it said so far.
    pub(super) fn said(&self) -> Vec<Value> {
        self.said.lock().map(|lines| lines.clone()).unwrap_or_default()
    }

    /// Waits for the first line, earlier ones included, of which `find` makes something.
    pub(super) async fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut find: impl FnMut(&Value) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut count = self.count.clone();
        let mut read = 0;
        let waiting = async {
            loop {
                let closed = count.has_changed().is_err();
                count.mark_unchanged();
                let new: Vec<_> = self.said().split_off(read);
                read += new.len();
                if let Some(found) = new.iter().find_map(&mut find) {
                    return Ok(found);
                }
                if closed || count.changed().await.is_err() && self.said().len() == read {
                    bail!("{} ended before: {what}", self.name);
                }
            }
        };
        let waited = timeout(limit, waiting).await;
        waited.unwrap_or_else(|_| {
            bail!("{} did not come from {} within {} s", what, self.name, limit.as_secs())
        })
    }

    /// Waits for a line whose `event` is this.
    pub(super) async fn event(&self, event: &str, limit: Duration) -> anyhow::Result<Value> {
        self.wait(&format!("`{event}`"), limit, |line| (line["event"] == event).then(|| line.clone())).await
    }

    /// Waits for its `ready` line.
    pub(super) async fn ready(&self) -> anyhow::Result<Value> {
        self.event("ready", PATIENCE * 2).await
    }

    /// Writes a line to its stdin.
    pub(super) async fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().with_context(|| format!("{} has no stdin", self.name))?;
        stdin
            .write_all(format!("{line}\n").as_bytes())
            .await
            .with_context(|| format!("telling {} `{line}`", self.name))
    }

    /// Its stdin, for who writes to it while others wait; [`Self::tell`] is over then.
    pub(super) fn take_stdin(&mut self) -> anyhow::Result<ChildStdin> {
        self.stdin.take().with_context(|| format!("{} has no stdin", self.name))
    }

    /// Waits until it has ended by itself.
    pub(super) async fn end(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let ended = timeout(limit, self.child.wait()).await;
        Ok(ended.with_context(|| format!("{} did not end within {} s", self.name, limit.as_secs()))??)
    }

    /// Kills it as a power cut would.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Sends it a signal by name.
    pub(super) async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let pid = self.pid()?;
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().await?;
        if !sent.success() {
            bail!("{} did not take the signal {signal}", self.name);
        }
        Ok(())
    }

    /// Stops it where it stands, until it is killed. A stop takes each thread at its own time, so that one
    /// could still answer: waits until all stand still.
    pub(super) async fn freeze(&self) -> anyhow::Result<()> {
        self.signal("STOP").await?;
        let still = async {
            while !self.stands_still()? {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, still).await.with_context(|| format!("{} does not stop", self.name))?
    }

    fn stands_still(&self) -> anyhow::Result<bool> {
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.pid()?))? {
            let status = std::fs::read_to_string(thread?.path().join("status"))?;
            if !status.lines().any(|line| line.starts_with("State:") && line.contains('T')) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }

    /// A field of `/proc/PID/status`, in KiB.
    pub(super) fn memory(&self, field: &str) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let value = line.and_then(|line| line.split_whitespace().next()).context("no such field")?;
        Ok(value.parse()?)
    }

    /// Waits until it wrote this to stderr.
    pub(super) async fn logged(&self, text: &str, limit: Duration) -> anyhow::Result<()> {
        let written = async {
            while !self.log().contains(text) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(limit, written).await.with_context(|| format!("{} did not log `{text}`", self.name))
    }

    /// What it wrote to stderr so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}
