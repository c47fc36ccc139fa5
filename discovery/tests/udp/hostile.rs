//! Those who flood, send what is no packet, or say of themselves what they should not.

use std::net::{Ipv4Addr, SocketAddr};

use causeway_discovery::{Sockets, TalkRegistry, Udp, UdpError};
use causeway_records::{Contents, Reach, Record};
use secp256k1::SecretKey;
use tokio::{
    net::UdpSocket,
    sync::watch,
    time::{Instant, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{LOCAL4, Node, SEARCH, Speaks, config, end_all, id, ids, soon};

#[tokio::test]
async fn a_flood_of_talk_requests_is_refused() {
    let first = Node::start(45, Speaks::Discv5, Vec::new()).await;
    let second = Node::start(46, Speaks::Discv5, Vec::new()).await;
    let to = second.record();
    soon(first.udp.ping(&to)).await.expect("it answers"); // a session stands

    let began = Instant::now();
    let flood = (0..90).map(|_| first.udp.talk(&to, b"echo", b"x".to_vec()));
    let answers = soon(futures::future::join_all(flood)).await;
    let served = answers.iter().filter(|answer| answer.as_deref() == Ok(b"x")).count();

    let allowed = 20 + 1 + began.elapsed().as_millis() as usize / 100; // one node's burst and rate
    assert!((1..=allowed).contains(&served), "{served} of {allowed}");
    assert!(second.udp.stats().talk_refused > 0);
    end_all([first, second]).await;
}

#[tokio::test]
async fn a_node_that_drops_its_address_does_no_harm() {
    let mut first = Node::start(61, Speaks::Discv5, Vec::new()).await;
    let mut second = Node::start(62, Speaks::Discv5, first.as_record()).await;
    second.find(ids([&first])).await;
    first.find(ids([&second])).await;
    let before = first.record();

    let nowhere = Record::sign(&first.secret, 2, &Contents::default()).expect("fits").record;
    first.record.send_replace(nowhere);

    let mut look = interval(SEARCH);
    let forgotten = async {
        while second.udp.stats().discv5_nodes > 0 {
            look.tick().await;
        }
    };
    soon(forgotten).await;
    assert_eq!(second.udp.ping(&before).await.map(|pong| pong.seq), Ok(2), "discv5 goes on");
    end_all([first, second]).await;
}

#[tokio::test]
async fn consensus_nodes_are_not_told_of() {
    let mut first = Node::start(53, Speaks::Discv5, Vec::new()).await;
    let consensus = Node::start(54, Speaks::Discv5, Vec::new()).await;
    let execution = Node::start(55, Speaks::Discv5, Vec::new()).await;
    let mut builder = enr::Enr::builder();
    builder.ip4(Ipv4Addr::LOCALHOST).udp4(consensus.addr().port()).seq(2);
    builder.add_value_rlp("eth2", vec![0x80].into());
    let with_eth2 = builder.build(&consensus.secret).expect("fits");
    let with_eth2 = Record::decode(&alloy_rlp::encode(with_eth2)).expect("a record");
    consensus.record.send_replace(with_eth2.clone());
    let published = async {
        while soon(execution.udp.find_node(&with_eth2, vec![0])).await != Ok(vec![with_eth2.clone()]) {}
    };
    soon(published).await;

    soon(consensus.udp.ping(&first.record())).await.expect("it answers");
    soon(execution.udp.ping(&first.record())).await.expect("it answers");

    assert_eq!(soon(first.found.recv()).await.map(|found| id(&found)), Some(execution.id()));
    end_all([first, consensus, execution]).await;
}

#[tokio::test]
async fn hostile_packets_do_nothing() {
    let node = Node::start(81, Speaks::Both, Vec::new()).await;
    let honest = Node::start(82, Speaks::Discv5, Vec::new()).await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let mut chance = 1_u64;
    let mut random = |length: usize| -> Vec<u8> {
        let next = |_| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (chance >> 33) as u8
        };
        (0..length).map(next).collect()
    };

    for length in [0, 1, 62, 63, 64, 97, 98, 99, 500, 1280, 1281, 9000] {
        socket.send_to(&random(length), node.addr()).await.expect("it is sent");
    }
    let packets_of_ours = async {
        loop {
            soon(honest.udp.ping(&node.record())).await.expect("it answers");
            if node.udp.stats().foreign > 0 {
                return;
            }
        }
    };
    soon(packets_of_ours).await;

    let stats = node.udp.stats();
    assert_eq!(stats.dropped.keys().copied().collect::<Vec<_>>(), ["malformed"]);
    assert_eq!((stats.discv4_nodes, stats.unsent), (0, 0));
    let mut answer = [0; 1280];
    assert!(socket.try_recv(&mut answer).is_err(), "nothing comes back");
    end_all([node, honest]).await;
}

/// Who comes from where no stranger may send us is answered and told of, but not told to others.
#[tokio::test]
async fn a_public_table_takes_no_private_address() {
    let mut public = Node::start_within(Reach::Public, LOCAL4, 83, Speaks::Discv5, Vec::new()).await;
    let private = Node::start(84, Speaks::Discv5, Vec::new()).await;

    soon(private.udp.ping(&public.record())).await.expect("it answers");
    let found = soon(public.found.recv()).await.expect("it runs");

    assert_eq!(id(&found), private.id());
    assert_eq!(public.udp.stats().discv5_nodes, 0);
    end_all([public, private]).await;
}

/// The user's own word goes over the rules for strangers.
#[tokio::test]
async fn a_public_table_takes_a_private_bootnode() {
    let private = Node::start(85, Speaks::Discv5, Vec::new()).await;
    let bootnodes = private.as_record();
    let mut public = Node::start_within(Reach::Public, LOCAL4, 86, Speaks::Discv5, bootnodes).await;

    let found = soon(public.found.recv()).await.expect("it runs");

    assert_eq!(id(&found), private.id());
    assert_eq!(public.udp.stats().discv5_nodes, 1);
    end_all([public, private]).await;
}

#[tokio::test]
async fn a_record_of_another_key_is_not_started_with() {
    let secret = |number| SecretKey::from_secret_bytes([number; 32]).expect("valid secret");
    let record = Record::sign(&secret(1), 1, &Contents::default()).expect("fits").record;
    let (_sender, receiver) = watch::channel(record);
    let sockets = Sockets::bind(SocketAddr::new(LOCAL4, 0)).expect("a port");
    let config = config(secret(2), sockets, receiver, Speaks::Both);

    let started =
        Udp::start(config, TalkRegistry::new(), &TaskTracker::new(), CancellationToken::new()).await;

    assert!(matches!(started, Err(UdpError::Key)));
}
