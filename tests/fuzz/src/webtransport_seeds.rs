//! The inputs that the corpora of the WebTransport targets begin with: what browsers and go-libp2p send.

use crate::{
    seeds::{Seeds, seed, sized},
    varint::{value, varint},
    webtransport_headers::pack,
};

const CUTS: [u8; 3] = [200, 3, 17];
/// go-libp2p v0.51 and Chromium 156 say all three drafts' settings between them.
const SETTINGS: [(u64, u64); 7] =
    [(0x01, 0), (0x06, 16 << 10), (0x08, 1), (0x33, 1), (0x2b60_3742, 1), (0x14e9_cd29, 1), (0x2c7c_f000, 1)];

fn request(protocol: &str) -> Vec<(String, String)> {
    let path = "/.well-known/libp2p-webtransport?type=noise";
    [
        (":method", "CONNECT"),
        (":protocol", protocol),
        (":scheme", "https"),
        (":authority", "127.0.0.1:4001"),
        (":path", path),
        ("origin", "http://localhost"),
        ("sec-webtransport-http3-draft02", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn settings(settings: &[(u64, u64)]) -> Vec<u8> {
    settings.iter().flat_map(|(id, value)| [varint(*id, 0), varint(*value, 0)].concat()).collect()
}

fn close(code: u32, reason: &str) -> Vec<u8> {
    value(0x2843, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

pub(crate) fn webtransport_headers() -> Seeds {
    let block = pack(&request("webtransport"));
    // As go packs it: from the static table, with Huffman's code.
    let by_table =
        [&[0, 0, 0xcf, 0xd7, 0x50, 0x03][..], b"a:1", b"\x27\x02:protocol\x0cwebtransport", b"\x51\x01/"]
            .concat();
    let huffman = b"\0\0\x2a\x64\x02\x85\xae\xc3\x77\x1a\x4b";
    let capsules = [value(0x78ae, b""), close(7, "bye")].concat();
    let all = settings(&SETTINGS);
    vec![
        seed("request", &[&[0], &block]),
        seed("request-of-go", &[&[0], &pack(&request("webtransport-h3"))]),
        seed("by-table", &[&[0], &by_table]),
        seed("huffman", &[&[0], huffman]),
        seed("twice", &[&[0], &pack(&[request("webtransport"), request("webtransport")].concat())]),
        seed("dynamic", &[&[0], &[3, 0x80, 0x11]]),
        seed("64-fields", &[&[0, 0, 0], &[0xd1; 64]]),
        seed("65-fields", &[&[0, 0, 0], &[0xd1; 65]]),
        seed("connect", &[&[1], &CUTS, &value(1, &block), &value(0x21, b"grease"), &value(0, &capsules)]),
        seed("connect-of-parts", &[&[2], &CUTS, &sized(&block), &capsules]),
        seed("data-before-headers", &[&[1], &CUTS, &value(0, &capsules)]),
        seed("headers-too-long", &[&[1], &CUTS, &varint(1, 0), &varint(8193, 0)]),
        seed("control", &[&[3], &CUTS, &value(4, &all), &value(0x0f_0700, b"\0u=3")]),
        seed("control-of-parts", &[&[4], &CUTS, &sized(&all), &value(7, &[0])]),
        seed("settings-twice", &[&[4], &CUTS, &sized(&all), &value(4, &all)]),
        seed("settings-of-http2", &[&[4], &CUTS, &sized(&settings(&[(2, 1)]))]),
        seed("settings-too-long", &[&[4], &CUTS, &sized(&[0x40; 1025])]),
        seed("settings-late", &[&[3], &CUTS, &value(7, &[0]), &value(4, &all)]),
    ]
}

pub(crate) fn webtransport_capsules() -> Seeds {
    let part = |kind: u8, payload: &[u8]| [&[kind][..], &sized(payload)].concat();
    let closing = |reason: &[u8]| part(0, &[&[0, 0, 1, 2], reason].concat());
    vec![
        seed("close", &[&[0], &CUTS, &close(0x102, "bye")]),
        seed(
            "drain-and-close",
            &[&[0], &CUTS, &value(0x190b_4d3d, &[1]), &value(0x78ae, b""), &close(0, "")],
        ),
        seed("longest", &[&[0], &CUTS, &varint(0x41, 3), &varint((1 << 62) - 1, 3), &[7; 100]]),
        seed("parts", &[&[1], &CUTS, &part(200, b"credit"), &part(100, b""), &closing("ä".as_bytes())]),
        seed("longest-reason", &[&[1], &CUTS, &closing(&[b'x'; 1024])]),
        seed("reason-too-long", &[&[1], &CUTS, &part(100, b""), &closing(&[b'x'; 1025])]),
        seed("no-code", &[&[1], &CUTS, &part(0, &[1, 2, 3])]),
        seed("no-text", &[&[1], &CUTS, &closing(&[0xff])]),
        seed("drain-of-something", &[&[1], &CUTS, &part(100, b"x")]),
        seed(
            "others",
            &[&[1], &CUTS, &part(254, &[1; 70]), &part(131, b""), &part(135, b"abc"), &part(100, b"")],
        ),
    ]
}

pub(crate) fn quic_packet() -> Seeds {
    let reset = [0x24, 8, 0x40, 0x41, 0x52, 0x34, 0x40, 3];
    let frame = |kind: u8, numbers: [u8; 5], data: &[u8]| {
        let length = data.len().to_le_bytes()[0];
        [&[kind][..], &numbers, &[length], data].concat()
    };
    let every: Vec<u8> = (2..20)
        .flat_map(|kind| {
            [frame(kind, [3, 4, 5, 6, kind * 11], &[0x24; 9]), frame(0, [9, 8, 7, 200, kind], b"")].concat()
        })
        .collect();
    let ends = |kind: u8| {
        [frame(0, [1, 2, 3, 4, 0], b""), frame(kind, [1, 2, 3, 4, 0], &reset), frame(0, [1, 2, 3, 4, 5], b"")]
            .concat()
    };
    vec![
        seed("reset", &[&[0, 1, 0x0a, 4, 2, 0x24, 0x24], &reset, &[1]]),
        seed("twenty-resets", &[&[0], &reset.repeat(20)]),
        seed("cut", &[&[0], &reset, &reset[..5]]),
        seed("type-in-two-bytes", &[&[0, 0x40, 0x24, 8, 0, 5, 5]]),
        seed("many-ranges", &[&[0, 2, 9, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[0; 40]]),
        seed("every-frame", &[&[1], &every]),
        seed("stream-to-the-end", &[&[1], &ends(20)]),
        seed("datagram-to-the-end", &[&[1], &ends(21)]),
        seed("unknown", &[&[1], &ends(22)]),
        seed("more-reliable-than-there-is", &[&[1], &ends(23)]),
    ]
}
