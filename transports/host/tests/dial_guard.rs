//! The dial guard: strangers' words do not lead us to the loopback, over no transport and behind no name.

mod pair;

use std::{net::IpAddr, sync::Arc};

use causeway_host::{DialGuard, Host, HostConfig, OpenError, install_crypto_provider};

use pair::{LES, Pair, Transport, certificate::Certificate};

async fn guarded(pair: &Pair) -> Host {
    install_crypto_provider();
    let mut config = HostConfig::new([2; 32], Vec::new());
    config.trusted_roots = pair.certificate.iter().map(Certificate::der).collect();
    config.dial_guard = DialGuard::Only(Arc::new(|ip: IpAddr| !ip.is_loopback()));
    Host::start(config).await.expect("host").0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_word_does_not_lead_to_the_loopback() {
    for transport in [Transport::Tcp, Transport::Quic, Transport::WebSocket, Transport::SecureWebSocket] {
        let pair = Pair::start(transport).await;
        let host = guarded(&pair).await;
        let plain = pair.address();
        for address in [
            plain.clone(),
            plain.replacen("/ip4/127.0.0.1", "/dns4/localhost", 1),
            plain.replacen("/ip4/127.0.0.1", "/dns/localhost", 1),
            plain.replacen("/ip4/127.0.0.1", "/ip6/::ffff:127.0.0.1", 1),
            plain.split("/p2p/").next().expect("address").to_owned(),
        ] {
            let result = host.open(&address, &LES).await;

            let Err(OpenError::NotAllowed { ip }) = result else { panic!("{address}: {result:?}") };
            assert!(ip.to_canonical().is_loopback());
        }
        assert_eq!(pair.server.connections(), 0, "nothing was sent");
        host.shutdown().await;
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_word_leads_anywhere() {
    for transport in [Transport::Tcp, Transport::Quic, Transport::WebSocket, Transport::SecureWebSocket] {
        let pair = Pair::start(transport).await;
        let host = guarded(&pair).await;
        let named = pair.address().replacen("/ip4/127.0.0.1", "/dns4/localhost", 1);

        let les = LES;
        let (stranger, user) = tokio::join!(host.open(&named, &les), host.open_named(&named, &les));

        assert!(user.is_ok(), "{user:?}");
        // Side by side: the stranger's dial is refused, or finds the user's connection.
        assert!(matches!(stranger, Ok(_) | Err(OpenError::NotAllowed { .. })), "{stranger:?}");
        host.shutdown().await;
        pair.shutdown().await;
    }
}
