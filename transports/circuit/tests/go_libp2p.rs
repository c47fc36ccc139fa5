//! go-libp2p v0.51 through `examples/relay.rs`, all as programs of their own.
//!
//! ```text
//! cargo build -p PACKAGE --example relay
//! cargo test -p PACKAGE --test go_libp2p -- --ignored --nocapture
//! ```
//! Needs Go; the modules are pinned in `tests/peers/go-circuit`.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

const ECHO: &str = "8388608";

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

    /// The next line that has this key.
    fn wait_for(&mut self, key: &str) -> Value {
        loop {
            let line = self.lines.next().expect("the program goes on").expect("text");
            eprintln!("{line}");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            assert!(line.get("error").is_none(), "{line}");
            if line.get(key).is_some() {
                return line;
            }
        }
    }

    fn tell(&mut self) {
        writeln!(self.input.as_mut().expect("open"), "go").expect("the program goes on");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Built before, and put beside the tests.
fn relay(arguments: &[&str]) -> Program {
    let test = std::env::current_exe().expect("a path");
    let example = test.parent().and_then(Path::parent).expect("target/PROFILE/deps").join("examples/relay");
    Program::start(&example, arguments)
}

fn go(arguments: &[&str]) -> Program {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/go-circuit");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-circuit");
        let status =
            Command::new("go").arg("build").arg("-o").arg(&program).arg(".").current_dir(source).status();
        assert!(status.expect("Go is there").success(), "go build");
        program
    });
    Program::start(&PROGRAM, arguments)
}

fn text(line: &Value, key: &str) -> String {
    line[key].as_str().unwrap_or_else(|| panic!("no {key} in {line}")).to_owned()
}

/// One go reserves, another one reaches it; `listen` is where, `dial` from where.
fn echo_through(listen: &str, dial: &str) {
    let mut ours = relay(&["--vouchers", listen, dial]);
    let addresses = [(); 2].map(|()| text(&ours.wait_for("address"), "address"));
    let of = |transport: &str| {
        let found = addresses.iter().find(|address| address.contains(transport));
        found.expect("it listens there").clone()
    };
    let transport = |address: &str| if address.contains("/udp/") { "/udp/" } else { "/tcp/" }.to_owned();
    let (listen, dial) = (of(&transport(listen)), of(&transport(dial)));

    let mut destination = go(&["listen", &listen]);
    let reserved = destination.wait_for("peer");
    let peer = text(&reserved, "peer");
    assert_eq!((&reserved["limitSeconds"], &reserved["limitBytes"]), (&7200.into(), &(32 << 20).into()));
    assert!(reserved["seconds"].as_f64().expect("a number") > 3500.0, "{reserved}");
    assert_eq!((&reserved["voucher"], text(&reserved, "voucherPeer")), (&true.into(), peer.clone()));
    let listed = reserved["addresses"].as_array().expect("a list");
    for address in &addresses {
        assert!(listed.iter().any(|listed| listed.as_str() == Some(address)), "{address} in {listed:?}");
    }

    let mut source = go(&["dial", "-to", &peer, "-bytes", ECHO, &dial]);
    assert_eq!(source.wait_for("limited")["limited"], true);
    source.tell();
    assert_eq!(source.wait_for("bytes")["bytes"].to_string(), ECHO);
    destination.tell();
    destination.wait_for("seconds");
    source.tell();
    source.wait_for("bytes");

    drop(source);
    let closed = ours.wait_for("closed");
    for way in ["forth", "back"] {
        assert!(closed[way].as_u64().expect("a number") > 2 * (8 << 20), "{closed}");
    }
}

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

#[test]
#[ignore = "needs Go"]
fn go_libp2p_reaches_go_libp2p_over_tcp_and_quic() {
    echo_through(TCP, QUIC);
}

#[test]
#[ignore = "needs Go"]
fn go_libp2p_reaches_go_libp2p_over_quic_and_tcp() {
    echo_through(QUIC, TCP);
}
