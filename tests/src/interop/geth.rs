//! geth's LES server as the rows use it.

use std::{net::Ipv4Addr, path::PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::{
    Stage,
    process::{PATIENCE, Peer},
};

/// How the chain and the server are to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) engine: &'static str,
    /// Only this LES version is offered; 0: all.
    pub(super) les: u64,
    pub(super) blocks: u64,
    /// Blocks that are held back for [`Geth::import`].
    pub(super) hold: u64,
    /// 0 takes a free port.
    pub(super) port: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self { engine: "fake", les: 0, blocks: 100, hold: 0, port: 0 }
    }
}

/// A running geth.
#[derive(Debug)]
pub(super) struct Geth {
    pub(super) peer: Peer,
    pub(super) genesis_file: PathBuf,
    pub(super) chain_file: PathBuf,
    ready: Value,
}

/// A transaction that geth signed and did not send.
#[derive(Clone, Debug)]
pub(super) struct RawTransaction {
    pub(super) raw: String,
    pub(super) hash: String,
}

impl Geth {
    /// Starts a server and waits until it serves. Its key comes from its name, so that it comes back as itself.
    pub(super) async fn start(stage: &Stage, name: &str, options: Options) -> anyhow::Result<Self> {
        Self::start_with(stage, name, options, &[]).await
    }

    /// The same, and it looks for others from these bootnodes on, by discv4 and discv5.
    pub(super) async fn start_finding(
        stage: &Stage,
        name: &str,
        options: Options,
        bootnodes: &[String],
    ) -> anyhow::Result<Self> {
        let further =
            ["-discv4".to_owned(), "-discv5".to_owned(), format!("-bootnodes={}", bootnodes.join(","))];
        Self::start_with(stage, name, options, &further).await
    }

    async fn start_with(
        stage: &Stage,
        name: &str,
        options: Options,
        further: &[String],
    ) -> anyhow::Result<Self> {
        let out = stage.dir.join(format!("{name}-chain"));
        let key = format!("{:0<64}", hex::encode(format!("key of {name}")));
        // At home only the host's own programs come to it.
        let host = Some(stage.address()).filter(|host| !host.is_unspecified());
        let mut arguments = vec![
            format!("-host={}", host.unwrap_or(Ipv4Addr::LOCALHOST)),
            format!("-engine={}", options.engine),
            format!("-les={}", options.les),
            format!("-blocks={}", options.blocks),
            format!("-hold={}", options.hold),
            format!("-port={}", options.port),
            format!("-out={}", out.display()),
            format!("-key={key}"),
        ];
        arguments.extend_from_slice(further);
        let peer = Peer::start(stage, name, &stage.workshop.geth_server, arguments)?;
        let ready = peer.ready().await?;
        Ok(Self { peer, genesis_file: out.join("genesis.json"), chain_file: out.join("chain.rlp"), ready })
    }

    fn text(&self, field: &str) -> String {
        self.ready[field].as_str().unwrap_or_default().to_owned()
    }

    pub(super) fn enode(&self) -> String {
        self.text("enode")
    }

    /// Its node id: Keccak of its key.
    pub(super) fn id(&self) -> String {
        self.text("id")
    }

    /// The port it listens on.
    pub(super) fn port(&self) -> anyhow::Result<u16> {
        let enode = self.enode();
        let port = enode.rsplit(':').next().and_then(|rest| rest.split('?').next());
        port.context("the enode has a port")?.parse().context("the enode's port")
    }

    pub(super) fn genesis_hash(&self) -> String {
        self.text("genesis")
    }

    /// Hash of the head it started with.
    pub(super) fn head(&self) -> String {
        self.text("head")
    }

    /// Number of the head it started with.
    pub(super) fn number(&self) -> u64 {
        self.ready["number"].as_u64().unwrap_or_default()
    }

    /// The account that pays for the chain's transactions.
    pub(super) fn bank(&self) -> String {
        self.text("bank")
    }

    pub(super) fn contract(&self) -> String {
        self.text("contract")
    }

    pub(super) fn code(&self) -> String {
        self.text("code")
    }

    /// Signs transactions that nobody knows yet.
    pub(super) async fn transactions(&mut self, count: usize) -> anyhow::Result<Vec<RawTransaction>> {
        let is_raw = |line: &Value| line["event"] == "rawtx";
        let before = self.peer.said().iter().filter(|line| is_raw(line)).count();
        for _ in 0..count {
            self.peer.tell("rawtx").await?;
        }
        let mut signed = Vec::new();
        let mut skip = before;
        self.peer
            .wait("signed transactions", PATIENCE, |line| {
                if is_raw(line) && skip > 0 {
                    skip -= 1;
                } else if is_raw(line) {
                    let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
                    signed.push(RawTransaction { raw: field("raw"), hash: field("hash") });
                }
                (signed.len() == count).then(|| std::mem::take(&mut signed))
            })
            .await
    }

    /// Waits until its pool has a transaction.
    pub(super) async fn in_pool(&self, hash: &str) -> anyhow::Result<()> {
        let what = format!("transaction {hash} in geth's pool");
        self.peer
            .wait(&what, PATIENCE, |line| (line["event"] == "tx" && line["hash"] == hash).then_some(()))
            .await
    }

    /// Imports held blocks.
    pub(super) async fn import(&mut self, count: u64) -> anyhow::Result<()> {
        self.peer.tell(&format!("import {count}")).await
    }

    /// Replaces its last blocks by two more than those.
    pub(super) async fn reorganise(&mut self, depth: u64) -> anyhow::Result<()> {
        self.peer.tell(&format!("reorg {depth}")).await
    }

    /// Waits for the head of this number that is not in `known`; gives its hash and when geth announced it.
    pub(super) async fn new_head(&self, number: u64, known: &[String]) -> anyhow::Result<(String, u64)> {
        self.peer
            .wait(&format!("head {number}"), PATIENCE, |line| {
                let hash = line["hash"].as_str()?.to_owned();
                let new = line["event"] == "head" && line["number"] == number && !known.contains(&hash);
                new.then_some((hash, line["unixMicros"].as_u64()?))
            })
            .await
    }
}
