//! Two hosts on the loopback: streams over each transport, their items, their ends, and who gets the one place.

mod pair;

use std::time::Duration;

use bytes::Bytes;
use causeway_host::{CutError, ItemLimits, OpenError, ReadError, peer_id_of, peer_id_text};
use causeway_wire::{Capability, rlp};
use tokio::time::{Instant, timeout};

use pair::{LES, Pair, Transport, next, string};

const TRANSPORTS: [Transport; 3] = [Transport::Tcp, Transport::Quic, Transport::WebSocket];

/// Longer than anything here takes on a busy machine, shorter than a person's patience.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn items_of_all_sizes_cross_over_each_transport() {
    for transport in TRANSPORTS {
        let mut pair = Pair::start(transport).await;
        let mut ours = pair.open().await;
        let mut theirs = next(&mut pair.streams).await;
        theirs.reader.set_limits(ItemLimits::all(6 * 1024 * 1024));
        ours.reader.set_limits(ItemLimits::all(6 * 1024 * 1024));

        assert_eq!(ours.transport, transport.name());
        assert_eq!(theirs.transport, transport.name());
        assert_eq!(ours.capability, Capability::new("les", 4));
        assert_eq!(theirs.capability, Capability::new("les", 4));
        assert_eq!(ours.peer, pair.server.peer_id());
        assert_eq!(theirs.peer, pair.client.peer_id());

        for (code, length) in [(0, 0), (2, 1), (0x15, 55), (300, 70_000), (0x0f, 5 * 1024 * 1024)] {
            let payload = string(length);
            let (sent, received) =
                tokio::join!(ours.writer.write_item(code, &payload), theirs.reader.read_item(None));
            sent.expect("sent");
            let item = received.expect("read").expect("an item");
            assert_eq!((item.code, item.payload), (code, Bytes::from(payload)), "{transport:?}");
        }
        let payload = string(3);
        theirs.writer.write_item(7, &payload).await.expect("sent");
        assert_eq!(ours.reader.read_item(None).await.expect("read").expect("an item").payload, payload);
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_a_stream_is_seen() {
    for transport in TRANSPORTS {
        let mut pair = Pair::start(transport).await;

        // Closed: what was sent is read, then comes the clean end.
        let mut ours = pair.open().await;
        let mut theirs = next(&mut pair.streams).await;
        ours.writer.write_item(1, &string(9)).await.expect("sent");
        ours.writer.close().await.expect("closed");
        assert!(theirs.reader.read_item(None).await.expect("read").is_some());
        assert!(theirs.reader.read_item(None).await.expect("clean").is_none());
        assert!(ours.writer.write_item(1, &string(1)).await.is_err(), "nothing follows the end");
        drop((ours, theirs));

        // Dropped: some end, whichever the transport shows.
        let ours = pair.open().await;
        let mut theirs = next(&mut pair.streams).await;
        drop(ours);
        let end = timeout(SOON, theirs.reader.read_item(None)).await.expect("in time");
        assert!(matches!(end, Ok(None) | Err(ReadError::Lost(_))), "{transport:?} {end:?}");
        drop(theirs);

        // The connection goes.
        let mut ours = pair.open().await;
        let theirs = next(&mut pair.streams).await;
        pair.server.close_connection(theirs.connection);
        timeout(SOON, theirs.ended.cancelled()).await.expect("the owner is told though it does not read");
        let end = timeout(SOON, ours.reader.read_item(None)).await.expect("in time");
        assert!(matches!(end, Ok(None) | Err(ReadError::Lost(_))), "{transport:?} {end:?}");
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn end_within_an_item_is_not_clean() {
    for transport in TRANSPORTS {
        let mut pair = Pair::start(transport).await;
        let mut ours = pair.open().await;
        let mut theirs = next(&mut pair.streams).await;

        // The payload claims nine bytes and brings two: the message is whole for the writer only.
        let torn = [0xcb, 0x01, 0x89, 0xaa];
        ours.writer.write_for_test(&torn).await.expect("sent");
        ours.writer.close().await.expect("closed");

        let end = timeout(SOON, theirs.reader.read_item(None)).await.expect("in time");
        assert!(matches!(end, Err(ReadError::Truncated { buffered: 4 })), "{transport:?} {end:?}");
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn second_stream_is_refused_while_the_first_lives_on() {
    for transport in TRANSPORTS {
        let mut pair = Pair::start(transport).await;
        let mut first = pair.open().await;
        let mut served = next(&mut pair.streams).await;

        let mut second = pair.open().await;
        assert_eq!(second.connection, first.connection);
        let end = timeout(SOON, second.reader.read_item(None)).await.expect("ended");

        assert!(matches!(end, Ok(None) | Err(ReadError::Lost(_))), "{transport:?} {end:?}");
        assert!(pair.streams.try_recv().is_err(), "nobody is handed the second stream");
        assert!(!served.ended.is_cancelled());
        first.writer.write_item(2, &string(5)).await.expect("the first still sends");
        assert!(served.reader.read_item(None).await.expect("and is read").is_some());
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_reopened_at_once_gets_the_place() {
    for transport in TRANSPORTS {
        let mut pair = Pair::start(transport).await;
        let mut ours = pair.open().await;
        let mut connection = None;
        for round in 0..50_u64 {
            let mut served = next(&mut pair.streams).await;
            assert_eq!(*connection.get_or_insert(served.connection), served.connection);
            // As an owner does that reads all the time.
            let reading = tokio::spawn(async move {
                let mut codes = Vec::new();
                while let Ok(Some(item)) = served.reader.read_item(None).await {
                    codes.push(item.code);
                }
                codes
            });
            ours.writer.write_item(round, &string(1)).await.expect("sent");
            if round % 2 == 0 {
                ours.writer.close().await.expect("closed");
                ours = pair.open().await;
                assert_eq!(reading.await.expect("no panic"), [round], "{transport:?}");
            } else {
                drop(ours);
                ours = pair.open().await;
                reading.await.expect("no panic");
            }
        }
        assert_eq!(pair.server.connections(), 1);
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn end_is_found_behind_what_the_owner_has_not_read() {
    for transport in TRANSPORTS {
        let mut pair = Pair::start(transport).await;
        let mut first = pair.open().await;
        let served = next(&mut pair.streams).await;
        for code in 0..100 {
            first.writer.write_item(code, &string(1000)).await.expect("sent");
        }
        first.writer.close().await.expect("closed");

        let mut second = pair.open().await;
        // The owner does not read, but it listens for the end.
        timeout(SOON, served.ended.cancelled()).await.expect("told");
        drop(served);
        let mut served = next(&mut pair.streams).await;

        second.writer.write_item(5, &string(1)).await.expect("sent");
        assert_eq!(served.reader.read_item(None).await.expect("read").expect("an item").code, 5);
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_ahead_is_not_lost() {
    let mut pair = Pair::start(Transport::Tcp).await;
    let mut first = pair.open().await;
    let mut served = next(&mut pair.streams).await;
    for code in 0..100 {
        first.writer.write_item(code, &string(1000)).await.expect("sent");
    }

    // Makes the host look for the first one's end, which is not there.
    let mut second = pair.open().await;
    assert!(!matches!(timeout(SOON, second.reader.read_item(None)).await.expect("ended"), Ok(Some(_))));

    for code in 0..100 {
        let item = served.reader.read_item(None).await.expect("read").expect("an item");
        assert_eq!((item.code, item.payload), (code, string(1000).into()));
    }
    first.writer.write_item(100, &string(1)).await.expect("sent");
    assert_eq!(served.reader.read_item(None).await.expect("read").expect("an item").code, 100);
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousand_streams_on_one_connection_leave_nothing_behind() {
    for transport in TRANSPORTS {
        let mut pair = Pair::start(transport).await;
        let mut first = pair.open().await;
        let mut served = next(&mut pair.streams).await;

        for _ in 0..1000 {
            drop(pair.open().await);
        }

        first.writer.write_item(2, &string(5)).await.expect("the first still sends");
        assert!(timeout(SOON, served.reader.read_item(None)).await.expect("soon").expect("read").is_some());
        assert_eq!(pair.server.connections(), 1);
        // None of them is left in the place, nor waits for it: the next one gets it.
        drop((first, served));
        let mut last = pair.open().await;
        last.writer.write_item(9, &string(1)).await.expect("sent");
        let found = async {
            loop {
                let mut served = next(&mut pair.streams).await;
                if let Ok(Some(item)) = served.reader.read_item(None).await {
                    return item.code;
                }
            }
        };
        assert_eq!(timeout(SOON, found).await.expect("soon"), 9);
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_item_is_refused_by_its_header() {
    for transport in TRANSPORTS {
        let mut pair = Pair::start(transport).await;
        let mut ours = pair.open().await;
        let mut theirs = next(&mut pair.streams).await;
        theirs.reader.set_limits(ItemLimits { default: 1000, by_code: vec![(9, 2000)] });

        // Nine bytes that announce 16 EiB; nothing follows them.
        ours.writer.write_for_test(&[0xff; 9]).await.expect("sent");

        let refused = timeout(SOON, theirs.reader.read_item(None)).await.expect("at once");
        assert!(matches!(refused, Err(ReadError::Framing(CutError::TooLarge { .. }))), "{refused:?}");
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_told_from_an_end() {
    let mut pair = Pair::start(Transport::Tcp).await;
    let mut ours = pair.open().await;
    let mut theirs = next(&mut pair.streams).await;

    let silent = theirs.reader.read_item(Some(Instant::now())).await;
    assert!(matches!(silent, Err(ReadError::Silent)), "{silent:?}");

    ours.writer.write_item(0, &string(1)).await.expect("sent");
    let item = theirs.reader.read_item(Some(Instant::now() + SOON)).await.expect("read").expect("an item");
    assert_eq!(item.code, 0);
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn protocols_are_proposed_in_order() {
    let mut pair = Pair::start(Transport::Tcp).await;
    let address = pair.address();

    let stream = pair.client.open(&address, &LES).await.expect("opened");
    assert_eq!(stream.capability, LES[0]);
    drop(next(&mut pair.streams).await);
    drop(stream);
    let unknown_first = [Capability::new("les", 99), LES[2].clone(), LES[0].clone()];
    let stream = pair.client.open(&address, &unknown_first).await.expect("opened");
    assert_eq!(stream.capability, LES[2]);
    assert_eq!(next(&mut pair.streams).await.capability, LES[2]);

    let none = pair.client.open(&address, &[Capability::new("les", 99)]).await;
    assert_eq!(none.expect_err("unknown"), OpenError::NoSharedProtocol { proposed: "les/99".into() });
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_dials_say_why() {
    for transport in TRANSPORTS {
        let pair = Pair::start(transport).await;
        let address = pair.address();
        let (place, _) = address.rsplit_once("/p2p/").expect("with a peer");

        let other = peer_id_text(&peer_id_of(&[9; 32]).expect("key"));
        let wrong = pair.client.open(&format!("{place}/p2p/{other}"), &LES).await.expect_err("another peer");
        assert!(
            matches!(&wrong, OpenError::WrongPeer { expected, obtained, .. }
                if *expected == other && *obtained == pair.server.peer_id_text()),
            "{wrong}"
        );

        pair.client.open(place, &LES).await.expect("whoever answers is taken");

        let own = pair.server.open(place, &LES).await.expect_err("itself");
        assert_eq!(own, OpenError::Oneself(place.to_owned()));

        let client = pair.client.clone();
        pair.server.shutdown().await;
        let closed = client.open(place, &LES).await.expect_err("nobody there");
        assert!(matches!(closed, OpenError::Unreachable { .. }), "{transport:?} {closed:?}");
        client.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shut_down_host_is_told_apart() {
    let pair = Pair::start(Transport::Tcp).await;
    let (address, client) = (pair.address(), pair.client.clone());

    pair.client.shutdown().await;

    client.closed().await;
    assert_eq!(client.open(&address, &LES).await.expect_err("closed"), OpenError::HostClosed);
    pair.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payload_of_any_rlp_kind_is_passed_as_it_is() {
    let mut pair = Pair::start(Transport::Tcp).await;
    let mut ours = pair.open().await;
    let mut theirs = next(&mut pair.streams).await;
    let mut list = Vec::new();
    rlp::put_list(&mut list, |out| rlp::put_uint(out, 5));

    for payload in [&list[..], &[0x05], &[0xc0], &[0x80]] {
        ours.writer.write_item(3, payload).await.expect("sent");
        assert_eq!(theirs.reader.read_item(None).await.expect("read").expect("an item").payload, payload);
    }
    pair.shutdown().await;
}
