//! go-libp2p as a program of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    thread,
};

use serde_json::Value;
use tokio::sync::mpsc;

/// Says lines of JSON. Killed when dropped.
pub struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Program {
    pub fn go(arguments: &[&str]) -> Self {
        static PROGRAM: LazyLock<PathBuf> = LazyLock::new(build);
        let mut child = Command::new(&*PROGRAM)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", PROGRAM.display()));
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel(16);
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    pub async fn line(&mut self) -> Value {
        let line = self.lines.recv().await.expect("the program goes on");
        eprintln!("{line}");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert!(line.get("error").is_none(), "{line}");
        line
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/go-autonat");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-autonat");
    let status =
        Command::new("go").arg("build").arg("-o").arg(&program).arg(".").current_dir(source).status();
    assert!(status.expect("Go is there").success(), "go build");
    program
}
