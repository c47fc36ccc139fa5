//! The js-libp2p light peer, and everything `causeway light` reads, as the rows use them.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::{
    Stage,
    geth::{Geth, RawTransaction},
    process::{PATIENCE, Peer},
    relay::{self, Relay, Way},
};

/// A block of geth's chain that has transactions.
pub(super) const BUSY_BLOCK: u64 = 6;

/// How many it has.
pub(super) const BUSY_TRANSACTIONS: usize = 3;

/// Starts the js-libp2p light peer on some addresses, with further options.
pub(super) fn js(
    stage: &Stage,
    name: &str,
    geth: &Geth,
    addresses: &[String],
    options: &[String],
) -> anyhow::Result<Peer> {
    js_trusting(stage, name, geth, addresses, options, None)
}

/// The same, with a certificate that it trusts.
pub(super) fn js_trusting(
    stage: &Stage,
    name: &str,
    geth: &Geth,
    addresses: &[String],
    options: &[String],
    certificate: Option<&Path>,
) -> anyhow::Result<Peer> {
    let folder = &stage.workshop.libp2p_js;
    let path = |file: &str| folder.join(file).display().to_string();
    // Node 20 needs both; later versions take them.
    let mut arguments = vec![
        "--experimental-websocket".to_owned(),
        "--import".to_owned(),
        path("polyfill.mjs"),
        path("les.mjs"),
    ];
    for (option, value) in [
        ("--genesis", geth.genesis_file.display().to_string()),
        ("--genesis-hash", geth.genesis_hash()),
        ("--head", geth.head()),
        ("--number", geth.number().to_string()),
        ("--block", BUSY_BLOCK.to_string()),
        ("--account", geth.bank()),
        ("--contract", geth.contract()),
    ] {
        arguments.extend([option.to_owned(), value]);
    }
    arguments.extend_from_slice(options);
    arguments.extend_from_slice(addresses);
    Peer::start_trusting(stage, name, "node".as_ref(), arguments, certificate)
}

/// Waits until each address has been read and checked; gives what was read.
pub(super) async fn checked(peer: &Peer, addresses: &[String]) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for address in addresses {
        let line = peer
            .wait(&format!("everything read over {address}"), PATIENCE, |line| {
                let ours = line["address"] == *address;
                (ours && (line["event"] == "checked" || line["event"] == "failed")).then(|| line.clone())
            })
            .await?;
        if line["event"] == "failed" {
            bail!("{} over {address}: {}", peer.name, line["error"]);
        }
        all.push(line);
    }
    Ok(all)
}

/// Reads one of everything with `causeway light` and sends a transaction; compares with what geth said.
pub(super) async fn read_everything(
    stage: &Stage,
    geth: &Geth,
    relay: &Relay,
    way: Way,
    transaction: &RawTransaction,
) -> anyhow::Result<()> {
    let address = relay.address(way)?;
    let read = async |command: &[&str]| {
        let light = relay::light(stage, &geth.genesis_file, &address, command, PATIENCE).await?;
        ensure!(light.verified, "causeway light {} over {}: {}", command.join(" "), way.name(), light.object);
        anyhow::Ok(light.object)
    };
    let equal = |what: &str, found: &Value, wanted: &str| {
        let found = found.as_str().unwrap_or_default();
        ensure!(found.eq_ignore_ascii_case(wanted), "{what} over {}: {found}, not {wanted}", way.name());
        Ok(())
    };
    let (bank, contract) = (geth.bank(), geth.contract());
    let block = BUSY_BLOCK.to_string();

    let head = read(&["head"]).await?;
    equal("head", &head["hash"], &geth.head())?;
    equal("number of the head", &head["number"], &format!("{:#x}", geth.number()))?;
    let header = read(&["header", &block]).await?;
    equal("number of the header", &header["number"], &format!("{BUSY_BLOCK:#x}"))?;
    let header = read(&["header", &geth.head()]).await?;
    equal("header by hash", &header["hash"], &geth.head())?;

    let body = read(&["body", "--at", &block]).await?;
    let transactions = body["transactions"].as_array().context("the body has transactions")?;
    ensure!(transactions.len() == BUSY_TRANSACTIONS, "{} transactions in the body", transactions.len());
    let receipts = read(&["receipts", "--at", &block]).await?;
    let receipts = receipts["receipts"].as_array().context("receipts")?;
    ensure!(receipts.len() == BUSY_TRANSACTIONS, "{} receipts", receipts.len());

    let account = read(&["account", &bank]).await?;
    equal("nonce of the bank", &account["nonce"], &format!("{:#x}", geth.number().div_ceil(5) * 3))?;
    let account = read(&["account", &contract, "--slot", "1"]).await?;
    equal("slot 1", &account["storageProof"][0]["value"], &bank)?;
    let code = read(&["code", &contract]).await?;
    equal("code", &code["code"], &geth.code())?;

    let hash = transactions[1]["hash"].as_str().context("a transaction has a hash")?;
    let status = read(&["tx", hash]).await?;
    equal("status", &status["status"], "included")?;
    equal("block of the transaction", &status["blockNumber"], &format!("{BUSY_BLOCK:#x}"))?;

    // Its answer cannot be verified; whether it came to geth is what counts.
    let sent =
        relay::light(stage, &geth.genesis_file, &address, &["send", &transaction.raw], PATIENCE).await?;
    equal("hash of the transaction sent", &sent.object["hash"], &transaction.hash)?;
    geth.in_pool(&transaction.hash).await
}

/// Waits for an announcement of this head on each address; gives the longest time since geth's own, in
/// milliseconds, and the reorg depths.
pub(super) async fn announced(
    peer: &Peer,
    addresses: &[String],
    (hash, at): (&str, u64),
) -> anyhow::Result<(f64, Vec<u64>)> {
    let (mut longest, mut depths) = (0.0, Vec::new());
    for address in addresses {
        let what = format!("announcement of {hash} over {address}");
        let line = peer
            .wait(&what, Duration::from_secs(15), |line| {
                let ours = line["event"] == "announce" && line["address"] == *address && line["hash"] == hash;
                (ours || line["event"] == "failed").then(|| line.clone())
            })
            .await?;
        ensure!(line["event"] == "announce", "{what}: {}", line["error"]);
        let came = line["at"].as_u64().context("an announcement has a time")?;
        longest = f64::max(longest, came.saturating_sub(at) as f64 / 1000.0);
        depths.push(line["reorgDepth"].as_u64().unwrap_or_default());
    }
    Ok((longest, depths))
}
