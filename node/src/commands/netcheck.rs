//! `causeway netcheck`: whether others reach this node, how, and what to do if not.

mod alone;

use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use super::{explain, health, print_line};
use crate::cli::NetcheckArgs;

/// Reached only through relays.
const RELAYED: u8 = 1;

/// Not reached, or nobody knows; so it is, too, where the question failed.
const NOT_REACHED: u8 = 2;

/// Prints what a running relay found; without one, what can be found without peers.
///
/// # Errors
/// None: what fails is said, and ends with the exit code of what is not known.
pub(crate) async fn run(args: NetcheckArgs) -> anyhow::Result<ExitCode> {
    let found = match timeout(health::PATIENCE, TcpStream::connect(&args.probe)).await {
        Ok(Ok(_)) => ask(&args.probe).await,
        Ok(Err(_)) | Err(_) => {
            eprintln!(
                "no relay answers at {}: looking without one, and without peers that could test it",
                args.probe
            );
            alone::check(&args).await
        }
    };
    let object = match found {
        Ok(object) => object,
        Err(error) => {
            eprintln!("causeway: {}", explain(&error));
            return Ok(ExitCode::from(NOT_REACHED));
        }
    };
    if args.json {
        print_line(&object.to_string());
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        table(&object, now).iter().for_each(|line| print_line(line));
    }
    Ok(ExitCode::from(code(&object)))
}

async fn ask(probe: &str) -> anyhow::Result<Value> {
    let answer = timeout(health::PATIENCE, health::ask(probe, "/reachability"))
        .await
        .with_context(|| format!("{probe} did not answer within {} s", health::PATIENCE.as_secs()))??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if !head.starts_with("HTTP/1.1 200") {
        bail!("{probe} does not tell how it is reached: {}", head.lines().next().unwrap_or_default());
    }
    serde_json::from_str(body).context("the answer is not JSON")
}

/// The exit code.
fn code(object: &Value) -> u8 {
    match object["state"].as_str() {
        Some("public" | "mapped" | "punchable") => 0,
        Some("relayed-only") => RELAYED,
        _ => NOT_REACHED,
    }
}

/// What people read; `now` in seconds since 1970.
fn table(object: &Value, now: u64) -> Vec<String> {
    let mut lines = vec![format!(
        "{} (confidence: {}; last test: {})",
        word(&object["state"]),
        word(&object["confidence"]),
        ago(&object["testedAt"], now)
    )];
    lines.push(word(&object["advice"]).to_owned());
    lines.push(format!("why: {}", word(&object["why"])));
    let findings = array(&object["findings"]);
    if !findings.is_empty() {
        let line = |words: [&str; 6]| {
            let [family, transport, port, state, tested, at] = words;
            format!("{family:<6} {transport:<13} {port:>5}  {state:<13} {tested:<12} {at}")
                .trim_end()
                .to_owned()
        };
        lines.push(String::new());
        lines.push(line(["family", "transport", "port", "state", "last test", "reached at"]));
        for finding in findings {
            let port = finding["port"].to_string();
            let at: Vec<_> = array(&finding["addresses"]).iter().map(word).collect();
            let (state, tested) = (word(&finding["state"]), ago(&finding["testedAt"], now));
            let (family, transport) = (word(&finding["family"]), word(&finding["transport"]));
            lines.push(line([family, transport, &port, state, &tested, &at.join(" ")]));
        }
        lines.extend(reasons(object, findings));
    }
    section(&mut lines, "ports at the router", mappings(array(&object["mappings"])).into_iter());
    let relays = array(&object["reservations"]).iter();
    let relays = relays.map(|held| format!("{}, since {}", word(&held["relay"]), ago(&held["since"], now)));
    section(&mut lines, "relays that keep a place for us", relays);
    lines
}

/// Why and what to do, listener by listener, where that is not what was said for all: each text once.
fn reasons(object: &Value, findings: &[Value]) -> Vec<String> {
    let mut texts: Vec<(String, Vec<String>)> = Vec::new();
    for finding in findings.iter().filter(|finding| finding["why"] != object["why"]) {
        let text = format!("{}. {}", word(&finding["why"]), word(&finding["advice"]));
        let name = format!("{} {}", word(&finding["family"]), word(&finding["transport"]));
        match texts.iter_mut().find(|(known, _)| *known == text) {
            Some((_, names)) => names.push(name),
            None => texts.push((text, vec![name])),
        }
    }
    let mut lines = vec![String::new()];
    lines.extend(texts.into_iter().map(|(text, names)| format!("{}: {text}", names.join(", "))));
    if lines.len() > 1 { lines } else { Vec::new() }
}

fn section(lines: &mut Vec<String>, title: &str, items: impl Iterator<Item = String>) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        lines.push(String::new());
        lines.push(format!("{title}:"));
        lines.extend(items.map(|item| format!("  {item}")));
    }
}

/// What the router did with each port; what befell several is said once, with what to do if that is the same, too.
fn mappings(ports: &[Value]) -> Vec<String> {
    let mut outcomes: Vec<(String, Vec<String>, Vec<&str>)> = Vec::new();
    for port in ports {
        let (protocol, name) = (word(&port["protocol"]), word(&port["name"]));
        let what = format!("{protocol} {} ({name}, {})", port["port"], word(&port["family"]));
        let outcome = match word(&port["state"]) {
            "mapped" => format!("open at {} by {}", word(&port["external"]), word(&port["method"])),
            "failed" => word(&port["why"]).to_owned(),
            "unneeded" => "not needed, the address is public".to_owned(),
            other => other.to_owned(),
        };
        let advice = port["advice"].as_str();
        match outcomes.iter_mut().find(|(known, ..)| *known == outcome) {
            Some((_, names, advices)) => {
                names.push(what);
                advices.extend(advice.filter(|advice| !advices.contains(advice)));
            }
            None => outcomes.push((outcome, vec![what], advice.into_iter().collect())),
        }
    }
    let told = outcomes.into_iter().map(|(outcome, names, advices)| match advices[..] {
        [advice] => format!("{}: {outcome}. {advice}", names.join(", ")),
        _ => format!("{}: {outcome}", names.join(", ")),
    });
    told.collect()
}

/// Seconds since 1970 as people say it.
fn ago(at: &Value, now: u64) -> String {
    let Some(at) = at.as_u64() else { return "never".to_owned() };
    match now.saturating_sub(at) {
        0..60 => "just now".to_owned(),
        seconds @ 60..7200 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_exit_code_says_how_it_is_reached() {
        for (state, expected) in [
            ("public", 0),
            ("mapped", 0),
            ("punchable", 0),
            ("relayed-only", 1),
            ("unreachable", 2),
            ("unknown", 2),
        ] {
            assert_eq!(code(&json!({ "state": state })), expected, "{state}");
        }
        assert_eq!(code(&Value::Null), 2);
    }

    #[test]
    fn people_read_state_advice_each_listener_ports_and_relays() {
        let object = json!({
            "state": "mapped", "confidence": "high", "testedAt": 1000, "why": "so", "advice": "Nothing to do.",
            "findings": [
                { "family": "ipv4", "transport": "quic", "port": 30314, "state": "mapped", "why": "so",
                  "advice": "Nothing to do.", "testedAt": 1000, "addresses": ["8.8.4.4:40000"] },
                { "family": "ipv4", "transport": "tcp", "port": 30314, "state": "unknown", "why": "no test",
                  "advice": "Wait.", "testedAt": null, "addresses": [] },
                { "family": "ipv4", "transport": "ws", "port": 30315, "state": "unknown", "why": "no test",
                  "advice": "Wait.", "testedAt": null, "addresses": [] },
            ],
            "mappings": [
                { "name": "quic", "protocol": "UDP", "port": 30314, "family": "ipv4", "state": "mapped",
                  "external": "8.8.4.4:40000", "method": "PCP" },
                { "name": "ws", "protocol": "TCP", "port": 30315, "family": "ipv4", "state": "failed",
                  "why": "no room", "advice": "Restart it." },
            ],
            "reservations": [{ "relay": "16Uiu2", "since": 900 }],
        });

        let lines = table(&object, 1180);

        let expected = [
            "mapped (confidence: high; last test: 3 min ago)",
            "Nothing to do.",
            "why: so",
            "",
            "family transport      port  state         last test    reached at",
            "ipv4   quic          30314  mapped        3 min ago    8.8.4.4:40000",
            "ipv4   tcp           30314  unknown       never",
            "ipv4   ws            30315  unknown       never",
            "",
            "ipv4 tcp, ipv4 ws: no test. Wait.",
            "",
            "ports at the router:",
            "  UDP 30314 (quic, ipv4): open at 8.8.4.4:40000 by PCP",
            "  TCP 30315 (ws, ipv4): no room. Restart it.",
            "",
            "relays that keep a place for us:",
            "  16Uiu2, since 4 min ago",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn an_answer_of_another_form_is_no_panic() {
        for object in [Value::Null, json!([]), json!({ "findings": 7, "mappings": [null] })] {
            assert!(!table(&object, 0).is_empty());
        }
    }
}
