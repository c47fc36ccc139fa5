//! geth's conformance suites of discv4 and discv5 (`devp2p discv4 test`, `devp2p discv5 test`) against a relay.

use std::{fs, time::Duration};

use anyhow::{Context, bail, ensure};
use tokio::{process::Command, time::timeout};

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    relay::Relay,
};

/// A suite waits at most 60 s in one test; all others end within seconds.
const LIMIT: Duration = Duration::from_secs(180);

/// The suite needs two addresses; Linux has all of 127.0.0.0/8.
const LISTEN: [&str; 2] = ["127.0.0.1", "127.0.0.2"];

/// Whose suites: those of a later geth ask for other things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    /// v1.10.26, whose LES we speak to.
    LastWithLes,
    /// v1.17.10, the one of today.
    Today,
}

/// One of the tool's suites.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suite {
    tool: Tool,
    /// The tool's word for it.
    command: &'static str,
    /// Tests in it.
    tests: usize,
    /// Tests that fail, and why. One that passes must be taken out of here.
    known: &'static [(&'static str, &'static str)],
}

pub(super) const DISCV5: Suite = Suite {
    tool: Tool::LastWithLes,
    command: "discv5",
    tests: 7,
    known: &[(
        "PingHandshakeInterrupted",
        "it wants a new WHOAREYOU for a second packet in a handshake; the first is repeated, as the specification \
         has it since August 2026 (ethereum/devp2p 278) and geth since March 2025 (go-ethereum 31356)",
    )],
};

pub(super) const DISCV5_TODAY: Suite = Suite { tool: Tool::Today, command: "discv5", tests: 10, known: &[] };

pub(super) const DISCV4: Suite = Suite { tool: Tool::LastWithLes, command: "discv4", tests: 14, known: &[] };

pub(super) const DISCV4_TODAY: Suite = Suite { tool: Tool::Today, command: "discv4", tests: 15, known: &[] };

/// What became of one test.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    name: String,
    passed: bool,
    /// What the suite says of a failure.
    reason: String,
}

pub(super) async fn run(stage: Stage, suite: Suite) -> anyhow::Result<String> {
    // geth is there for a chain that has no bootnodes and no lists of its own; nobody is looked for.
    let chain = Geth::start(&stage, "chain", Options { blocks: 1, ..Options::default() }).await?;
    let relay = Relay::start_finding(&stage, "relay", &chain.genesis_file, &[]).await?;

    let mut tool = Command::new(match suite.tool {
        Tool::LastWithLes => &stage.workshop.devp2p,
        Tool::Today => &stage.workshop.devp2p_today,
    });
    tool.args([suite.command, "test", "--tap", "--listen1", LISTEN[0], "--listen2", LISTEN[1]]);
    if suite.command == "discv4" {
        tool.arg("--remote").arg(relay.says("enode")?);
    } else {
        tool.arg(relay.says("enr")?);
    }
    let output = timeout(LIMIT, tool.kill_on_drop(true).output());
    let output = output.await.with_context(|| format!("the suite did not end within {LIMIT:?}"))??;
    fs::write(stage.dir.join("suite.out"), &output.stdout)?;
    fs::write(stage.dir.join("suite.err"), &output.stderr)?;
    let verdicts = read(&String::from_utf8_lossy(&output.stdout))?;
    relay.stop().await?;
    judge(suite, &verdicts)
}

/// Reads what the tool says (Test Anything Protocol): a plan, a line for each test, its log behind `#`.
fn read(text: &str) -> anyhow::Result<Vec<Verdict>> {
    let mut lines = text.lines();
    let plan = lines.next().and_then(|line| line.strip_prefix("1..")).context("no plan in the first line")?;
    let mut verdicts: Vec<Verdict> = Vec::new();
    for line in lines {
        let (passed, rest) = match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => {
                // Behind a node's id in brackets stand the packets.
                let said = line.trim_start_matches('#').trim();
                let is_packet = said.is_empty() || said.starts_with('(');
                if let (Some(verdict), false) = (verdicts.last_mut(), is_packet) {
                    let gap = if verdict.reason.is_empty() { "" } else { "; " };
                    verdict.reason.extend([gap, said]);
                }
                continue;
            }
        };
        let (_, name) = rest.split_once(' ').with_context(|| format!("no name in `{line}`"))?;
        verdicts.push(Verdict { name: name.to_owned(), passed, reason: String::new() });
    }
    ensure!(plan.parse() == Ok(verdicts.len()), "{} of {plan} tests told their end", verdicts.len());
    Ok(verdicts)
}

/// Holds the verdicts against what is known; gives the note for the table.
fn judge(suite: Suite, verdicts: &[Verdict]) -> anyhow::Result<String> {
    let passed = verdicts.iter().filter(|verdict| verdict.passed).count();
    let score = format!("{passed} of {}", verdicts.len());
    ensure!(verdicts.len() == suite.tests, "{score}, and the suite has {} tests", suite.tests);
    let mut notes = vec![score.clone()];
    for (name, reason) in suite.known {
        let verdict = verdicts.iter().find(|verdict| verdict.name == *name);
        match verdict {
            None => bail!("{score}: the suite has no test `{name}`"),
            Some(verdict) if verdict.passed => bail!("{score}: {name} passes now and is listed as failing"),
            Some(_) => notes.push(format!("{name} fails: {reason}")),
        }
    }
    let failures: Vec<_> = verdicts
        .iter()
        .filter(|verdict| !verdict.passed && suite.known.iter().all(|(name, _)| verdict.name != *name))
        .map(|verdict| format!("{} ({})", verdict.name, verdict.reason))
        .collect();
    ensure!(failures.is_empty(), "{score}; new failures: {}", failures.join(", "));
    Ok(notes.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "1..3\nok 1 Ping\nnot ok 2 Ping/WrongTo\n# (f4f5d2be3c8cc7de) >> PING/v5\n# timeout\n# twice\nok 3 Findnode\n# dialed\n";

    fn suite(known: &'static [(&'static str, &'static str)]) -> Suite {
        Suite { tool: Tool::LastWithLes, command: "discv5", tests: 3, known }
    }

    #[test]
    fn a_failure_keeps_what_the_suite_said_of_it() {
        let verdicts = read(SAID).unwrap();

        assert_eq!(verdicts.len(), 3);
        assert_eq!(verdicts[1].reason, "timeout; twice");
        assert!(!verdicts[1].passed && verdicts[2].passed);
    }

    #[test]
    fn a_suite_that_broke_off_is_no_result() {
        assert!(read("1..3\nok 1 Ping\n").is_err());
        assert!(read("").is_err());
    }

    #[test]
    fn the_list_of_known_failures_must_be_exact() {
        let verdicts = read(SAID).unwrap();

        let note = judge(suite(&[("Ping/WrongTo", "because")]), &verdicts).unwrap();
        let unknown = judge(suite(&[]), &verdicts);
        let outdated = judge(suite(&[("Ping/WrongTo", ""), ("Ping", "")]), &verdicts);

        assert_eq!(note, "2 of 3; Ping/WrongTo fails: because");
        assert!(unknown.unwrap_err().to_string().contains("Ping/WrongTo (timeout; twice)"));
        assert!(outdated.is_err());
    }
}
