//! go-libp2p v0.51's AutoNAT v2 against ours, in both roles.
//!
//! ```text
//! cargo test -p PACKAGE --test go_libp2p -- --ignored --nocapture
//! ```
//! Needs Go; the modules are pinned in `tests/peers/go-autonat`.

mod kit;

use autonat::{client, server};
use kit::{Node, drive_until, program::Program, verdict};
use libp2p::{Multiaddr, multiaddr::Protocol};
use tokio::time::timeout;

/// Lets go say a line while the node goes on.
async fn beside(node: &mut Node, go: &mut Program) -> serde_json::Value {
    let line = async {
        let line = go.line();
        tokio::pin!(line);
        loop {
            tokio::select! {
                line = &mut line => return line,
                () = node.step() => {}
            }
        }
    };
    timeout(kit::PATIENCE, line).await.expect("in time")
}

async fn served(node: &mut Node, address: &Multiaddr) -> server::Event {
    drive_until(node, &mut [], |node| node.served(address)).await
}

/// Go's answer about one of its addresses, and what we saw of it.
async fn go_asks(listen: &str, test: Option<&str>) -> (String, server::Event) {
    let mut server = Node::server().await;
    let address = server.listening[0].clone().with(Protocol::P2p(server.id())).to_string();
    let mut arguments = vec!["-ask", &address, "-listen", listen];
    arguments.extend(test.into_iter().flat_map(|test| ["-test", test]));
    let mut go = Program::go(&arguments);
    let line = beside(&mut server, &mut go).await;
    let asked = line["address"].as_str().expect("text").parse().expect("a multiaddr");
    (line["reachability"].as_str().expect("text").to_owned(), served(&mut server, &asked).await)
}

#[tokio::test]
#[ignore = "needs Go"]
async fn our_server_tells_go_what_is_reachable() {
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let (reachability, served) = go_asks(listen, None).await;

        assert_eq!(reachability, "Public", "{listen}");
        assert_eq!((served.outcome, served.paid), (server::Outcome::Reachable, 0), "{listen}");
    }
}

#[tokio::test]
#[ignore = "needs Go"]
async fn our_server_tells_go_what_is_not_reachable() {
    let (reachability, served) = go_asks("/ip4/127.0.0.1/tcp/0", Some("/ip4/127.0.0.1/tcp/1")).await;

    assert_eq!(reachability, "Private");
    assert_eq!(served.outcome, server::Outcome::Unreachable);
}

#[tokio::test]
#[ignore = "needs Go"]
async fn go_pays_for_another_ip_address() {
    let listen = "/ip4/127.0.0.1/tcp/0,/ip6/::1/tcp/0";
    let (reachability, served) = go_asks(listen, None).await;

    assert_eq!(reachability, "Public");
    assert_eq!(served.outcome, server::Outcome::Reachable);
    assert!((30_000..=100_000).contains(&served.paid), "{served:?}");
}

#[tokio::test]
#[ignore = "needs Go"]
async fn go_learns_that_its_request_is_refused() {
    let mut server = Node::server().await;
    let address = server.listening[0].clone().with(Protocol::P2p(server.id())).to_string();
    let mut go = Program::go(&["-ask", &address, "-test", "/ip4/169.254.1.1/tcp/1"]);

    let line = beside(&mut server, &mut go).await;

    assert_eq!(line["refused"], true);
    assert!(server.dials().is_empty());
}

/// Our answer about an address, as go's server sees it.
async fn we_ask(listen: Option<&str>, otherwise: &str, through: &str) -> (client::Event, client::Counters) {
    let mut go = Program::go(&["-serve"]);
    let mut asker = Node::client();
    let address = match listen {
        Some(listen) => asker.listen(listen).await,
        None => otherwise.parse().expect("a multiaddr"),
    };
    let server = loop {
        let line = go.line().await;
        let address = line["address"].as_str().expect("text").to_owned();
        if address.contains(through) {
            break address;
        }
    };
    asker.swarm.dial(server.parse::<Multiaddr>().expect("a multiaddr")).expect("dialed");
    asker.set_candidate(&address);
    let event = verdict(&mut asker, &mut [], &address).await;
    (event, asker.swarm.behaviour().client.counters())
}

#[tokio::test]
#[ignore = "needs Go"]
async fn go_tells_us_what_is_reachable() {
    for (listen, through) in [
        ("/ip4/127.0.0.1/tcp/0", "/tcp/"),
        ("/ip4/127.0.0.1/udp/0/quic-v1", "/tcp/"),
        ("/ip4/127.0.0.1/tcp/0", "/quic-v1"),
    ] {
        let (event, counters) = we_ask(Some(listen), "", through).await;

        let client::Event::Verdict { reachable: true, confirmations: 1, .. } = event else {
            panic!("{event:?}")
        };
        assert!(counters.dial_backs >= 1, "{counters:?}");
    }
}

#[tokio::test]
#[ignore = "needs Go"]
async fn go_tells_us_what_is_not_reachable() {
    let (event, _) = we_ask(None, "/ip4/127.0.0.1/tcp/1", "/tcp/").await;

    assert!(matches!(event, client::Event::Verdict { reachable: false, .. }), "{event:?}");
}

#[tokio::test]
#[ignore = "needs Go"]
async fn we_pay_go_for_another_ip_address() {
    let (event, counters) = we_ask(Some("/ip6/::1/tcp/0"), "", "/tcp/").await;

    assert!(matches!(event, client::Event::Verdict { reachable: true, .. }), "{event:?}");
    assert!((30_000..=100_000).contains(&counters.paid_bytes), "{counters:?}");
}
