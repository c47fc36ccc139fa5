//! A program as a child that says lines of JSON: measurements start servers and clients by it.

use std::{fs::File, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
    time::timeout,
};

/// How long a program may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lines that are kept for who waits for one; further ones are dropped, so that the program never waits for us.
const LINES: usize = 256;

/// It dies with this handle. Its log is in `NAME.err` in the folder where it was started.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    /// The line that said that it is ready, if that was waited for.
    pub(crate) ready: Value,
    pub(crate) pid: u32,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<Value>,
    _child: Child,
}

impl Program {
    /// Starts it and waits for the line that says it is ready.
    pub(crate) async fn start(
        program: &Path,
        dir: &Path,
        name: &str,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        let mut started = Self::launch(program, dir, name, arguments)?;
        let is_ready = |line: &Value| line["ready"] == true || line["event"] == "ready";
        started.ready = started.wait("its ready line", PATIENCE, is_ready).await?;
        Ok(started)
    }

    /// Starts it.
    pub(crate) fn launch(
        program: &Path,
        dir: &Path,
        name: &str,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        let log = File::create(dir.join(name).with_extension("err"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!("starting {}; `cargo interop --build` makes the peers", program.display())
            })?;
        let pid = child.id().context("it runs")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("stdout is piped")?;
        let (sender, lines) = mpsc::channel(LINES);
        tokio::spawn(read(BufReader::new(stdout).lines(), sender));
        let name = name.to_owned();
        Ok(Self { name, ready: Value::Null, pid, stdin, lines, _child: child })
    }

    /// The next line that is as wished; those before are forgotten.
    pub(crate) async fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        wished: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let waiting = async {
            while let Some(line) = self.lines.recv().await {
                if line["event"] == "failed" {
                    bail!("{}: {}", self.name, line["error"]);
                }
                if wished(&line) {
                    return Ok(line);
                }
            }
            bail!("{} ended before: {what}; see its log", self.name)
        };
        let waited = timeout(limit, waiting).await;
        waited.with_context(|| format!("{what}: not from {} within {} s", self.name, limit.as_secs()))?
    }

    /// Writes a line to its stdin.
    pub(crate) async fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("stdin is piped")?;
        let written = stdin.write_all(format!("{line}\n").as_bytes()).await;
        written.with_context(|| format!("telling {} `{line}`", self.name))
    }

    /// A text of its ready line.
    pub(crate) fn says(&self, field: &str) -> anyhow::Result<String> {
        let text = self.ready[field].as_str();
        Ok(text.with_context(|| format!("{}: no {field} in {}", self.name, self.ready))?.to_owned())
    }

    /// The multiaddr of its ready line that is as wished.
    pub(crate) fn multiaddr(&self, wished: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let all = self.ready["multiaddrs"].as_array().context("the ready line has multiaddrs")?;
        let found = all.iter().filter_map(Value::as_str).find(|multiaddr| wished(multiaddr));
        Ok(found.with_context(|| format!("{}: no such address in {}", self.name, self.ready))?.to_owned())
    }
}

async fn read(mut lines: Lines<BufReader<ChildStdout>>, sender: mpsc::Sender<Value>) {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(value) = serde_json::from_str(&line) {
            let _ = sender.try_send(value); // full: nobody has waited for long
        }
    }
}
