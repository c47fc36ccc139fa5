//! A proxy between Causeway and geth alters one byte in each kind of answer: no light peer ever gets it.

use anyhow::{Context, bail, ensure};
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

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let options = Options { hold: 8, ..Options::default() };
    let mut geth = Geth::start(&stage, "geth", options).await?;

    // The proxy as such changes nothing.
    let proxy = proxy(&geth, Lie::Nothing, 0).await?;
    let relay = Relay::start(&stage, "relay-nothing", &geth.genesis_file, &[proxy.enode()]).await?;
    relay.at_head(geth.number()).await?;
    honest(&stage, &geth, &relay, "js-nothing").await?;
    relay.stop().await?;
    proxy.stop().await;

    let (mut altered, mut wrong) = (0, Vec::new());
    for case in &CASES {
        let name = format!("{}-{}", case.lie.name(), case.place);
        match alone(&stage, &mut geth, case, &name).await {
            Ok(count) => altered += count,
            Err(error) => wrong.push(format!("{name} alone: {error:#}")),
        }
        match beside(&stage, &mut geth, case, &name).await {
            Ok(count) => altered += count,
            Err(error) => wrong.push(format!("{name} beside an honest full node: {error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(format!("{} lies, {altered} altered answers, none passed on", CASES.len()))
}

/// A lie, and which of its places is altered.
#[derive(Clone, Copy, Debug)]
struct Case {
    lie: Lie,
    place: usize,
    /// Whether the lie proves itself. A transaction in a block that nobody knows may be in one to come.
    convicts: bool,
}

const fn case(lie: Lie, place: usize) -> Case {
    Case { lie, place, convicts: true }
}

const CASES: [Case; 11] = [
    case(Lie::Headers, 0), // parent
    case(Lie::Headers, 3), // state root
    case(Lie::Bodies, 0),
    case(Lie::Receipts, 1),
    case(Lie::Proofs, 4),
    case(Lie::Codes, 0),
    case(Lie::TransactionStatus, 0), // included or pending
    Case { lie: Lie::TransactionStatus, place: 1, convicts: false }, // hash of the block
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
async fn alone(stage: &Stage, geth: &mut Geth, case: &Case, name: &str) -> anyhow::Result<u64> {
    let lie = case.lie;
    let transaction = included(stage, geth).await?;
    let proxy = proxy(geth, lie, case.place).await?;
    let relay =
        Relay::start(stage, &format!("relay-{name}-alone"), &geth.genesis_file, &[proxy.enode()]).await?;
    if lie == Lie::Announce {
        relay.at_head(geth.number()).await?;
        geth.import(1).await?;
    } else {
        if lie != Lie::Headers {
            relay.at_head(geth.number()).await?;
        }
        let words = question(lie, geth, &transaction);
        let words: Vec<_> = words.iter().map(String::as_str).chain(["--timeout", "3"]).collect();
        let answer =
            relay::light(stage, &geth.genesis_file, &relay.address(Way::Tcp)?, &words, PATIENCE).await?;
        ensure!(!answer.verified, "an answer although the only full node lies: {}", answer.object);
        // A light peer that does not check would have taken it: what came must be nothing at all.
        let error = answer.object["error"].as_str().unwrap_or_default();
        for word in ["root", "hash", "proof", "mismatch"] {
            ensure!(!error.contains(word), "something false reached the light peer: {error}");
        }
    }
    if case.convicts && timeout(PATIENCE, proxy.left()).await.is_err() {
        bail!("the liar was not dropped ({} answers altered)", proxy.altered());
    }
    ensure!(proxy.altered() > 0, "the proxy had nothing to alter");
    relay.stop().await?;
    let altered = proxy.altered();
    proxy.stop().await;
    Ok(altered)
}

/// With an honest full node beside it, the light peer gets the truth.
async fn beside(stage: &Stage, geth: &mut Geth, case: &Case, name: &str) -> anyhow::Result<u64> {
    let lie = case.lie;
    let transaction = included(stage, geth).await?;
    let proxy = proxy(geth, lie, case.place).await?;
    let relay = Relay::start(
        stage,
        &format!("relay-{name}-beside"),
        &geth.genesis_file,
        &[proxy.enode(), geth.enode()],
    )
    .await?;
    relay.at_head(geth.number()).await?;
    if lie == Lie::Announce {
        geth.import(1).await?;
    }
    let address = relay.address(Way::Quic)?;
    // Whoever is asked first, in the end the answers are true; more questions bring the liar in.
    for _ in 0..3 {
        let words = question(lie, geth, &transaction);
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

/// js-libp2p reads everything and checks it.
async fn honest(stage: &Stage, geth: &Geth, relay: &Relay, name: &str) -> anyhow::Result<()> {
    let addresses = relay.addresses(&Way::LIBP2P)?;
    let mut js = light::js(stage, name, geth, &addresses, &[])?;
    light::checked(&js, &addresses).await?;
    js.end(PATIENCE).await?;
    Ok(())
}
