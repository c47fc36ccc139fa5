//! Every length and count that a peer can choose meets its limit.

use super::*;

const BREACH: Option<DisconnectReason> = Some(DisconnectReason::BreachOfProtocol);
const REFUSED: Option<DisconnectReason> = Some(DisconnectReason::SubprotocolError);

#[test]
fn a_frame_over_the_limit_is_refused_by_its_header() {
    let limit = snappy::packed_limit(MessageLimits::DEFAULT) + frame::CODE;
    for size in [limit + 1, MAX_SIZE] {
        let (mut connection, mut rogue) = Rogue::connected(config(2));
        let head = rogue.head_of(size);

        connection.handle_input(&head, Instant::now());

        rogue.assert_ended(&mut connection, Fault::FrameTooLarge { size, limit }, BREACH);
    }
}

#[test]
fn the_first_frame_is_at_most_2_kib() {
    let (mut connection, mut rogue) = Rogue::new(config(2));
    let head = rogue.head_of(2049);

    connection.handle_input(&head, Instant::now());

    rogue.assert_ended(&mut connection, Fault::FrameTooLarge { size: 2049, limit: 2048 }, BREACH);
}

#[test]
fn a_frame_takes_memory_as_it_comes_and_not_as_it_is_announced() {
    let (mut connection, mut rogue) = Rogue::connected(config(2));
    let head = rogue.head_of(10 * 1024 * 1024);
    connection.handle_input(&head, Instant::now());
    assert_eq!(connection.buffered(), 0);

    connection.handle_input(&[0; 5000], Instant::now());

    assert_eq!(connection.buffered(), 5000);
    assert!(reserved(&connection) <= 16 * 1024);
}

#[test]
fn the_buffer_of_a_large_frame_is_not_kept() {
    let (mut connection, mut rogue) = Rogue::connected(config(2));

    rogue.say(&mut connection, 0x10, &noise(1_000_000));

    assert_eq!(events(&mut connection).len(), 1);
    assert!(reserved(&connection) <= 64 * 1024);
}

#[test]
fn a_message_that_claims_more_than_its_limit_is_not_decompressed() {
    for claim in [[0x81, 0x80, 0x80, 0x05], [0xff, 0xff, 0xff, 0x07]] {
        let (mut connection, mut rogue) = Rogue::connected(config(2));
        let size = claim.iter().rev().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
        assert!(size > MessageLimits::DEFAULT);

        rogue.say_raw(&mut connection, 0x12, &claim);

        let fault = Fault::MessageTooLarge { code: 0x12, size, limit: MessageLimits::DEFAULT };
        rogue.assert_ended(&mut connection, fault, REFUSED);
    }
}

#[test]
fn a_bomb_is_refused_however_well_it_compresses() {
    let bomb = vec![0; MessageLimits::DEFAULT + 1];
    let (mut connection, mut rogue) = Rogue::connected(config(2));

    rogue.say(&mut connection, 0x12, &bomb);

    let fault = Fault::MessageTooLarge { code: 0x12, size: bomb.len(), limit: MessageLimits::DEFAULT };
    rogue.assert_ended(&mut connection, fault, REFUSED);
}

#[test]
fn each_code_has_its_own_limit() {
    let server = config_with(2, |config| {
        config.message_limits = MessageLimits { default: 3000, by_code: vec![("les", 0x13, 5000)] };
    });
    let (mut connection, mut rogue) = Rogue::connected(server.clone());
    rogue.say(&mut connection, 0x12, &[7; 3000]);
    rogue.say(&mut connection, 0x23, &[7; 5000]);
    assert_eq!(events(&mut connection), [message(2, &[7; 3000]), message(0x13, &[7; 5000])]);

    rogue.say(&mut connection, 0x12, &[7; 3001]);
    rogue.assert_ended(
        &mut connection,
        Fault::MessageTooLarge { code: 0x12, size: 3001, limit: 3000 },
        REFUSED,
    );

    let (mut connection, mut rogue) = Rogue::connected(server);
    let limit = snappy::packed_limit(5000) + frame::CODE;
    let head = rogue.head_of(limit + 1);
    connection.handle_input(&head, Instant::now());
    rogue.assert_ended(&mut connection, Fault::FrameTooLarge { size: limit + 1, limit }, BREACH);
}

#[test]
fn limits_hold_without_snappy_too() {
    let server = config_with(2, |config| config.message_limits.default = 3000);
    let (mut connection, mut rogue) = Rogue::new(server);
    let hello = Hello { version: 4, ..Hello::of(&rogue_config()) };
    rogue.say(&mut connection, code::HELLO, &hello.encode());
    rogue.say(&mut connection, 0x12, &[7; 3000]);
    assert_eq!(events(&mut connection).len(), 2);

    rogue.say(&mut connection, 0x12, &[7; 3001]);

    let fault = Fault::MessageTooLarge { code: 0x12, size: 3001, limit: 3000 };
    rogue.assert_ended(&mut connection, fault, REFUSED);
}

#[test]
fn messages_of_the_base_protocol_are_at_most_2_kib() {
    for code in [code::PONG, 0x0f] {
        let (mut connection, mut rogue) = Rogue::connected(config(2));
        rogue.say_raw(&mut connection, code, &[0; 2048]);
        assert_eq!(connection.poll_event(), None);

        rogue.say_raw(&mut connection, code, &[0; 2049]);

        rogue.assert_ended(&mut connection, Fault::MessageTooLarge { code, size: 2049, limit: 2048 }, BREACH);
    }
}

#[test]
fn a_flood_of_base_messages_ends_the_connection() {
    for code in [code::PING, code::PONG, 0x0f] {
        let (mut connection, mut rogue) = Rogue::connected(config(2));
        let frames: Vec<u8> = (0..1000).flat_map(|_| rogue.sealed(code, &[0xc0])).collect();

        connection.handle_input(&frames, Instant::now());

        assert_eq!(events(&mut connection), [Event::Closed(Closed::Fault(Fault::Flood))]);
        assert!(connection.unsent() <= 40 * 64, "{} bytes of pongs", connection.unsent());
    }
}

#[test]
fn a_peer_that_drips_a_frame_is_as_good_as_silent() {
    let (mut connection, mut rogue) = Rogue::connected(config(2));
    let start = Instant::now();
    let head = rogue.head_of(1000);
    connection.handle_input(&head, start);
    for seconds in 1..=46 {
        connection.handle_input(&[0], start + seconds * SECOND);
        connection.handle_timeout(start + seconds * SECOND);
    }

    assert_eq!(events(&mut connection), [Event::Closed(Closed::Timeout(Timeout::Silence))]);
    assert_eq!(connection.buffered(), 0);
}

#[test]
fn times_are_those_of_the_configuration() {
    let quick = config_with(2, |config| {
        config.timeouts = Timeouts { ping: SECOND, silence: 3 * SECOND, ..Timeouts::default() };
    });
    let (mut connection, _rogue) = Rogue::connected(quick);

    let due = connection.poll_timeout().expect("open");
    assert!(due <= Instant::now() + SECOND);
    connection.handle_timeout(due + SECOND);
    connection.handle_timeout(due + 2 * SECOND);

    assert_eq!(events(&mut connection), [Event::Closed(Closed::Timeout(Timeout::Silence))]);
}

#[test]
fn a_handshake_packet_is_bounded() {
    let now = Instant::now();
    let mut acceptor = Connection::accept(config(2), Randomness::from_seed([2; 32]), Arc::default(), now);
    let mut dialer = Connection::dial(config(1), config(2).node_key(), Randomness::from_seed([1; 32]), now);
    let mut packet = vec![0; 2049];
    packet[..2].copy_from_slice(&2048_u16.to_be_bytes());
    for connection in [&mut acceptor, &mut dialer] {
        connection.handle_input(&packet, now);
        assert_eq!(connection.buffered(), 2049);
    }

    let size = HandshakeError::Size { size: 2049, min: 113, max: 2048 };
    let mut acceptor = Connection::accept(config(2), Randomness::from_seed([2; 32]), Arc::default(), now);
    acceptor.handle_input(&2049_u16.to_be_bytes(), now);
    assert_eq!(events(&mut acceptor), [Event::Closed(Closed::Fault(size.into()))]);
}

fn reserved(connection: &Connection) -> usize {
    match &connection.stage {
        Stage::Open(open) => open.link.opener.reserved(),
        _ => panic!("not open"),
    }
}
