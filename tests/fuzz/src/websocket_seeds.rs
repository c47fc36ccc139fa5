//! The inputs that the corpus of `websocket_frames` begins with.

use crate::{
    seeds::{Seeds, seed, sized},
    websocket_frames::REQUEST,
};

/// Reads everything; pieces of up to 4 kB.
const HOW: [u8; 4] = [0, 255, 255, 255];

pub(crate) fn websocket_frames() -> Seeds {
    let frame = |first: u8, claim: u8, payload: &[u8]| [&[first, 0x80, claim][..], &sized(payload)].concat();
    let request = |change: fn(String) -> String| {
        let text = String::from_utf8(REQUEST.to_vec()).expect("text");
        [&[0][..], &HOW, change(text).as_bytes()].concat()
    };
    let story = |frames: &[Vec<u8>]| [&[2][..], &HOW, &frames.concat()].concat();
    let inside = |parts: &[&[u8]]| {
        let parts: Vec<u8> = parts.iter().flat_map(|part| sized(part)).collect();
        [&[3][..], &HOW, &parts].concat()
    };
    let select = b"\x13/multistream/1.0.0\n";
    let announced =
        |length: u64| [&[1][..], &HOW, &[0x82, 0xff], &length.to_be_bytes(), &[1, 2, 3, 4, 5]].concat();
    let seeds: Vec<(&str, Vec<u8>)> = vec![
        ("request", request(|text| text)),
        ("request-in-small-pieces", [&[0, 0, 0, 0, 0][..], REQUEST].concat()),
        ("request-that-does-not-read", [&[0, 128, 9, 9, 9][..], REQUEST].concat()),
        ("request-without-its-end", request(|text| text.trim_end().to_owned())),
        ("request-of-http-1.0", request(|text| text.replace("1.1", "1.0"))),
        (
            "request-with-extensions",
            request(|text| {
                text.replace(
                    "Host: a",
                    "Host: a\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
                )
            }),
        ),
        (
            "request-with-many-headers",
            request(|text| text.replace("Host: a", &format!("Host: a{}", "\r\nA: b".repeat(40)))),
        ),
        ("request-of-9-kb", request(|text| text.replace("Host: a", &format!("Host: {}", "a".repeat(9000))))),
        ("request-and-frames-at-once", request(|text| text + "\u{2}\u{1}x")),
        ("announces-256-mib", announced(256 << 20)),
        ("announces-2-to-the-63", announced(1 << 63)),
        ("announces-the-largest", announced(1 << 20)),
        ("announces-one-more", announced((1 << 20) + 1)),
        (
            "messages",
            story(&[
                frame(0x82, 0, b"one"),
                frame(0x81, 0, b"two"),
                frame(0x82, 0, b""),
                frame(0x82, 0, &[7; 300]),
            ]),
        ),
        (
            "fragments",
            story(&[
                frame(0x02, 0, b"be"),
                frame(0x89, 0, b"ping"),
                frame(0x00, 0, b"tw"),
                frame(0x80, 0, b"een"),
            ]),
        ),
        (
            "pings-and-the-end",
            story(&[
                frame(0x89, 0, b"a"),
                frame(0x8a, 0, b"b"),
                frame(0x88, 0, &[3, 0xe8]),
                frame(0x82, 0, b"late"),
            ]),
        ),
        (
            "pings-that-nobody-reads",
            [&[2, 170, 255, 255, 255][..], &frame(0x89, 0, &[b'p'; 125]).repeat(20)].concat(),
        ),
        ("largest-messages", story(&[frame(0x82, 208, b""), frame(0x82, 209, b""), frame(0x82, 207, b"")])),
        (
            "fragments-that-become-too-long",
            story(&[frame(0x02, 208, b""), frame(0x00, 0, b"x"), frame(0x80, 0, b"")]),
        ),
        ("no-start", story(&[frame(0x80, 0, b"x")])),
        ("two-starts", story(&[frame(0x02, 0, b"x"), frame(0x02, 0, b"y")])),
        ("claims", story(&[frame(0x82, 0, b"x"), frame(0x82, 255, b"y")])),
        (
            "less-than-it-claims",
            story(&[frame(0x82, 0, b"x"), frame(0x82, 211, b""), frame(0x82, 246, b"y")]),
        ),
        ("not-masked", [&[2][..], &HOW, &[0x82, 0, 0], &sized(b"plain")].concat()),
        ("reserved", story(&[frame(0x82, 0, b"x"), frame(0xf2, 0, b"y")])),
        ("noise", inside(&[select, b"\x07/noise\n", &[&[0, 32][..], &[9; 32]].concat()])),
        (
            "noise-of-zeroes",
            inside(&[select, b"\x07/noise\n", &[&[0, 32][..], &[0; 32], &[0, 200], &[1; 200]].concat()]),
        ),
        ("tls-inside", inside(&[select, b"\x0b/tls/1.0.0\n", b"\x03ls\n"])),
        ("no-multistream", inside(&[b"GET / HTTP/1.1\r\n\r\n"])),
        ("select-in-pieces", inside(&[&select[..5], &select[5..], b"\x07/no", b"ise\n", &[0xff, 0xff]])),
    ];
    seeds.into_iter().map(|(name, bytes)| seed(name, &[&bytes])).collect()
}
