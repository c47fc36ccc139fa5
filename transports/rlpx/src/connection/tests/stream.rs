//! The stream may be cut anywhere, end anywhere, and be anything.

use proptest::{collection::vec, prelude::*};

use super::*;

/// A dialer's whole stream (auth, Hello, messages, Disconnect), and what an acceptor makes of it.
fn recorded() -> (Vec<u8>, Vec<Event>) {
    let mut pair = Pair::new(config(1), config(2));
    pair.settle();
    for (code, payload) in [(0, &b"status"[..]), (2, &[7; 300]), (23, &[])] {
        pair.dialer.send(&les4(), code, payload).expect("connected");
    }
    pair.dialer.close(DisconnectReason::ClientQuitting, pair.now);
    pair.settle();
    let events = events(&mut pair.acceptor);
    assert_eq!(events.len(), 5);
    (pair.recorded, events)
}

/// What an acceptor with the same randomness makes of `stream`, cut into parts of these sizes.
fn heard(stream: &[u8], parts: impl IntoIterator<Item = usize>) -> (Vec<Event>, Connection) {
    let now = Instant::now();
    let mut acceptor = Connection::accept(config(2), Randomness::from_seed([2; 32]), Arc::default(), now);
    let mut rest = stream;
    for part in parts {
        let (part, after) = rest.split_at(part.min(rest.len()));
        acceptor.handle_input(part, now);
        rest = after;
    }
    acceptor.handle_input(rest, now);
    (events(&mut acceptor), acceptor)
}

#[test]
fn a_stream_cut_into_single_bytes_says_the_same() {
    let (stream, events) = recorded();

    assert_eq!(heard(&stream, std::iter::repeat_n(1, stream.len())).0, events);
}

#[test]
fn a_stream_that_ends_anywhere_says_the_beginning_of_the_same() {
    let (stream, events) = recorded();
    for length in 0..stream.len() {
        let (begun, mut acceptor) = heard(&stream[..length], []);
        assert!(events.starts_with(&begun), "{length} bytes: {begun:?}");
        assert!(begun.len() < events.len());

        acceptor.handle_end(Instant::now());

        assert_eq!(super::events(&mut acceptor), [Event::Closed(Closed::Ended)]);
    }
}

#[test]
fn no_altered_byte_gives_another_message() {
    let (stream, events) = recorded();
    for index in 0..stream.len() {
        let mut altered = stream.clone();
        altered[index] ^= 1 << (index % 8);

        let (begun, _) = heard(&altered, []);

        let mut told = begun.clone();
        told.retain(|event| !matches!(event, Event::Closed(_)));
        assert!(events.starts_with(&told), "byte {index}: {told:?}");
        assert_ne!(begun, events, "byte {index} altered, and nobody minded");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stream_cut_anywhere_says_the_same(parts in vec(0_usize..200, 0..40)) {
        let (stream, events) = recorded();
        prop_assert_eq!(heard(&stream, parts).0, events);
    }

    #[test]
    fn messages_cross_whatever_they_are_and_however_they_are_cut(
        messages in vec((0_u64..24, vec(any::<u8>(), 0..400)), 0..8),
        cut in 1_usize..700,
    ) {
        let mut pair = Pair::connected();
        for (code, payload) in &messages {
            pair.dialer.send(&les4(), *code, payload).expect("connected");
        }
        for part in sent(&mut pair.dialer).chunks(cut) {
            pair.acceptor.handle_input(part, pair.now);
        }
        let expected: Vec<Event> = messages.iter().map(|(code, payload)| message(*code, payload)).collect();
        prop_assert_eq!(events(&mut pair.acceptor), expected);
    }

    #[test]
    fn no_first_bytes_make_a_node_panic_or_believe_them(input in vec(any::<u8>(), 0..2500), first: Option<bool>) {
        let mut input = input;
        match (first, &mut input[..]) {
            (Some(true), [first, ..]) => *first = 4,
            (Some(false), [high, low, ..]) => (*high, *low) = (1, 0xb3),
            _ => {}
        }
        let now = Instant::now();
        let random = Randomness::from_seed([1; 32]);
        let mut dialer = Connection::dial(config(1), config(2).node_key(), random, now);
        dialer.handle_input(&input, now);
        let (heard, acceptor) = heard(&input, [1, 2, 3]);
        prop_assert!(acceptor.buffered() <= input.len());
        for event in heard.into_iter().chain(events(&mut dialer)) {
            prop_assert!(matches!(event, Event::Closed(Closed::Fault(Fault::Handshake(_)))));
        }
    }

    #[test]
    fn no_bytes_without_keys_are_taken_for_a_frame(input in vec(any::<u8>(), 32..2500)) {
        let mut pair = Pair::connected();
        pair.acceptor.handle_input(&input, pair.now);
        prop_assert_eq!(events(&mut pair.acceptor), [Event::Closed(Closed::Fault(Fault::HeaderMac))]);
    }

    #[test]
    fn nothing_that_a_peer_with_keys_says_makes_us_panic(
        said in vec((prop_oneof![0_u64..0x30, any::<u64>()], vec(any::<u8>(), 0..100), any::<bool>()), 0..20),
        hello: bool,
    ) {
        let (mut connection, mut rogue) =
            if hello { Rogue::connected(config(2)) } else { Rogue::new(config(2)) };
        for (code, payload, raw) in said {
            if raw {
                rogue.say_raw(&mut connection, code, &payload);
            } else {
                rogue.say(&mut connection, code, &payload);
            }
        }
        let events = events(&mut connection);
        let closed = events.iter().position(|event| matches!(event, Event::Closed(_)));
        prop_assert!(closed.is_none_or(|at| at + 1 == events.len()));
    }

    #[test]
    fn nothing_that_a_frame_holds_makes_us_panic(data in vec(any::<u8>(), 0..200), hello: bool) {
        let (mut connection, _) = if hello { Rogue::connected(config(2)) } else { Rogue::new(config(2)) };
        connection.handle_opened_for_test(&data, Instant::now());
        prop_assert!(events(&mut connection).len() <= 1);
    }

    #[test]
    fn no_frame_header_of_a_peer_with_keys_makes_us_panic(header: [u8; 16], hello: bool) {
        let (mut connection, mut rogue) =
            if hello { Rogue::connected(config(2)) } else { Rogue::new(config(2)) };
        let head = rogue.link.sealer.seal_raw(header, None);
        connection.handle_input(&head, Instant::now());
        prop_assert!(events(&mut connection).len() <= 1);
    }
}
