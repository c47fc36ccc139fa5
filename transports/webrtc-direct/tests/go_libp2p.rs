//! go-libp2p v0.51 against `examples/listen_webrtc_direct.rs`, both as programs of their own.
//!
//! ```text
//! cargo build -p PACKAGE --example listen_webrtc_direct
//! cargo test -p PACKAGE --test go_libp2p -- --ignored --nocapture
//! ```
//! Needs Go; the modules are pinned in `tests/peers/go-webtransport`.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

const ECHO: &str = "8388608";
const RESETS: &str = "20";

/// A program that says lines of JSON. Killed when dropped.
struct Program {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> Value {
        let line = self.lines.next().expect("the program goes on").expect("text");
        eprintln!("{line}");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert!(line.get("error").is_none(), "{line}");
        line
    }

    /// The next line that has this key; its value.
    fn wait_for(&mut self, key: &str) -> String {
        loop {
            if let Some(value) = self.line().get(key) {
                return value.as_str().expect("text").to_owned();
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Built before, and put beside the tests.
fn listen() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    test.parent().and_then(Path::parent).expect("target/PROFILE/deps").join("examples/listen_webrtc_direct")
}

fn go_libp2p() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(build);
    &PROGRAM
}

fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/go-webtransport");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-webrtc-direct");
    let status =
        Command::new("go").arg("build").arg("-o").arg(&program).arg(".").current_dir(source).status();
    assert!(status.expect("Go is there").success(), "go build");
    program
}

#[test]
#[ignore = "needs Go"]
fn go_libp2p_finds_identify_ping_and_its_own_bytes_again() {
    let peer = go_libp2p();
    let mut listen = Program::start(&listen(), &[]);
    let address = listen.wait_for("address");

    let mut go = Program::start(peer, &["-dial", &address, "-echo", ECHO, "-resets", RESETS]);
    let line = go.line();

    assert_eq!(line["transport"], "webrtc-direct");
    assert_eq!(line["echoed"].to_string(), ECHO);
    assert_eq!(line["resets"].to_string(), RESETS);
    assert_eq!((&line["connections"], &line["sameConnection"]), (&1.into(), &true.into()));
    let protocols = line["protocols"].as_array().expect("identify lists them");
    for protocol in ["/ipfs/ping/1.0.0", "/ipfs/id/1.0.0", "/echo/1.0.0"] {
        assert!(protocols.contains(&protocol.into()), "{protocol}");
    }
}

#[test]
#[ignore = "needs Go"]
fn go_libp2p_dials_an_address_that_was_printed_before_a_restart() {
    let peer = go_libp2p();
    let mut first = Program::start(&listen(), &["--seed", "1"]);
    let address = first.wait_for("address");
    drop(first);

    let port = address.split('/').nth(4).expect("the port");
    let again = format!("/ip4/127.0.0.1/udp/{port}/webrtc-direct");
    let mut second = Program::start(&listen(), &["--seed", "1", &again]);
    assert_eq!(second.wait_for("address"), address);

    let mut go = Program::start(peer, &["-dial", &address]);
    assert_eq!(go.line()["echoed"], 32);
}
