//! What two well-behaved nodes do.

use super::*;

#[test]
fn two_nodes_connect_and_learn_who_the_other_is() {
    let mut pair = Pair::new(config(1), config(2));

    pair.settle();

    let connected = |seed: u8| Event::Connected {
        peer: config(seed).node_key(),
        client_id: format!("Node{seed}/v1"),
        version: 5,
        capabilities: vec![les4()],
        listen_port: 30303,
    };
    assert_eq!(events(&mut pair.dialer), [connected(2)]);
    assert_eq!(events(&mut pair.acceptor), [connected(1)]);
}

#[test]
fn messages_of_all_sizes_cross_in_both_directions() {
    let mut pair = Pair::connected();
    let payloads: Vec<Vec<u8>> = [0_usize, 1, 14, 15, 16, 4095, 70_000, 3_000_000]
        .map(|size| (0..size).map(|index| (index * index % 251) as u8).collect())
        .into();
    for (code, payload) in payloads.iter().enumerate() {
        assert_eq!(pair.dialer.send(&les4(), code as u64, payload), Ok(()));
        assert_eq!(pair.acceptor.send(&les4(), code as u64, payload), Ok(()));
    }

    pair.settle();

    let expected: Vec<Event> =
        payloads.iter().enumerate().map(|(code, payload)| message(code as u64, payload)).collect();
    assert!(events(&mut pair.dialer) == expected);
    assert!(events(&mut pair.acceptor) == expected);
}

#[test]
fn messages_that_do_not_compress_cross_and_the_largest_would_fit() {
    assert!(Sealer::room(MAX_SENT) <= MAX_SIZE);
    let mut pair = Pair::connected();
    let noise = noise(500_000);

    pair.dialer.send(&les4(), 0, &noise).expect("connected");
    assert!(pair.dialer.unsent() > noise.len());
    pair.settle();

    assert!(events(&mut pair.acceptor) == [message(0, &noise)]);
}

#[test]
fn a_peer_of_version_4_gets_and_sends_payloads_as_they_are() {
    let (mut connection, mut rogue) = Rogue::new(config(2));
    let hello = Hello { version: 4, ..Hello::of(&rogue_config()) };
    rogue.say(&mut connection, code::HELLO, &hello.encode());
    assert!(matches!(connection.poll_event(), Some(Event::Connected { version: 4, .. })));

    rogue.say(&mut connection, 0x12, b"question");
    connection.send(&les4(), 3, b"answer").expect("connected");
    rogue.say(&mut connection, code::PING, &[0xc0]);

    assert_eq!(events(&mut connection), [message(2, b"question")]);
    assert_eq!(rogue.hear_from(&mut connection), Some((0x13, b"answer".to_vec())));
    assert_eq!(rogue.hear(), Some((code::PONG, vec![0xc0])));
}

#[test]
fn a_hello_of_the_future_is_taken() {
    let (mut connection, mut rogue) = Rogue::new(config(2));
    let plain = Hello { version: 55, ..Hello::of(&rogue_config()) }.encode();
    let mut longer = vec![plain[0], plain[1] + 3];
    longer.extend_from_slice(&plain[2..]);
    longer.extend_from_slice(&[0xc1, 0x07, 0x04]);

    rogue.say(&mut connection, code::HELLO, &longer);

    assert!(matches!(connection.poll_event(), Some(Event::Connected { version: 55, .. })));
}

#[test]
fn pings_are_answered_at_once() {
    let (mut connection, mut rogue) = Rogue::connected(config(2));

    rogue.say(&mut connection, code::PING, &[0xc0]);

    assert_eq!(rogue.hear_from(&mut connection), Some((code::PONG, vec![1, 0, 0xc0])));
    assert_eq!(connection.poll_event(), None);
}

#[test]
fn pings_keep_a_quiet_connection_alive() {
    let mut pair = Pair::connected();
    let start = pair.now;
    while pair.now < start + 600 * SECOND {
        let next = pair.dialer.poll_timeout().min(pair.acceptor.poll_timeout()).expect("both are open");
        assert!(next > pair.now);
        pair.now = next;
        pair.dialer.handle_timeout(next);
        pair.acceptor.handle_timeout(next);
        pair.settle();
    }

    assert_eq!(events(&mut pair.dialer), []);
    assert_eq!(events(&mut pair.acceptor), []);
}

#[test]
fn a_silent_peer_is_pinged_twice_and_left_after_45_seconds() {
    let start = Instant::now();
    let (mut connection, mut rogue) = Rogue::connected(config(2));
    let mut told = Vec::new();
    let mut next = start;
    while !connection.is_closed() {
        next = connection.poll_timeout().expect("still open");
        connection.handle_timeout(next);
        told.extend(rogue.hear_from(&mut connection));
    }

    let silent = next - start;
    assert!((45 * SECOND..50 * SECOND).contains(&silent), "{silent:?}");
    assert_eq!(events(&mut connection), [Event::Closed(Closed::Timeout(Timeout::Silence))]);
    let ping = (code::PING, vec![1, 0, 0xc0]);
    assert_eq!(told, [ping.clone(), ping, (code::DISCONNECT, vec![2, 4, 0xc1, 0x0b])]);
}

#[test]
fn a_peer_that_is_not_read_is_not_silent() {
    let (mut connection, _rogue) = Rogue::connected(config(2));
    let start = Instant::now();
    for seconds in (15..300).step_by(15) {
        connection.handle_pause(start + seconds * SECOND);
        connection.handle_timeout(start + seconds * SECOND);
    }
    assert_eq!(connection.poll_event(), None);

    for seconds in [315, 330] {
        connection.handle_timeout(start + seconds * SECOND);
    }

    assert_eq!(events(&mut connection), [Event::Closed(Closed::Timeout(Timeout::Silence))]);
}

#[test]
fn a_handshake_that_does_not_come_ends_after_5_seconds() {
    let now = Instant::now();
    let random = || Randomness::from_seed([5; 32]);
    let dialer = Connection::dial(config(1), config(2).node_key(), random(), now);
    let acceptor = Connection::accept(config(2), random(), Arc::default(), now);
    for mut connection in [dialer, acceptor] {
        let _auth = sent(&mut connection);
        assert_eq!(connection.poll_timeout(), Some(now + 5 * SECOND));
        connection.handle_timeout(now + 4 * SECOND);
        assert_eq!(connection.poll_event(), None);

        connection.handle_timeout(now + 5 * SECOND);

        assert_eq!(events(&mut connection), [Event::Closed(Closed::Timeout(Timeout::Handshake))]);
        assert_eq!(connection.poll_transmit(), None);
    }
}

#[test]
fn a_hello_that_does_not_come_ends_5_seconds_after_the_keys() {
    let (mut connection, mut rogue) = Rogue::new(config(2));
    let due = connection.poll_timeout().expect("a deadline");
    assert!(due > Instant::now() + 4 * SECOND);

    connection.handle_timeout(due);

    assert_eq!(events(&mut connection), [Event::Closed(Closed::Timeout(Timeout::Hello))]);
    let reason = DisconnectReason::Timeout.encode();
    assert_eq!(rogue.hear_from(&mut connection), Some((code::DISCONNECT, reason)));
}

#[test]
fn close_says_why_and_the_peer_hears_it() {
    let mut pair = Pair::connected();
    pair.dialer.send(&les4(), 1, b"last words").expect("connected");

    pair.dialer.close(DisconnectReason::ClientQuitting, pair.now);
    pair.dialer.close(DisconnectReason::Requested, pair.now);
    pair.settle();

    let reason = DisconnectReason::ClientQuitting;
    assert_eq!(events(&mut pair.dialer), [Event::Closed(Closed::Local(reason))]);
    assert_eq!(
        events(&mut pair.acceptor),
        [message(1, b"last words"), Event::Closed(Closed::Remote(Some(reason)))]
    );
    assert_eq!(pair.dialer.send(&les4(), 1, b"one more"), Err(SendError::Closed));
}

#[test]
fn close_before_the_keys_says_nothing() {
    let now = Instant::now();
    let mut acceptor = Connection::accept(config(2), Randomness::from_seed([5; 32]), Arc::default(), now);

    acceptor.close(DisconnectReason::TooManyPeers, now);

    assert_eq!(events(&mut acceptor), [Event::Closed(Closed::Local(DisconnectReason::TooManyPeers))]);
    assert_eq!(acceptor.poll_transmit(), None);
}

#[test]
fn close_before_the_peers_hello_is_not_compressed() {
    let (mut connection, mut rogue) = Rogue::new(config(2));

    connection.close(DisconnectReason::TooManyPeers, Instant::now());

    assert_eq!(rogue.hear_from(&mut connection), Some((code::DISCONNECT, vec![0xc1, 4])));
}

#[test]
fn a_disconnect_is_understood_in_every_encoding_before_and_after_hello() {
    let four = Some(DisconnectReason::TooManyPeers);
    let zero = Some(DisconnectReason::Requested);
    let written: [(&[u8], Option<DisconnectReason>); 12] = [
        (&[0x04], four),
        (&[0xc1, 0x04], four),
        (&[0x80], zero),
        (&[0x00], zero),
        (&[0xc1, 0x80], zero),
        (&[0xc1, 0x00], zero),
        (&[0xc0], None),
        (&[], None),
        (&[0x01, 0x00, 0x04], four),
        (&[0x02, 0x04, 0xc1, 0x04], four),
        (&[0x01, 0x00, 0xc0], None),
        (&[0xff; 700], None),
    ];
    for (payload, reason) in written {
        for (mut connection, mut rogue) in [Rogue::new(config(2)), Rogue::connected(config(2))] {
            rogue.say_raw(&mut connection, code::DISCONNECT, payload);

            assert_eq!(events(&mut connection), [Event::Closed(Closed::Remote(reason))], "{payload:02x?}");
            assert_eq!(rogue.hear_from(&mut connection), None);
        }
    }
}

#[test]
fn the_end_of_the_stream_is_told_once() {
    let mut pair = Pair::connected();

    pair.dialer.handle_end(pair.now);
    pair.dialer.handle_end(pair.now);
    pair.dialer.handle_input(&[1; 100], pair.now);
    pair.dialer.handle_timeout(pair.now + 100 * SECOND);

    assert_eq!(events(&mut pair.dialer), [Event::Closed(Closed::Ended)]);
    assert_eq!(pair.dialer.poll_transmit(), None);
}

#[test]
fn what_cannot_be_sent_is_an_error_and_nothing_else() {
    let now = Instant::now();
    let mut early = Connection::dial(config(1), config(2).node_key(), Randomness::from_seed([5; 32]), now);
    assert_eq!(early.send(&les4(), 0, b""), Err(SendError::NotConnected));

    let mut pair = Pair::connected();
    let les2 = SharedCapability { capability: LES2, offset: 0x10, length: 22 };
    assert_eq!(pair.dialer.send(&les2, 0, b""), Err(SendError::UnknownCapability));
    assert_eq!(pair.dialer.send(&les4(), 24, b""), Err(SendError::UnknownCode { code: 24, length: 24 }));
    let too_large = vec![0; MAX_SENT + 1];
    let refused = SendError::TooLarge { size: MAX_SENT + 1, limit: MAX_SENT };
    assert_eq!(pair.dialer.send(&les4(), 0, &too_large), Err(refused));
    assert_eq!(pair.dialer.unsent(), 0);

    assert_eq!(pair.dialer.send(&les4(), 0, &too_large[1..]), Ok(()));
    pair.settle();
    assert_eq!(events(&mut pair.acceptor).len(), 1);
}
