//! A proxy between Causeway and geth alters one byte in each kind of answer: no light peer ever gets it.

use anyhow::{Context, bail, ensure};
use futures::StreamExt;
use tokio::time::timeout;

use crate::{
    interop::{
        Stage,
        geth::{Geth, Options},
        light,
        process::PATIENCE,
        relay::{self, Relay, Way},
    },
    lying_proxy::{Lie, LyingProxy},
};

/// Cases that run at the same time.
const AT_ONCE: usize = 4;

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let options = Options { hold: 1, ..Options::default() };
    let mut geth = Geth::start(&stage, "geth", options).await?;

    // The proxy as such changes nothing.
    let proxy = proxy(&geth, Lie::Nothing, 0).await?;
    let relay = Relay::start(&stage, "relay-nothing", &geth.genesis_file, &[proxy.enode()]).await?;
    relay.at_head(geth.number()).await?;
    honest(&stage, &geth, &relay, "js-nothing").await?;
    relay.stop().await?;
    proxy.stop().await;

    // Most cases only wait for an answer that does not come: several at a time.
    let transaction = included(&stage, &geth).await?;
    let mut work = Vec::new();
    for case in CASES.into_iter().filter(|case| case.lie != Lie::Announce) {
        work.push(both(&stage, &geth, case, &transaction));
    }
    let mut cases: Vec<_> = futures::stream::iter(work).buffered(AT_ONCE).collect().await;
    cases.push(announcement(&stage, &mut geth).await);
    let altered: u64 = cases.iter().flatten().sum();
    let wrong: Vec<_> =
        cases.iter().filter_map(|case| case.as_ref().err()).map(|error| format!("{error:#}")).collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(format!("{} lies, {altered} altered answers, none passed on", CASES.len()))
}

/// Both halves of a case; gives how many answers were altered.
async fn both(stage: &Stage, geth: &Geth, case: Case, transaction: &str) -> anyhow::Result<u64> {
    let name = case.name();
    let alone = alone(stage, geth, case, transaction).await.with_context(|| format!("{name} alone"))?;
    let beside = beside(stage, geth, case, transaction).await;
    Ok(alone + beside.with_context(|| format!("{name} beside an honest full node"))?)
}

/// A lie, and which of its places is altered.
#[derive(Clone, Copy, Debug)]
struct Case {
    lie: Lie,
    place: usize,
}

impl Case {
    fn name(self) -> String {
        format!("{}-{}", self.lie.name(), self.place)
    }
}

const fn case(lie: Lie, place: usize) -> Case {
    Case { lie, place }
}

const CASES: [Case; 11] = [
    case(Lie::Headers, 0), // parent
    case(Lie::Headers, 3), // state root
    case(Lie::Bodies, 0),
    case(Lie::Receipts, 1),
    case(Lie::Proofs, 4),
    case(Lie::Codes, 0),
    case(Lie::TransactionStatus, 0), // pending, but with a place in a block
    case(Lie::TransactionStatus, 1), // hash of the block
    case(Lie::TransactionStatus, 2), // number of the block
    case(Lie::TransactionStatus, 3), // index in the block
    case(Lie::Announce, 0),
];

async fn proxy(geth: &Geth, lie: Lie, place: usize) -> anyhow::Result<LyingProxy> {
    let enode: causeway_records::Enode = geth.enode().parse()?;
    let addr = enode.tcp_addr().context("geth's enode has an address")?;
    LyingProxy::start(lie, place, enode.key, addr).await
}

/// What brings the lie out: the question that it answers.
fn question(lie: Lie, geth: &Geth, transaction: &str) -> Vec<String> {
    let block = light::BUSY_BLOCK.to_string();
    match lie {
        Lie::Nothing | Lie::Headers | Lie::Announce => vec!["head".to_owned()],
        Lie::Bodies => vec!["body".to_owned(), "--at".to_owned(), block],
        Lie::Receipts => vec!["receipts".to_owned(), "--at".to_owned(), block],
        Lie::Proofs => vec!["account".to_owned(), geth.bank()],
        Lie::Codes => vec!["code".to_owned(), geth.contract()],
        Lie::TransactionStatus => vec!["tx".to_owned(), transaction.to_owned()],
    }
}

/// The hash of a transaction that is in a block, from geth itself.
async fn included(stage: &Stage, geth: &Geth) -> anyhow::Result<String> {
    let block = light::BUSY_BLOCK.to_string();
    let body =
        relay::light(stage, &geth.genesis_file, &geth.enode(), &["body", "--at", &block], PATIENCE).await?;
    ensure!(body.verified, "the body from geth itself: {}", body.object);
    Ok(body.object["transactions"][2]["hash"].as_str().context("a transaction has a hash")?.to_owned())
}

/// With the liar as the only full node, nothing false comes through, and the liar is dropped.
async fn alone(stage: &Stage, geth: &Geth, case: Case, transaction: &str) -> anyhow::Result<u64> {
    let proxy = proxy(geth, case.lie, case.place).await?;
    let name = format!("relay-{}-alone", case.name());
    let relay = Relay::start(stage, &name, &geth.genesis_file, &[proxy.enode()]).await?;
    if case.lie != Lie::Headers {
        relay.at_head(geth.number()).await?;
    }
    let words = question(case.lie, geth, transaction);
    let words: Vec<_> = words.iter().map(String::as_str).chain(["--timeout", "3"]).collect();
    let answer = relay::light(stage, &geth.genesis_file, &relay.address(Way::Tcp)?, &words, PATIENCE).await?;
    ensure!(!answer.verified, "an answer although the only full node lies: {}", answer.object);
    // A light peer that does not check would have taken it: what came must be nothing at all.
    let error = answer.object["error"].as_str().unwrap_or_default();
    for word in ["root", "hash", "proof", "mismatch"] {
        ensure!(!error.contains(word), "something false reached the light peer: {error}");
    }
    dropped(&proxy).await?;
    ensure!(proxy.altered() > 0, "the proxy had nothing to alter");
    relay.stop().await?;
    let altered = proxy.altered();
    proxy.stop().await;
    Ok(altered)
}

async fn dropped(proxy: &LyingProxy) -> anyhow::Result<()> {
    if timeout(PATIENCE, proxy.left()).await.is_err() {
        bail!("the liar was not dropped ({} answers altered)", proxy.altered());
    }
    Ok(())
}

/// With an honest full node beside it, the light peer gets the truth.
async fn beside(stage: &Stage, geth: &Geth, case: Case, transaction: &str) -> anyhow::Result<u64> {
    let proxy = proxy(geth, case.lie, case.place).await?;
    let name = case.name();
    let full_nodes = [proxy.enode(), geth.enode()];
    let relay = Relay::start(stage, &format!("relay-{name}-beside"), &geth.genesis_file, &full_nodes).await?;
    relay.at_head(geth.number()).await?;
    let address = relay.address(Way::Quic)?;
    // Whoever is asked first, in the end the answers are true; more questions bring the liar in.
    for _ in 0..3 {
        let words = question(case.lie, geth, transaction);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let answer = relay::light(stage, &geth.genesis_file, &address, &words, PATIENCE).await?;
        ensure!(answer.verified, "not the truth: {}", answer.object);
    }
    honest(stage, geth, &relay, &format!("js-{name}")).await?;
    relay.stop().await?;
    let altered = proxy.altered();
    proxy.stop().await;
    Ok(altered)
}

/// A false announcement is not passed on and its maker is dropped; beside an honest full node the true one comes.
async fn announcement(stage: &Stage, geth: &mut Geth) -> anyhow::Result<u64> {
    let (liar, beside) = (proxy(geth, Lie::Announce, 0).await?, proxy(geth, Lie::Announce, 0).await?);
    let alone = Relay::start(stage, "relay-announce-alone", &geth.genesis_file, &[liar.enode()]).await?;
    let full_nodes = [beside.enode(), geth.enode()];
    let relay = Relay::start(stage, "relay-announce-beside", &geth.genesis_file, &full_nodes).await?;
    alone.at_head(geth.number()).await?;
    relay.at_head(geth.number()).await?;
    let connected =
        |status: &serde_json::Value| status["upstreams"].as_array().is_some_and(|all| all.len() == 2);
    relay.until("both full nodes connected", PATIENCE, connected).await?;
    let addresses = relay.addresses(&Way::LIBP2P)?;
    let one = ["--announces".to_owned(), "1".to_owned()];
    let mut js = light::js(stage, "js-announce", geth, &addresses, &one)?;
    light::checked(&js, &addresses).await?;

    geth.import(1).await?;
    let (hash, at) = geth.new_head(geth.number() + 1, &[]).await?;
    light::announced(&js, &addresses, (&hash, at)).await?;
    js.end(PATIENCE).await?;
    dropped(&liar).await.context("announce alone")?;
    dropped(&beside).await.context("announce beside an honest full node")?;
    let head = &alone.status().await?["head"]["number"];
    ensure!(*head == geth.number(), "the relay's head is {head} after a false announcement");
    alone.stop().await?;
    relay.stop().await?;
    let altered = liar.altered() + beside.altered();
    liar.stop().await;
    beside.stop().await;
    Ok(altered)
}

/// js-libp2p reads everything and checks it.
async fn honest(stage: &Stage, geth: &Geth, relay: &Relay, name: &str) -> anyhow::Result<()> {
    let addresses = relay.addresses(&Way::LIBP2P)?;
    let mut js = light::js(stage, name, geth, &addresses, &[])?;
    light::checked(&js, &addresses).await?;
    js.end(PATIENCE).await?;
    Ok(())
}
