//! What nodes ask each other and tell each other of themselves.

use std::net::{Ipv4Addr, SocketAddr};

use causeway_discovery::udp::{MAX_TALK, RequestError, TalkError};
use causeway_records::{Contents, Record};
use tokio::net::UdpSocket;

use crate::{Node, Speaks, end_all, ids, soon};

#[tokio::test]
async fn each_asks_the_other() {
    let first = Node::start(41, Speaks::Discv5, Vec::new()).await;
    let second = Node::start(42, Speaks::Discv5, Vec::new()).await;

    for (asking, asked) in [(&first, &second), (&second, &first)] {
        let to = asked.record();
        let pong = soon(asking.udp.ping(&to)).await.expect("it answers");
        assert_eq!((pong.seq, pong.addr), (1, asking.addr()));
        assert_eq!(soon(asking.udp.talk(&to, b"echo", b"hello".to_vec())).await, Ok(b"hello".to_vec()));
        assert_eq!(soon(asking.udp.talk(&to, b"unknown", b"hello".to_vec())).await, Ok(Vec::new()));
        assert_eq!(soon(asking.udp.find_node(&to, vec![0])).await, Ok(vec![to]));
    }
    end_all([first, second]).await;
}

/// The packet that opens a session has less room.
#[tokio::test]
async fn the_largest_talk_request_may_be_the_first() {
    for (numbers, length) in [([47, 48], 700), ([49, 50], MAX_TALK)] {
        let first = Node::start(numbers[0], Speaks::Discv5, Vec::new()).await;
        let second = Node::start(numbers[1], Speaks::Discv5, Vec::new()).await;

        let answer = soon(first.udp.talk(&second.record(), b"echo", vec![7; length])).await;

        assert_eq!(answer, Ok(vec![7; length]));
        end_all([first, second]).await;
    }
}

#[tokio::test]
async fn questions_that_cannot_be_asked_are_named() {
    let first = Node::start(43, Speaks::Discv5, Vec::new()).await;
    let second = Node::start(44, Speaks::Discv4, Vec::new()).await;
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let nobody = Contents { ip: Some(Ipv4Addr::LOCALHOST), udp: Some(port), ..Contents::default() };
    let sign = |contents: &Contents| Record::sign(&second.secret, 1, contents).expect("fits").record;

    assert_eq!(first.udp.ping(&first.record()).await, Err(RequestError::Ourselves));
    assert_eq!(first.udp.ping(&sign(&Contents::default())).await, Err(RequestError::NoAddress));
    assert_eq!(second.udp.ping(&first.record()).await, Err(RequestError::Stopped));
    let large = first.udp.talk(&second.record(), b"echo", vec![0; MAX_TALK + 1]).await;
    assert_eq!(large, Err(TalkError::TooLarge { length: MAX_TALK + 1 }));
    assert_eq!(soon(first.udp.ping(&sign(&nobody))).await, Err(RequestError::Timeout));
    end_all([first, second]).await;
}

#[tokio::test]
async fn a_newer_record_reaches_those_who_know_us() {
    let mut first = Node::start(51, Speaks::Discv5, Vec::new()).await;
    let mut second = Node::start(52, Speaks::Discv5, first.as_record()).await;
    second.find(ids([&first])).await;
    first.find(ids([&second])).await;

    let renewed = first.renew();

    assert_eq!(renewed.seq(), 2);
    let newer = async {
        while let Some(found) = second.found.recv().await {
            if found.record.as_ref() == Some(&renewed) {
                return;
            }
        }
    };
    soon(newer).await;
    assert_eq!(soon(second.udp.find_node(&renewed, vec![0])).await, Ok(vec![renewed]));
    end_all([first, second]).await;
}

#[tokio::test]
async fn others_tell_our_address() {
    let first = Node::start(61, Speaks::Both, Vec::new()).await;
    let second = Node::start(62, Speaks::Discv5, first.as_record()).await;
    let third = Node::start(63, Speaks::Discv4, first.as_enode()).await;

    let mut external = first.udp.external();
    let confirmed = *soon(external.wait_for(|external| external.v4.is_some())).await.expect("it runs");

    assert_eq!(confirmed.v4.map(SocketAddr::V4), Some(first.addr()));
    assert_eq!(confirmed.v6, None);
    assert_eq!([&first, &third].map(|node| node.udp.stats().unsent), [0, 0]);
    end_all([first, second, third]).await;
}
