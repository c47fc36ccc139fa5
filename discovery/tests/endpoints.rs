//! Our record says where we are reached once somebody found out, and goes on saying what else it said.

use std::time::Duration;

use alloy_eip2124::{ForkFilter, Head};
use alloy_primitives::B256;
use causeway_discovery::{Discovery, DiscoveryConfig, OwnRecord, Report};
use causeway_pool::PoolConfig;
use causeway_records::{Contents, node_key};
use causeway_wire::ForkId;
use secp256k1::SecretKey;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn endpoints_that_were_reported_are_said_beside_the_chain() {
    let secret_key = SecretKey::from_secret_bytes([7; 32]).expect("valid");
    let eth = Some(ForkId { hash: [1, 2, 3, 4], next: 0 });
    let begun =
        Contents { eth, les: true, tcp: Some(1), ip: Some([1, 1, 1, 1].into()), ..Contents::default() };
    let config = DiscoveryConfig {
        pool: PoolConfig::relay(node_key(&secret_key)),
        forks: ForkFilter::new(Head::default(), B256::ZERO, 0, Vec::new()),
        named: Vec::new(),
        own: OwnRecord::new(secret_key, begun, None).expect("signed"),
        peers_file: None,
        looking: None,
    };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let (discovery, _orders) = Discovery::start(config, &tasks, stop.clone()).await.expect("it starts");
    let mut record = discovery.record();
    let before = record.borrow_and_update().clone();

    let endpoints = Contents { ip: Some([8, 8, 4, 4].into()), quic: Some(40_314), ..Contents::default() };
    discovery.report(Report::Endpoints(endpoints)).await;

    timeout(PATIENCE, record.changed()).await.expect("in time").expect("it runs");
    let after = record.borrow_and_update().clone();
    assert_eq!(after.seq(), before.seq() + 1);
    assert_eq!((after.ip4(), after.tcp()), (Some([8, 8, 4, 4].into()), None));
    assert_eq!(after.quic_addrs(), Ok(vec![([8, 8, 4, 4], 40_314).into()]));
    assert_eq!((after.eth(), after.les()), (before.eth(), before.les()));
    stop.cancel();
    tasks.close();
    timeout(PATIENCE, tasks.wait()).await.expect("it ends");
}
