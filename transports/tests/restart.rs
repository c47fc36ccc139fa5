//! A libp2p side that panics takes nobody on RLPx with it, and is there again.

mod kit;

use std::time::Duration;

use causeway_transports::{CloseReason, TransportsConfig};
use kit::{any, config, connect, connect_devp2p, dialer, end, message, noise, start};

#[tokio::test]
async fn rlpx_sessions_live_on_and_the_same_libp2p_address_takes_new_ones() {
    let listening = TransportsConfig { devp2p: any(), libp2p_quic: any(), libp2p_tcp: any(), ..config(1) };
    let mut server = start(listening).await;
    let (first, second) = (dialer(2).await, dialer(3).await);
    let addresses = server.transports.multiaddrs();
    let (quic, tcp) = (server.multiaddr("/quic-v1/"), server.multiaddr("/tcp/"));
    let (mut rlpx, rlpx_accepted) = connect_devp2p(&first, &mut server).await;
    let (mut light, mut light_accepted) = connect(&second, &mut server, &quic).await;
    assert_eq!(server.transports.restarts(), 0);

    server.transports.panic_host_for_test().await;

    assert!(matches!(end(&mut light_accepted).await, CloseReason::Remote(None) | CloseReason::Lost(_)));
    assert!(matches!(end(&mut light).await, CloseReason::Remote(None) | CloseReason::Lost(_)));
    let stands = async {
        while server.transports.multiaddrs() != addresses {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), stands).await.expect("stands again");
    for address in [&quic, &tcp] {
        let (mut dialed, accepted) = connect(&second, &mut server, address).await;
        accepted.session.try_send(2, noise(1000)).expect("room");
        assert_eq!(message(&mut dialed).await.0, 2);
        dialed.session.close(8);
        end(&mut dialed).await;
    }
    rlpx_accepted.session.try_send(2, noise(1000)).expect("room");
    assert_eq!(message(&mut rlpx).await.0, 2);
    assert_eq!(server.transports.restarts(), 1);
    for node in [first, second, server] {
        node.stop().await;
    }
}
