//! `causeway light`: a verifying light peer. Exit code 0: verified; 1: not verified or not served.

use std::{process::ExitCode, str::FromStr, sync::Arc, time::Duration};

use alloy_primitives::B512;
use anyhow::{Context, bail};
use causeway_bridge::{Link, Path};
use causeway_discovery::Bootnode;
use causeway_records::{Enode, Reach, dns_tree};
use causeway_transports::read_roots;
use causeway_verify::Quorum;
use causeway_wire::NodeKey;
use serde_json::{Value, json};

use super::{explain, print_line, stop_signal};
use crate::{
    cli::{BlockArg, LightArgs, LightCommand},
    light::{LightConfig, LightPeer, Server, Whereabouts},
    network,
};

/// Reads what was asked for and prints it.
///
/// # Errors
/// If an argument cannot be used. A server that does not answer, or not truly, is told as `verified: false`.
pub(crate) async fn run(args: LightArgs) -> anyhow::Result<ExitCode> {
    let spec = Arc::new(network::chain_spec(&args.network)?);
    let reach = if args.local { Reach::Local } else { Reach::Public };
    let server = Server::parse(&args.address, whereabouts(&args)?, reach)?;
    let quorum = quorum(&args.trusted, args.fraction)?;
    let trusted_roots = match &args.tls_root {
        Some(file) => read_roots(file).context("--tls.root")?,
        None => Vec::new(),
    };
    let config = LightConfig {
        checkpoint: args.network.checkpoint,
        quorum,
        heartbeat: Duration::from_secs(args.heartbeat),
        trusted_roots,
        patience: Duration::from_secs(args.timeout.max(1)),
        ..LightConfig::new(spec)
    };
    let patience = Duration::from_secs(args.timeout.max(1));
    let outcome = async {
        let connect = LightPeer::connect(&server, config);
        let peer = tokio::time::timeout(patience, connect).await.context("the server took too long")??;
        let outcome = match &args.command {
            LightCommand::Watch => watch(&peer, args.json).await,
            command => {
                let read = read(&peer, command, args.at);
                tokio::time::timeout(patience, read).await.unwrap_or_else(|_| match peer.session() {
                    Some(_) => bail!("the server took too long"),
                    None => bail!("the server left, and could not be reached again in time"),
                })
            }
        };
        peer.leave().await;
        outcome
    };
    let outcome = outcome.await;
    let (good, object) = match outcome {
        Ok((good, object)) => (good, object),
        Err(error) => {
            let text = explain(&error);
            if !args.json {
                eprintln!("causeway: not verified: {text}");
                return Ok(ExitCode::FAILURE);
            }
            (false, json!({ "schema": 1, "verified": false, "by": Value::Null, "error": text }))
        }
    };
    if !object.is_null() {
        print_object(&object, args.json);
    }
    Ok(ExitCode::from(u8::from(!good)))
}

async fn read(peer: &LightPeer, command: &LightCommand, at: BlockArg) -> anyhow::Result<(bool, Value)> {
    let object = match command {
        LightCommand::Head => peer.head_object().await?,
        LightCommand::Header { block } => peer.header(*block).await?,
        LightCommand::Body { block } => peer.body(block.unwrap_or(at)).await?,
        LightCommand::Receipts { block } => peer.receipts(block.unwrap_or(at)).await?,
        LightCommand::Account { address, slots } => peer.account(*address, slots, at).await?,
        LightCommand::Code { address } => peer.code(*address, at).await?,
        LightCommand::Tx { hash } => {
            // Only an inclusion can be proven; any other status is the server's word.
            let object = peer.transaction(*hash).await?;
            return Ok((object["verified"] == true, object));
        }
        LightCommand::Send { raw } => return peer.send(raw.clone()).await,
        LightCommand::Cht { number } => peer.cht(*number).await?,
        LightCommand::Watch => unreachable!("watched, not read"),
    };
    Ok((true, object))
}

/// Prints each new head until Ctrl-C, and in JSON how the session goes whenever that changes. A session that is lost
/// is sought until there is one again.
async fn watch(peer: &LightPeer, as_json: bool) -> anyhow::Result<(bool, Value)> {
    let stop = stop_signal()?;
    let mut heads = peer.verified().follower().heads();
    let mut link = peer.link();
    link.mark_unchanged();
    let mut printed = None;
    loop {
        // It also changes when more full nodes signed the same head.
        let head = heads.borrow_and_update().clone().filter(|head| Some(head.head.hash) != printed);
        if let Some(head) = head.filter(|head| peer.has_quorum(head)) {
            printed = Some(head.head.hash);
            print_object(&peer.head_object().await?, as_json);
        }
        loop {
            tokio::select! {
                changed = heads.changed() => {
                    changed.context("following the chain")?;
                    break;
                }
                changed = link.changed() => {
                    changed.context("keeping the session")?;
                    let event = event(&link.borrow_and_update())?;
                    if as_json {
                        print_object(&event, true);
                    }
                }
                () = stop.cancelled() => return Ok((true, Value::Null)),
            }
        }
    }
}

/// A change of the session, as an object that no head is.
fn event(link: &Link) -> anyhow::Result<Value> {
    Ok(match link {
        Link::Up(session) => json!({
            "schema": 1,
            "event": "path",
            "path": Path::of(session).name(),
            "transport": session.transport(),
        }),
        Link::Down => json!({ "schema": 1, "event": "lost" }),
        Link::Over(why) => bail!("{why}"),
    })
}

/// Where a PeerId is looked for: where the user says, else where everybody on a built-in network begins.
fn whereabouts(args: &LightArgs) -> anyhow::Result<Whereabouts> {
    let network = args.network.network.as_str();
    let (bootnodes, lists): (Vec<&str>, Vec<&str>) = if args.bootnodes.is_empty() && args.lists.is_empty() {
        (causeway_discovery::bootnodes(network).to_vec(), causeway_discovery::dns_lists(network).to_vec())
    } else {
        (args.bootnodes.iter().map(String::as_str).collect(), args.lists.iter().map(String::as_str).collect())
    };
    let bootnodes = bootnodes
        .into_iter()
        .map(|text| Bootnode::from_str(text).with_context(|| format!("--bootnodes {text}")))
        .collect::<Result<_, _>>()?;
    let lists = lists
        .into_iter()
        .map(|text| dns_tree::Link::from_str(text).with_context(|| format!("--dns {text}")))
        .collect::<Result<_, _>>()?;
    Ok(Whereabouts { bootnodes, lists, name_server: args.name_server })
}

fn quorum(trusted: &[String], fraction: u8) -> anyhow::Result<Option<Quorum>> {
    if trusted.is_empty() {
        return Ok(None);
    }
    let keys = trusted.iter().map(|text| node_key(text)).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Quorum::new(keys, fraction)))
}

fn node_key(text: &str) -> anyhow::Result<NodeKey> {
    if text.starts_with("enode://") {
        return Ok(Enode::from_str(text).with_context(|| format!("--trusted {text}"))?.key);
    }
    let key = B512::from_str(text)
        .with_context(|| format!("--trusted {text}: a node key is 128 hex characters, as in an enode URL"))?;
    Ok(NodeKey(key))
}

fn print_object(object: &Value, as_json: bool) {
    if as_json {
        print_line(&object.to_string());
        return;
    }
    let Value::Object(fields) = object else { return };
    for (name, value) in
        fields.iter().filter(|(name, _)| *name != "schema" && *name != "raw" && *name != "logsBloom")
    {
        match value {
            Value::Null => {}
            Value::String(text) => print_line(&format!("{name:>18}  {text}")),
            other => print_line(&format!("{name:>18}  {other}")),
        }
    }
}
