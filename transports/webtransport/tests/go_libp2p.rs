//! go-libp2p v0.51 against `examples/listen_webtransport.rs`, both as programs of their own.
//!
//! ```text
//! cargo build -p PACKAGE --example listen_webtransport
//! cargo test -p PACKAGE --test go_libp2p -- --ignored --nocapture
//! ```
//! Needs Go; the modules are pinned in `tests/peers/go-webtransport`.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use libp2p_identity::Keypair;
use serde_json::Value;
use webtransport::Certificates;

const ECHO: &str = "8388608";
const RESETS: &str = "20";

/// A program that says lines of JSON. Killed when dropped.
struct Program {
    child: Child,
    input: Option<ChildStdin>,
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
        let input = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, input, lines }
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

    fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("open"), "{line}").expect("the program goes on");
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
    test.parent().and_then(Path::parent).expect("target/PROFILE/deps").join("examples/listen_webtransport")
}

fn go_libp2p() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(build);
    &PROGRAM
}

fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/go-webtransport");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-webtransport");
    let status =
        Command::new("go").arg("build").arg("-o").arg(&program).arg(".").current_dir(source).status();
    assert!(status.expect("Go is there").success(), "go build");
    program
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A seed whose certificate is rolled soon: go-libp2p looks at its own clock, so both the present
/// certificate and the next one have to be valid now. And when it is rolled, in seconds after 1970.
fn seed_that_rolls_soon() -> (u64, u64) {
    let now = now();
    let half_a_day = 12 * 60 * 60;
    (0..)
        .find_map(|seed: u64| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_be_bytes());
            let identity = Keypair::ed25519_from_bytes(bytes).expect("a key");
            let certificates = Certificates::of_identity(&identity).expect("ed25519");
            let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let next = certificates.begin(certificates.window(at(now + half_a_day)));
            let rolled = next.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
            (rolled > now).then_some((seed, rolled))
        })
        .expect("one in 24 does")
}

#[test]
#[ignore = "needs Go"]
fn go_libp2p_finds_identify_ping_and_its_own_bytes_again() {
    let peer = go_libp2p();
    let mut listen = Program::start(&listen(), &[]);
    let address = listen.wait_for("address");

    let mut go = Program::start(peer, &["-dial", &address, "-echo", ECHO, "-resets", RESETS]);
    let line = go.line();

    assert_eq!(line["transport"], "webtransport");
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
fn go_libp2p_keeps_its_session_and_its_address_when_the_certificate_rolls() {
    let peer = go_libp2p();
    let (seed, rolled) = seed_that_rolls_soon();
    let (seed, before) = (seed.to_string(), (rolled - 1).to_string());
    let mut listen = Program::start(&listen(), &["--seed", &seed, "--clock", &before]);
    let address = listen.wait_for("address");
    let mut go = Program::start(peer, &["-dial", &address, "-echo", ECHO, "-hold"]);
    go.line();

    listen.tell(&rolled.to_string());
    let next = listen.wait_for("address");
    assert_eq!(listen.wait_for("expired"), address);
    let hashes = |address: &str| address.split("/certhash/").skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(hashes(&next)[0], hashes(&address)[1].split('/').next().expect("the hash"));
    go.tell("");

    let line = go.line();
    assert_eq!((&line["echoed"].to_string()[..], &line["sameConnection"]), (ECHO, &true.into()));
    assert_eq!(line["echoedAnew"].to_string(), ECHO);
}

#[test]
#[ignore = "needs Go"]
fn go_libp2p_dials_an_address_that_was_printed_before_a_restart() {
    let peer = go_libp2p();
    let mut first = Program::start(&listen(), &["--seed", "1"]);
    let address = first.wait_for("address");
    drop(first);

    let port = address.split('/').nth(4).expect("the port");
    let again = format!("/ip4/127.0.0.1/udp/{port}/quic-v1/webtransport");
    let mut second = Program::start(&listen(), &["--seed", "1", &again]);
    assert_eq!(second.wait_for("address"), address);

    let mut go = Program::start(peer, &["-dial", &address]);
    assert_eq!(go.line()["echoed"], 32);
}
