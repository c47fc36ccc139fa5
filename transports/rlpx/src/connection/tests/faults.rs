//! Each way to break the rules, what it is called, and what the peer is told.

use super::*;
use crate::HelloError;

const BREACH: Option<DisconnectReason> = Some(DisconnectReason::BreachOfProtocol);

#[test]
fn a_dialer_that_means_another_node_is_refused_without_a_word() {
    let mut pair = Pair::new(config(1), config(2));
    pair.acceptor = Connection::accept(config(3), Randomness::from_seed([2; 32]), Arc::default(), pair.now);

    pair.settle();

    let fault = Fault::Handshake(HandshakeError::Sealed);
    assert_eq!(events(&mut pair.acceptor), [Event::Closed(Closed::Fault(fault))]);
    assert_eq!(events(&mut pair.dialer), []);
    pair.dialer.handle_end(pair.now);
    assert_eq!(events(&mut pair.dialer), [Event::Closed(Closed::Ended)]);
}

#[test]
fn a_dialed_key_off_the_curve_closes_the_connection_at_once() {
    let nobody = NodeKey([0xff; 64].into());
    let mut dialer = Connection::dial(config(1), nobody, Randomness::from_seed([1; 32]), Instant::now());

    let fault = Fault::Handshake(HandshakeError::Point { what: "key of the dialed node" });
    assert_eq!(events(&mut dialer), [Event::Closed(Closed::Fault(fault))]);
    assert_eq!(dialer.poll_transmit(), None);
}

#[test]
fn an_ack_for_another_node_is_refused_without_a_word() {
    let mut pair = Pair::new(config(1), config(2));
    let mut stranger = Pair::new(config(4), config(2));
    let auth = sent(&mut stranger.dialer);
    pair.acceptor.handle_input(&auth, pair.now);
    let _ours = sent(&mut pair.dialer);

    let ack = sent(&mut pair.acceptor);
    pair.dialer.handle_input(&ack, pair.now);

    let fault = Fault::Handshake(HandshakeError::Sealed);
    assert_eq!(events(&mut pair.dialer), [Event::Closed(Closed::Fault(fault))]);
    assert_eq!(pair.dialer.poll_transmit(), None);
}

#[test]
fn a_recorded_connection_cannot_be_opened_again() {
    let seen = Arc::new(SeenAuths::default());
    let now = Instant::now();
    let mut dialer = Connection::dial(config(1), config(2).node_key(), Randomness::from_seed([1; 32]), now);
    let auth = sent(&mut dialer);
    let accept = |seed| {
        let random = Randomness::from_seed([seed; 32]);
        let mut acceptor = Connection::accept(config(2), random, seen.clone(), now);
        acceptor.handle_input(&auth, now);
        acceptor
    };
    assert!(!accept(2).is_closed());

    let mut again = accept(3);

    let fault = Fault::Handshake(HandshakeError::Replayed);
    assert_eq!(events(&mut again), [Event::Closed(Closed::Fault(fault))]);
    assert_eq!(again.poll_transmit(), None);
}

#[test]
fn a_wrong_mac_ends_the_connection_without_a_word() {
    let altered = [(0, Fault::HeaderMac), (31, Fault::HeaderMac), (32, Fault::BodyMac), (63, Fault::BodyMac)];
    for (index, fault) in altered {
        let (mut connection, mut rogue) = Rogue::connected(config(2));
        let mut frame = rogue.sealed(0x10, b"");
        assert_eq!(frame.len(), 64);
        frame[index] ^= 0x80;

        connection.handle_input(&frame, Instant::now());

        rogue.assert_ended(&mut connection, fault, None);
    }
}

#[test]
fn a_frame_that_is_a_part_of_a_message_is_refused() {
    for data in [&[0xc2, 0x80, 0x01][..], &[0xc3, 0x80, 0x80, 0x05], &[0xc5, 0x80, 0x01, 0x82, 0x10, 0]] {
        let (mut connection, mut rogue) = Rogue::connected(config(2));
        let head = rogue.raw_head(64, data);

        connection.handle_input(&head, Instant::now());

        rogue.assert_ended(&mut connection, Fault::Chunked, BREACH);
    }
}

#[test]
fn whatever_else_stands_in_a_frame_header_is_ignored() {
    for data in [&[0; 13][..], &[0xff; 13], &[0xc0], &[0xc1, 0x80], &[0xc2, 0x01, 0x80], &[0xc1, 0xc0]] {
        let (mut connection, mut rogue) = Rogue::connected(config(2));
        let head = rogue.raw_head(4, data);

        connection.handle_input(&head, Instant::now());

        assert_eq!(connection.poll_event(), None, "{data:02x?}");
    }
}

#[test]
fn a_frame_without_a_code_is_refused() {
    let (mut connection, mut rogue) = Rogue::connected(config(2));
    let head = rogue.head_of(0);

    connection.handle_input(&head, Instant::now());

    rogue.assert_ended(&mut connection, Fault::NoCode, BREACH);
}

#[test]
fn a_code_that_is_no_canonical_number_is_refused() {
    for data in [&[0xc0][..], &[0x00], &[0x81, 0x05], &[0x82, 0x00, 0x01], &[0x89; 10], &[0xbf]] {
        let (mut connection, mut rogue) = Rogue::connected(config(2));
        let frame = rogue.raw_frame(data);

        connection.handle_input(&frame, Instant::now());

        rogue.assert_ended(&mut connection, Fault::NoCode, BREACH);
    }
}

#[test]
fn a_message_before_hello_is_refused() {
    for code in [code::PING, 0x05, 0x10, u64::MAX] {
        let (mut connection, mut rogue) = Rogue::new(config(2));

        rogue.say(&mut connection, code, &[0xc0]);

        rogue.assert_ended(&mut connection, Fault::BeforeHello { code }, BREACH);
    }
}

#[test]
fn a_second_hello_is_refused() {
    let (mut connection, mut rogue) = Rogue::connected(config(2));

    rogue.say(&mut connection, code::HELLO, &Hello::of(&rogue_config()).encode());

    rogue.assert_ended(&mut connection, Fault::SecondHello, BREACH);
}

#[test]
fn a_hello_that_cannot_be_read_is_refused() {
    let deep = [0xc1; 1000];
    let written: [(&[u8], &str); 4] =
        [(&[], "hello"), (&[0xc0], "version"), (&[5], "hello"), (&deep, "version")];
    for (payload, field) in written {
        let (mut connection, mut rogue) = Rogue::new(config(2));

        rogue.say(&mut connection, code::HELLO, payload);

        rogue.assert_ended(&mut connection, Fault::Hello(HelloError::Rlp { field }), BREACH);
    }
}

#[test]
fn a_hello_with_a_zero_key_is_told_null_identity() {
    let (mut connection, mut rogue) = Rogue::new(config(2));
    let hello = Hello { key: NodeKey([0; 64].into()), ..Hello::of(&rogue_config()) };

    rogue.say_hello(&mut connection, &hello);

    rogue.assert_ended(&mut connection, Fault::NullIdentity, Some(DisconnectReason::NullIdentity));
}

#[test]
fn a_hello_with_another_key_than_the_handshakes_is_told_unexpected_identity() {
    let (mut connection, mut rogue) = Rogue::new(config(2));
    let claimed = config(5).node_key();

    rogue.say_hello(&mut connection, &Hello { key: claimed, ..Hello::of(&rogue_config()) });

    let proven = rogue_config().node_key();
    let fault = Fault::UnexpectedIdentity { claimed: Box::new(claimed), proven: Box::new(proven) };
    rogue.assert_ended(&mut connection, fault, Some(DisconnectReason::UnexpectedIdentity));
}

#[test]
fn a_node_that_dials_itself_notices() {
    let mut pair = Pair::new(config(1), config(1));

    pair.settle();

    for connection in [&mut pair.dialer, &mut pair.acceptor] {
        assert_eq!(events(connection), [Event::Closed(Closed::Fault(Fault::ConnectedToSelf))]);
    }
    assert_eq!(Fault::ConnectedToSelf.disconnect_reason(), Some(DisconnectReason::ConnectedToSelf));
}

#[test]
fn a_peer_without_a_shared_capability_is_told_useless() {
    let (mut connection, mut rogue) = Rogue::new(config(2));
    let offered = vec![Capability::new("eth", 68), Capability::new("les", 3), Capability::new("LES", 4)];

    rogue.say_hello(&mut connection, &Hello { capabilities: offered, ..Hello::of(&rogue_config()) });

    let fault = Fault::NoSharedCapability { offered: 3 };
    rogue.assert_ended(&mut connection, fault, Some(DisconnectReason::UselessPeer));
}

#[test]
fn a_code_beyond_all_capabilities_is_refused() {
    for code in [0x28, 0x80, u64::MAX] {
        let (mut connection, mut rogue) = Rogue::connected(config(2));

        rogue.say(&mut connection, code, &[0xc0]);

        rogue.assert_ended(&mut connection, Fault::UnknownCode { code, end: 0x28 }, BREACH);
    }
}

#[test]
fn unknown_codes_of_the_base_protocol_are_ignored_and_counted() {
    let (mut connection, mut rogue) = Rogue::connected(config(2));

    for code in 0x04..0x10 {
        rogue.say_raw(&mut connection, code, b"not even snappy");
    }
    rogue.say(&mut connection, 0x27, b"still here");

    assert_eq!(connection.ignored(), 12);
    assert_eq!(events(&mut connection), [message(23, b"still here")]);
}

#[test]
fn what_is_not_snappy_is_refused() {
    for payload in [&[][..], &[0x05, 0x00], &[0xff; 20], &[0x01, 0x00], &[0x01, 0x00, 1, 2]] {
        let (mut connection, mut rogue) = Rogue::connected(config(2));

        rogue.say_raw(&mut connection, 0x10, payload);

        rogue.assert_ended(&mut connection, Fault::Snappy { code: 0x10 }, BREACH);
    }
}
