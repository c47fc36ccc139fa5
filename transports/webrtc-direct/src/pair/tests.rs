//! Channels of a server's machine, used and abused by a client in memory.

use super::*;

fn flags(frames: &[Frame]) -> Vec<Flag> {
    frames.iter().filter_map(|frame| frame.flag).collect()
}

fn whole(read: Poll<std::io::Result<Vec<u8>>>) -> Vec<u8> {
    match read {
        Poll::Ready(Ok(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_carries_bytes_both_ways_and_each_side_ends_by_itself() {
    let mut pair = Pair::new(|_| ());
    pair.open(2);
    pair.send(2, &message::data(b"question"));
    pair.send(2, &message::flag(Flag::Fin));
    let key = pair.accept();
    assert_eq!(whole(pair.read(key)), b"question");
    assert_eq!(whole(pair.read(key)), b"", "the end");
    assert!(matches!(pair.write(key, b"answer"), Poll::Ready(Ok(6))));
    pair.channels.end_sending(pair.machine.association(), key).expect("ended");
    assert!(matches!(pair.write(key, b"more"), Poll::Ready(Err(_))));
    pair.soon();

    let frames = pair.received(2);

    let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.payload.to_vec()).collect();
    assert_eq!(bytes, b"answer");
    assert_eq!(flags(&frames), [Flag::FinAck, Flag::Fin]);
    pair.release(key);
    pair.soon();
    assert_eq!(pair.client.finished, [0; 0], "the channel stays until the client confirms");
    pair.send(2, &message::flag(Flag::FinAck));
    pair.soon();
    assert_eq!(pair.client.finished, [0; 0], "who has opened it closes it");
    pair.association().stream(2).expect("a stream").close().expect("reset");
    pair.soon();
    assert_eq!((pair.channels.len(), &pair.client.finished[..]), (0, &[2][..]));
}

#[test]
fn a_number_is_used_again_and_its_old_stream_stays_dead() {
    let mut pair = Pair::new(|_| ());
    pair.open(2);
    let first = pair.accept();
    pair.association().stream(2).expect("a stream").close().expect("reset");
    pair.soon();
    pair.open(2);
    pair.send(2, &message::data(b"new"));
    let second = pair.accept();
    assert!(matches!(pair.read(first), Poll::Ready(Err(_))), "broken off");
    assert!(matches!(pair.write(first, b"old"), Poll::Ready(Err(_))));
    pair.release(first);
    assert_eq!(whole(pair.read(second)), b"new");
    assert!(matches!(pair.write(second, b"x"), Poll::Ready(Ok(1))));
}

#[test]
fn our_streams_have_odd_numbers_and_may_be_refused() {
    let mut pair = Pair::new(|_| ());
    let key = pair.channels.open(pair.machine.association().expect("SCTP is there")).expect("a stream");
    assert!(matches!(pair.write(key, b"hello"), Poll::Ready(Ok(5))));
    pair.soon();
    assert_eq!(pair.received(1)[0].payload, b"hello"[..]);
    pair.send(1, &message::flag(Flag::StopSending));
    pair.soon();
    assert!(matches!(pair.write(key, b"more"), Poll::Ready(Err(_))));
    pair.send(1, &message::flag(Flag::Reset));
    pair.soon();
    assert!(matches!(pair.read(key), Poll::Ready(Err(_))));
}

#[test]
fn the_number_of_the_handshake_is_a_stream_like_others_once_noise_has_left_it() {
    let mut pair = Pair::new(|_| ());
    let noise = pair.channels.open_handshake(pair.machine.association().expect("SCTP is there"));
    pair.association().open_stream(HANDSHAKE, Ppi::Binary).expect("a stream");
    assert!(matches!(pair.write(noise, b"noise"), Poll::Ready(Ok(5))));
    pair.soon();
    pair.release(noise);
    pair.soon();
    assert_eq!(flags(&pair.received(HANDSHAKE)), [Flag::Fin], "no STOP_SENDING");
    pair.send(HANDSHAKE, &message::flag(Flag::FinAck));
    pair.soon();
    pair.open(HANDSHAKE);
    pair.send(HANDSHAKE, &message::data(b"stream"));
    let key = pair.accept();
    assert_eq!(whole(pair.read(key)), b"stream");
}

#[test]
fn a_channel_closes_by_itself_when_nobody_confirms_its_end() {
    let mut pair = Pair::new(|_| ());
    pair.open(2);
    let key = pair.accept();
    pair.release(key);
    pair.run(crate::channels::LINGER - Duration::from_secs(1));
    assert_eq!(flags(&pair.received(2)), [Flag::Fin, Flag::StopSending]);
    assert_eq!(pair.channels.len(), 1);
    pair.run(Duration::from_secs(2));
    assert_eq!((pair.channels.len(), &pair.client.finished[..]), (0, &[2][..]));
}

#[test]
fn a_channel_that_is_never_opened_does_not_stay() {
    let mut pair = Pair::new(|_| ());
    pair.association().open_stream(2, Ppi::Binary).expect("a stream");
    pair.send(2, &message::data(b"hello"));
    pair.soon();
    assert_eq!((pair.channels.accept(), pair.channels.len()), (None, 0));
    assert!(pair.error.is_none());
}

#[test]
fn frames_that_cannot_be_end_their_stream_and_no_other() {
    let mut pair = Pair::new(|_| ());
    pair.open(2);
    let good = pair.accept();
    pair.open(4);
    pair.send(4, &[0xff; 12]);
    let bad = pair.accept();
    assert!(matches!(pair.read(bad), Poll::Ready(Err(_))));
    assert_eq!(flags(&pair.received(4)), [Flag::Reset]);
    pair.send(2, &message::data(b"still here"));
    pair.soon();
    assert_eq!(whole(pair.read(good)), b"still here");
}

/// 64 KiB in one message, four times what the specification allows.
#[test]
fn a_message_that_is_too_long_ends_the_connection_and_is_not_kept() {
    let mut pair = Pair::new(|_| ());
    pair.open(2);
    let key = pair.accept();
    pair.send(2, &vec![7; 4 * MAX_FRAME]);
    pair.soon();
    assert!(matches!(pair.machine.end(), Some(SessionError::Association(_))), "{:?}", pair.machine.end());
    assert!(!matches!(pair.read(key), Poll::Ready(Ok(bytes)) if !bytes.is_empty()));
}

#[test]
fn who_does_not_read_holds_the_sender_back_and_loses_nothing() {
    const TOTAL: usize = 3 << 20;
    let mut pair = Pair::new(|_| ());
    pair.open(2);
    let key = pair.accept();
    let bytes: Vec<u8> = (0..TOTAL).map(|at| (at % 251) as u8).collect();
    for part in bytes.chunks(4_000) {
        pair.send(2, &message::data(part));
    }
    pair.run(Duration::from_secs(5));
    let waiting = pair.association().stream(2).expect("a stream").buffered_amount().expect("a number");
    assert!(waiting > TOTAL - (3 << 20) / 2, "{waiting} bytes wait at the sender");

    let mut read = Vec::new();
    for _ in 0..20_000 {
        match pair.read(key) {
            Poll::Ready(Ok(more)) if !more.is_empty() => read.extend(more),
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => pair.run(Duration::from_millis(20)),
        }
        if read.len() >= TOTAL {
            break;
        }
    }
    let waiting = pair.association().stream(2).map(|stream| stream.buffered_amount());
    let ends = (pair.machine.end(), &pair.error, pair.client.lost);
    assert!(read == bytes, "{} of {TOTAL} bytes, {waiting:?} wait, {ends:?}", read.len());
}

#[test]
fn a_peer_that_does_not_read_holds_us_back() {
    let mut pair = Pair::new(|limits| limits.send_buffer = 100_000);
    pair.open(2);
    let key = pair.accept();
    let mut written = 0;
    while let Poll::Ready(result) = pair.write(key, &[1; 4_000]) {
        written += result.expect("written");
        assert!(written < 120_000, "bounded");
    }
    pair.soon();
    assert!(pair.write(key, &[1; 4_000]).is_ready(), "there is room again");
}

#[test]
fn more_streams_than_allowed_are_reset_and_too_many_end_the_connection() {
    let mut pair = Pair::new(|limits| limits.streams = 4);
    for id in 0..6 {
        pair.open(2 + 2 * id);
    }
    pair.soon();
    assert_eq!(pair.channels.len(), 4);
    assert_eq!(pair.client.finished, [10, 12]);
    assert!(pair.error.is_none());
    for id in 10..400 {
        pair.open(2 * id);
    }
    pair.soon();
    assert!(matches!(pair.error, Some(SessionError::TooManyStreams(4))), "{:?}", pair.error);
}

/// Each takes some hundred bytes of memory and counts as one.
#[test]
fn crumbs_that_nobody_reads_end_the_connection() {
    let mut pair = Pair::new(|limits| limits.receive_buffer = 1_000);
    pair.open(2);
    let _key = pair.accept();
    for _ in 0..30_000 {
        pair.send(2, &message::data(b"x"));
    }
    pair.run(Duration::from_secs(20));
    assert!(matches!(pair.error, Some(SessionError::Crumbs(_))), "{:?}", pair.error);
}

#[test]
fn closing_tells_the_other_side() {
    let mut pair = Pair::new(|_| ());
    pair.machine.close(pair.now, SessionError::ClosedHere);
    let last = pair.machine.take_datagrams();
    assert_eq!(last.len(), 1);
    assert!(matches!(pair.machine.end(), Some(SessionError::ClosedHere)));

    let mut pair = Pair::new(|_| ());
    pair.client.dtls.close().expect("closed");
    let mut out = Vec::new();
    pair.client.drain(pair.now, &mut out);
    for datagram in out {
        pair.machine.handle_datagram(pair.now, &datagram);
    }
    assert!(matches!(pair.machine.end(), Some(SessionError::ClosedByPeer)));
    assert!(!pair.client.lost);
}
