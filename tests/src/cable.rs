//! A cable before a TCP socket, which can be pulled: neither end hears of it, or anything else any more.

use std::{future::pending, net::SocketAddr};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_util::sync::CancellationToken;

use crate::house::any_port;

/// A cable. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Cable {
    addr: SocketAddr,
    pulled: CancellationToken,
    dropped: CancellationToken,
    listening: AbortHandle,
}

impl Cable {
    /// A cable that leads to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(any_port()).await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let (pulled, dropped) = (CancellationToken::new(), CancellationToken::new());
        let ends = (pulled.clone(), dropped.clone());
        let listening = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (pulled, dropped) = ends.clone();
                tokio::spawn(async move { dropped.run_until_cancelled(carry(near, target, pulled)).await });
            }
        });
        Self { addr, pulled, dropped, listening: listening.abort_handle() }
    }

    /// Its near end.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on nothing goes through it, in either direction.
    pub fn pull(&self) {
        self.pulled.cancel();
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.listening.abort();
        self.dropped.cancel();
    }
}

async fn carry(mut near: TcpStream, target: SocketAddr, pulled: CancellationToken) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    if pulled.run_until_cancelled(copy_bidirectional(&mut near, &mut far)).await.is_none() {
        pending::<()>().await; // holding both sockets
    }
}
