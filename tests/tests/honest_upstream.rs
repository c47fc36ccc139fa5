//! A light peer asks for odd things; the honest full node behind the relay is neither blamed nor annoyed.

use std::time::Duration;

use alloy_primitives::{B256, U256, keccak256};
use causeway_devnet::genesis;
use causeway_tests::{
    full_node::{Lie, LyingNode},
    house::{Chain, Relay, RelayOptions, Way},
    light_peer::LightPeer,
    probe::Probe,
};
use causeway_wire::{AccountKey, Answer, HashOrNumber, ProofRequest, Query, les::Version};

/// Blocks behind genesis, more than full nodes keep states of.
const HISTORY: u64 = 200;

/// What is told without a full node being waited for takes less than this.
const AT_ONCE: Duration = Duration::from_secs(5);

struct House {
    chain: Chain,
    full_node: LyingNode,
    relay: Relay,
    peer: LightPeer,
}

impl House {
    /// With one full node, which answers honestly and counts as lies what `watch` says.
    async fn start(options: RelayOptions, watch: Lie) -> Self {
        let chain = Chain::new(HISTORY);
        let full_node = LyingNode::start(&chain, watch, Version::Les4).await;
        let relay = Relay::start(options).await;
        relay.admit(&full_node.address()).await.expect("it is honest");
        relay.reaches(chain.head().head.hash).await;
        let (peer, _) = LightPeer::greet(&relay.address(Way::Quic), Version::Les4).await;
        Self { chain, full_node, relay, peer }
    }

    async fn stop(self) {
        self.peer.leave().await;
        self.relay.stop().await;
    }
}

fn nobody() -> B256 {
    keccak256("nobody")
}

fn storage_of_nobody(query: &Query) -> bool {
    let Query::Proofs(paths) = query else { return false };
    paths.iter().any(|path| path.account.as_ref().is_some_and(|account| account.hash() == nobody()))
}

fn about_states(query: &Query) -> bool {
    matches!(query, Query::Proofs(_) | Query::Codes(_))
}

fn storage(block: B256, account: B256) -> Query {
    let key = keccak256(B256::from(U256::ZERO));
    Query::Proofs(vec![ProofRequest { block, account: Some(AccountKey::Hash(account)), key, from_level: 0 }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_of_an_account_that_is_not_there_is_never_asked_for() {
    let mut house =
        House::start(RelayOptions::default(), Lie::answer(|_, query, _| storage_of_nobody(query))).await;
    let head = house.chain.head().head.hash;

    let answer = house.peer.ask(storage(head, nobody())).await;

    // Geth counts such a question as a fault and hangs up after twenty of them.
    assert_eq!(answer, Answer::Proofs(Vec::new()), "nothing is there, and an empty trie has no nodes");
    assert_eq!(house.full_node.lies(), 0, "it was asked");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_that_nobody_keeps_are_refused_at_once_and_not_asked_for() {
    let mut house =
        House::start(RelayOptions::default(), Lie::answer(|_, query, _| about_states(query))).await;
    let Answer::Headers(headers) = house
        .peer
        .ask(Query::Headers { start: HashOrNumber::Number(10), amount: 1, skip: 0, reverse: false })
        .await
    else {
        panic!("not headers")
    };
    let old = keccak256(&headers[0]);
    let path = ProofRequest { block: old, account: None, key: nobody(), from_level: 0 };

    let answer = tokio::time::timeout(AT_ONCE, house.peer.ask(Query::Proofs(vec![path]))).await;

    assert_eq!(answer, Ok(Answer::Proofs(Vec::new())));
    assert_eq!(house.full_node.lies(), 0, "it was asked for a state that it said it does not keep");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proofs_and_codes_need_no_cache() {
    let options = RelayOptions { cache_bytes: 0, ..RelayOptions::default() };
    let mut house = House::start(options, Lie::default()).await;

    for probe in [Probe::Account, Probe::NoAccount, Probe::Storage, Probe::Code, Probe::Code] {
        let query = probe.query(&house.chain.backend);
        let honest = causeway_tests::full_node::answer(&house.chain.backend, query.clone());

        let answer = house.peer.ask(query).await;

        assert_eq!(Some(answer), honest, "{probe:?}");
    }
    let answer = house.peer.ask(storage(house.chain.head().head.hash, keccak256(genesis::CONTRACT))).await;
    assert!(matches!(answer, Answer::Proofs(nodes) if !nodes.is_empty()));
    house.stop().await;
}
