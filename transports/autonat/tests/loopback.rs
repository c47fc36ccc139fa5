//! The client and the server with each other, over the loopback.

mod kit;

use std::time::Duration;

use autonat::{client, server};
use kit::{Node, drive_until};

#[tokio::test]
async fn an_address_that_can_be_dialed_is_found_reachable() {
    let mut server = Node::server().await;
    let mut asker = Node::client().await;
    let address = asker.listen("/ip4/127.0.0.1/tcp/0").await;
    asker.connect(&mut server).await;

    asker.swarm.behaviour_mut().client.set_candidates([address.clone()]);
    let event = drive_until(&mut asker, &mut [&mut server], Node::client_event).await;

    let expected = client::Event::Verdict { address, reachable: true, confirmations: 1, server: server.id() };
    assert_eq!(event, expected);
    assert_eq!(server.server_events()[0].outcome, server::Outcome::Reachable);
    let _ = Duration::ZERO;
}
