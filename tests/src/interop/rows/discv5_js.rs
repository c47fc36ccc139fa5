//! Our discv5 and that of @chainsafe/discv5 ask each other what discv5 has: PING, FINDNODE, TALKREQ.

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::interop::{
    Stage,
    process::{PATIENCE, Peer},
};

/// The protocol that our example answers, with what it was asked.
const ECHO: &str = "causeway-test-echo";

/// One that nobody speaks.
const UNKNOWN: &str = "causeway-test-nobody";

/// As long as a TALKREQ of ours may be, so that no packet exceeds 1280 bytes.
const LONG: usize = 900;

/// @chainsafe/discv5 11.0.0 strips leading zeros off request ids, so that one answer in 256 is none.
const TRIES: usize = 3;

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let script = stage.workshop.discv5_js.join("node.mjs");
    let mut js = Peer::start(&stage, "js", "node".as_ref(), [&script])?;
    let mut ours = Peer::start(&stage, "ours", &stage.workshop.discovery_node, ["--no-discv4"])?;
    let js_is = js.ready().await?;
    let ours_is =
        ours.wait("its ready line", PATIENCE, |line| (line["ready"] == true).then(|| line.clone())).await?;
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let (js_enr, js_addr) = (text(&js_is, "enr"), text(&js_is, "address"));
    let ours_enr = text(&ours_is, "enr");

    // What the package reads in our record.
    let read = ask_js(&mut js, &format!("record {ours_enr}"), "record").await?;
    let ours_id = text(&read, "id");
    ensure!(read["seq"] == 1 && read["ip"] == "127.0.0.1", "our record in js: {read}");
    let ours_addr = format!("127.0.0.1:{}", read["udp"]);
    let keys = read["keys"].as_array().context("keys")?;
    ensure!(keys.contains(&json!("les")) && keys.contains(&json!("tcp")), "our record in js: {read}");

    // js asks ours.
    let pong = ask_js(&mut js, &format!("ping {ours_enr}"), "pong").await?;
    ensure!(pong["enrSeq"] == read["seq"] && pong["address"] == js_addr, "our PONG: {pong}");
    let nodes = ask_js(&mut js, &format!("findnode {ours_enr} 0"), "nodes").await?;
    ensure!(nodes["records"] == json!([ours_enr]), "our NODES: {nodes}");
    for request in ["00".to_owned(), "00c0ffee00".to_owned(), "ab".repeat(LONG)] {
        let talk = ask_js(&mut js, &format!("talk {ours_enr} {ECHO} {request}"), "talkresp").await?;
        ensure!(talk["answer"] == request, "our TALKRESP: {talk}");
    }
    let talk = ask_js(&mut js, &format!("talk {ours_enr} {UNKNOWN} c0ffee"), "talkresp").await?;
    ensure!(talk["answer"] == "", "our TALKRESP for a protocol that we do not speak: {talk}");

    // Ours asks js.
    let pong = ask_ours(&mut ours, &format!("ping {js_enr}"), "pong").await?;
    ensure!(pong["seq"] == js_is["seq"] && pong["addr"] == ours_addr, "js' PONG: {pong}");
    let nodes = ask_ours(&mut ours, &format!("findnode {js_enr} 0"), "nodes").await?;
    ensure!(nodes == json!([js_enr]), "js' NODES: {nodes}");
    for request in ["00".to_owned(), "00c0ffee00".to_owned(), "ab".repeat(LONG)] {
        let talk = ask_ours(&mut ours, &format!("talk {js_enr} any {request}"), "talk").await?;
        ensure!(talk == request, "js' TALKRESP: {talk}");
    }
    for kind in ["ping", "findnode", "talkreq"] {
        let asked =
            |line: &Value| line["event"] == "request" && line["kind"] == kind && line["from"] == ours_id;
        ensure!(js.said().iter().any(asked), "js has no {kind} of ours");
    }

    // A third node, which js has met, comes to ours as js has it.
    let mut third = Peer::start(&stage, "third", "node".as_ref(), [&script])?;
    let third_is = third.ready().await?;
    let third_enr = text(&third_is, "enr");
    ask_js(&mut third, &format!("ping {js_enr}"), "pong").await?;
    ask_js(&mut js, &format!("know {third_enr}"), "known").await?;
    let distance = distance(&text(&js_is, "id"), &text(&third_is, "id"))?;
    let nodes = ask_ours(&mut ours, &format!("findnode {js_enr} {distance}"), "nodes").await?;
    let told = nodes.as_array().is_some_and(|records| records.contains(&json!(third_enr)));
    ensure!(told, "js' NODES at distance {distance}: {nodes}");

    // A newer record of ours is noticed and asked for.
    let newer = ask_ours(&mut ours, "update", "enr").await?;
    let pong = ask_js(&mut js, &format!("ping {ours_enr}"), "pong").await?;
    ensure!(pong["enrSeq"] == 2, "our PONG after an update: {pong}");
    let nodes = ask_js(&mut js, &format!("findnode {ours_enr} 0"), "nodes").await?;
    ensure!(nodes["records"] == json!([newer]), "our NODES after an update: {nodes}");
    Ok("PING, FINDNODE and TALKREQ both ways, a third node told of, a newer record".to_owned())
}

/// Tells the js node a command and waits for its line.
async fn ask_js(js: &mut Peer, command: &str, event: &str) -> anyhow::Result<Value> {
    ask(js, command, |line| {
        if line["event"] == event {
            Some(Ok(line.clone()))
        } else {
            (line["event"] == "failed").then(|| Err(line["error"].to_string()))
        }
    })
    .await
}

/// The same of ours; what stands in the answer's field.
async fn ask_ours(ours: &mut Peer, command: &str, field: &str) -> anyhow::Result<Value> {
    ask(ours, command, |line| {
        let error = || line["error"].as_str().map(|error| Err(error.to_owned()));
        line.get(field).filter(|_| line.get("ready").is_none()).cloned().map(Ok).or_else(error)
    })
    .await
}

async fn ask(
    peer: &mut Peer,
    command: &str,
    mut find: impl FnMut(&Value) -> Option<Result<Value, String>>,
) -> anyhow::Result<Value> {
    let short: String = command.chars().take(40).collect();
    let mut error = String::new();
    for _ in 0..TRIES {
        let mut before = peer.said().len();
        peer.tell(command).await?;
        let answer = peer
            .wait(&format!("the answer to `{short}…`"), PATIENCE, |line| {
                let is_new = before == 0;
                before = before.saturating_sub(1);
                is_new.then(|| find(line)).flatten()
            })
            .await?;
        match answer {
            Ok(answer) => return Ok(answer),
            Err(reason) => error = reason,
        }
    }
    bail!("{} failed {TRIES} times at `{short}…`: {error}", peer.name)
}

/// The logarithmic distance of two node ids.
fn distance(one: &str, other: &str) -> anyhow::Result<usize> {
    let (one, other) = (hex::decode(one)?, hex::decode(other)?);
    let zeros = one.iter().zip(&other).map(|(a, b)| a ^ b).position(|byte| byte != 0);
    let first = zeros.context("the ids are equal")?;
    Ok((one.len() - first) * 8 - (one[first] ^ other[first]).leading_zeros() as usize)
}
