//! The product's host as a listener that sends back every item.

use std::net::{Ipv4Addr, SocketAddr};

use causeway_host::{Host, HostConfig, Listen, ProtocolStream};
use causeway_wire::Capability;

use super::{Way, left_alone, say_ready};
use crate::house::fresh_key;

/// Listens until it is left alone.
pub(super) async fn listen(transport: Way) -> anyhow::Result<()> {
    let protocol = Capability::new("echo", 1);
    let mut config = HostConfig::new(fresh_key().to_secret_bytes(), vec![protocol]);
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.listen = vec![match transport {
        Way::Tcp => Listen::Tcp(addr),
        Way::WebSocket => Listen::WebSocket(addr),
        Way::Quic => Listen::Quic(addr),
        Way::WebTransport => Listen::WebTransport(addr),
    }];
    let (host, mut streams) = Host::start(config).await?;
    say_ready(&host.addresses());
    let echoing = async {
        while let Some(stream) = streams.recv().await {
            tokio::spawn(echo(stream));
        }
    };
    tokio::select! {
        () = echoing => {}
        () = left_alone() => {}
    }
    host.shutdown().await;
    Ok(())
}

async fn echo(stream: ProtocolStream) {
    let ProtocolStream { mut reader, mut writer, .. } = stream;
    while let Ok(Some(item)) = reader.read_item(None).await {
        if writer.write_item(item.code, &item.payload).await.is_err() {
            return;
        }
    }
    let _ = writer.close().await; // it has everything, or is gone
}
