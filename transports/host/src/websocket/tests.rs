//! Both ends against what a peer may say.

use futures::{AsyncReadExt, AsyncWriteExt, executor::block_on, io::Cursor};

use rustls::pki_types::ServerName;

use super::{
    dialing::{Target, ask},
    listening::accept,
    *,
};

fn target(address: &str) -> Option<Target> {
    Target::of(&address.parse().expect("multiaddr"))
}

#[test]
fn every_form_of_an_address_says_what_to_dial() {
    for (address, beneath, host, path, name) in [
        ("/ip4/192.0.2.1/tcp/80/ws", "/ip4/192.0.2.1/tcp/80", "192.0.2.1:80", "/", None),
        ("/ip6/::1/tcp/81/ws", "/ip6/::1/tcp/81", "[::1]:81", "/", None),
        ("/dns4/a.example/tcp/443/wss", "/dns4/a.example/tcp/443", "a.example:443", "/", Some("a.example")),
        ("/dns/a.example/tcp/1/tls/ws", "/dns/a.example/tcp/1", "a.example:1", "/", Some("a.example")),
        ("/dns6/a.example/tcp/1/x-parity-ws/%2Fp", "/dns6/a.example/tcp/1", "a.example:1", "/p", None),
        (
            "/ip4/192.0.2.1/tcp/443/tls/sni/b.example/ws",
            "/ip4/192.0.2.1/tcp/443",
            "192.0.2.1:443",
            "/",
            Some("b.example"),
        ),
        ("/ip4/192.0.2.1/tcp/443/tls/ws", "/ip4/192.0.2.1/tcp/443", "192.0.2.1:443", "/", Some("192.0.2.1")),
    ] {
        let wanted = Target {
            beneath: beneath.parse().expect("multiaddr"),
            host: host.to_owned(),
            path: path.to_owned(),
            name: name.map(|name| ServerName::try_from(name).expect("a name")),
        };
        assert_eq!(target(address), Some(wanted), "{address}");
        let peer = "/p2p/16Uiu2HAm3HsU9cVWPGgRf4zt39aKX7VQGPAKDqwwCxDTTG8jk2SC";
        let with_peer = target(&format!("{address}{peer}")).expect("the same with a peer");
        assert_eq!(with_peer.beneath.to_string(), format!("{beneath}{peer}"));
    }
}

#[test]
fn other_addresses_are_not_dialed() {
    for address in [
        "/ip4/192.0.2.1/tcp/80",
        "/ip4/192.0.2.1/udp/80/ws",
        "/tcp/80/ws",
        "/ip4/192.0.2.1/tcp/443/tls",
        "/ip4/192.0.2.1/tcp/443/tls/sni/b.example",
        "/ip4/192.0.2.1/tcp/443/tls/wss",
        "/ip4/192.0.2.1/tcp/443/ws/tls",
        "/ip4/192.0.2.1/tcp/443/ws/p2p/16Uiu2HAm3HsU9cVWPGgRf4zt39aKX7VQGPAKDqwwCxDTTG8jk2SC/p2p-circuit",
    ] {
        assert_eq!(target(address), None, "{address}");
    }
}

#[test]
fn an_answer_is_read_up_to_its_limit() {
    let (mut answering, Agreed(left)) = Asking::new(Box::new(Cursor::new(vec![7; MAX_REQUEST + 10])));
    let mut read = vec![0; MAX_REQUEST];
    block_on(answering.read_exact(&mut read)).expect("within the limit");
    let more = block_on(answering.read(&mut read)).expect_err("beyond it");
    assert_eq!(more.kind(), io::ErrorKind::InvalidData);

    left.store(usize::MAX, Ordering::Relaxed);
    assert_eq!(block_on(answering.read(&mut read)).expect("no limit any more"), 10);
}

/// What a server that is dialed says, and what becomes of it.
async fn dialed(answer: impl AsyncFnOnce(&mut tokio::net::TcpStream)) -> io::Result<Vec<u8>> {
    use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let target = target("/ip4/127.0.0.1/tcp/80/ws").expect("a WebSocket");
    let serve = async {
        let (socket, _) = listener.accept().await.expect("dialed");
        let mut server = soketto::handshake::Server::new(socket.compat_write());
        let key = server.receive_request().await.expect("a request").key();
        let accept = soketto::handshake::server::Response::Accept { key, protocol: None };
        server.send_response(&accept).await.expect("sent");
        let mut socket = server.into_inner().into_inner();
        answer(&mut socket).await;
        socket
    };
    let dial = async {
        let socket = tokio::net::TcpStream::connect(address).await.expect("connected");
        let asked = ask::<io::Error>(Box::new(socket.compat()), &target).await;
        let mut carried = asked.map_err(io::Error::other)?;
        carried.write_all(b"hello").await?;
        carried.flush().await?;
        let mut message = vec![0; 5];
        carried.read_exact(&mut message).await?;
        carried.close().await?;
        Ok(message)
    };
    // The server's end stays open: it is we who end it.
    let (_socket, result) = tokio::join!(serve, dial);
    result
}

#[tokio::test]
async fn messages_of_a_server_are_carried() {
    use tokio::io::AsyncWriteExt as _;

    let result = dialed(async |socket| {
        // Two messages, and a ping between them.
        socket
            .write_all(&[0x82, 2, b'o', b'l', 0x89, 1, b'?', 0x82, 3, b'l', b'e', b'h'])
            .await
            .expect("sent");
    });
    assert_eq!(result.await.expect("carried"), b"olleh");
}

#[tokio::test]
async fn a_server_cannot_make_room_by_announcing() {
    use tokio::io::AsyncWriteExt as _;

    for length in [MAX_FRAME as u64 + 1, 256 << 20, u64::MAX >> 1] {
        let result = dialed(async |socket| {
            let header = [&[0x82, 127][..], &length.to_be_bytes()].concat();
            socket.write_all(&header).await.expect("sent");
        });
        let error = result.await.expect_err("refused").to_string();
        assert!(error.contains("payload"), "{error}");
    }
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What a client says after its request, and what of it is carried.
async fn listened(request: &str, said: &[u8]) -> io::Result<Vec<u8>> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_util::compat::TokioAsyncReadCompatExt;

    let (mut client, server) = tokio::io::duplex(MAX_FRAME);
    let speak = async {
        // Who is refused cannot write on.
        let _ = client.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") && client.read_buf(&mut answer).await.is_ok_and(|read| read > 0)
        {
        }
        let _ = client.write_all(said).await;
        let _ = client.shutdown().await;
        answer
    };
    let read = async {
        let mut carried = accept::<io::Error>(Box::new(server.compat())).await.map_err(io::Error::other)?;
        let mut all = Vec::new();
        carried.read_to_end(&mut all).await?;
        Ok(all)
    };
    let (answer, carried) = tokio::join!(speak, read);
    let status: &[u8] = if request == REQUEST { b"HTTP/1.1 101" } else { b"HTTP/1.1 400" };
    assert!(answer.starts_with(status), "{}", String::from_utf8_lossy(&answer));
    carried
}

/// A frame with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
    [&[first, 0x80 | 126][..], &length, &[0; 4], payload].concat()
}

#[tokio::test]
async fn messages_of_a_client_are_carried() {
    let said = [&frame(0x02, b"frag")[..], &frame(0x80, b"ments"), &[0x88, 0x80, 0, 0, 0, 0]];
    assert_eq!(listened(REQUEST, &said.concat()).await.expect("carried"), b"fragments");
}

#[tokio::test]
async fn a_pong_is_let_pass_between_messages_and_not_within_one() {
    let pong = [0x8a, 0x80, 0, 0, 0, 0];
    let between = [&pong[..], &frame(0x82, b"hello"), &pong, &[0x88, 0x80, 0, 0, 0, 0]];
    assert_eq!(listened(REQUEST, &between.concat()).await.expect("carried"), b"hello");

    let within = [&frame(0x02, b"hel")[..], &pong, &frame(0x80, b"lo")];
    let error = listened(REQUEST, &within.concat()).await.expect_err("it would grow without limit");
    assert_eq!(error.to_string(), "a pong within a message");
}

#[tokio::test]
async fn a_message_in_fragments_has_a_limit() {
    let piece = vec![7; 60_000];
    let mut said = frame(0x02, &piece);
    for _ in 0..MAX_FRAME / piece.len() {
        said.extend(frame(0x00, &piece));
    }
    let error = listened(REQUEST, &said).await.expect_err("too large").to_string();
    assert!(error.contains("message"), "{error}");
}

#[tokio::test]
async fn who_asks_for_something_else_is_told_so() {
    for said in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\u{16}\r\n\r\n", &"A".repeat(2 * MAX_REQUEST)] {
        assert!(listened(said, b"").await.is_err());
    }
}
