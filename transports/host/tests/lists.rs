//! Allow and deny lists: they take effect at once, and only on whom they name.

mod pair;

use std::time::Duration;

use causeway_host::{Denied, Listed, Lists, OpenError, ProtocolStream};
use tokio::time::timeout;

use pair::{LES, Pair, Transport, client, next, string};

const SOON: Duration = Duration::from_secs(30);

fn deny(listed: &[Listed]) -> Lists {
    Lists { deny: listed.to_vec(), ..Lists::default() }
}

async fn ended(stream: &mut ProtocolStream) -> bool {
    let read = timeout(SOON, stream.reader.read_item(None)).await.expect("ends in time");
    !matches!(read, Ok(Some(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_peer_is_gone_at_once_and_the_others_stay() {
    for transport in [Transport::Tcp, Transport::Quic, Transport::WebSocket, Transport::SecureWebSocket] {
        let mut pair = Pair::start(transport).await;
        let mut denied = pair.open().await;
        denied.writer.write_item(1, &string(1)).await.expect("written");
        drop(next(&mut pair.streams).await.writer);
        let bystander = {
            let mut config = causeway_host::HostConfig::new([3; 32], Vec::new());
            config.trusted_roots = pair.certificate.iter().map(pair::certificate::Certificate::der).collect();
            causeway_host::Host::start(config).await.expect("client").0
        };
        let mut opened = bystander.open(&pair.address(), &LES).await.expect("opened");
        opened.writer.write_item(1, &string(1)).await.expect("written");
        let mut taken = next(&mut pair.streams).await;
        assert!(matches!(taken.reader.read_item(None).await, Ok(Some(_))));

        let list = deny(&[Listed::Peer(pair.client.peer_id())]);
        assert_eq!(pair.server.set_lists(&list).await.expect("lives"), 1);

        assert!(ended(&mut denied).await);
        // A dialer may learn of the refusal only after its own side of the handshake.
        if let Ok(mut stream) = pair.client.open(&pair.address(), &LES).await {
            assert!(ended(&mut stream).await);
        }
        taken.writer.write_item(2, &string(100)).await.expect("written");
        let item = timeout(SOON, opened.reader.read_item(None)).await.expect("in time").expect("read");
        assert_eq!(item.expect("an item").code, 2);
        assert_eq!(pair.server.connections(), 1);

        pair.server.set_lists(&Lists::default()).await.expect("lives");
        let mut again = pair.open().await;
        again.writer.write_item(1, &string(1)).await.expect("written");
        next(&mut pair.streams).await;
        bystander.shutdown().await;
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_count_for_dials_too() {
    let pair = Pair::start(Transport::Quic).await;
    let dialer = client(3).await;
    dialer.open(&pair.address(), &LES).await.expect("opened");

    let peer = deny(&[Listed::Peer(pair.server.peer_id())]);
    assert_eq!(dialer.set_lists(&peer).await.expect("lives"), 1);
    let refused = dialer.open_named(&pair.address(), &LES).await;
    assert_eq!(refused.err(), Some(OpenError::Denied(Denied::Peer)));

    let subnet = "127.0.0.0/8".parse().expect("subnet");
    dialer.set_lists(&deny(&[Listed::Subnet(subnet)])).await.expect("lives");
    let by_name = pair.address().replacen("/ip4/127.0.0.1", "/dns4/localhost", 1);
    for address in [pair.address(), by_name] {
        let refused = dialer.open_named(&address, &LES).await;
        assert_eq!(refused.err(), Some(OpenError::Denied(Denied::Subnet(subnet))), "{address}");
    }
    dialer.shutdown().await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_network_is_closed_in_one_go() {
    let mut pair = Pair::start(Transport::Tcp).await;
    let mut first = pair.open().await;
    let other = client(3).await;
    let mut second = other.open(&pair.address(), &LES).await.expect("opened");
    for stream in [&mut first, &mut second] {
        stream.writer.write_item(1, &string(1)).await.expect("written");
        next(&mut pair.streams).await;
    }

    let subnet = Listed::Subnet("127.0.0.1".parse().expect("subnet"));
    assert_eq!(pair.server.set_lists(&deny(&[subnet])).await.expect("lives"), 2);
    assert!(ended(&mut first).await && ended(&mut second).await);

    let closed = Lists { allow: vec![Listed::Peer(other.peer_id())], deny: Vec::new(), only_allowed: true };
    assert_eq!(pair.server.set_lists(&closed).await.expect("lives"), 0);
    let mut friend = other.open(&pair.address(), &LES).await.expect("allowed");
    friend.writer.write_item(1, &string(1)).await.expect("written");
    assert_eq!(next(&mut pair.streams).await.peer, other.peer_id());
    if let Ok(mut stream) = pair.client.open(&pair.address(), &LES).await {
        assert!(ended(&mut stream).await);
    }
    other.shutdown().await;
    pair.shutdown().await;
}
