//! WebSockets of strangers: the request in HTTP, the frames, and what is agreed on inside.

use std::{cell::RefCell, sync::Arc, task::Context};

use causeway_host::fuzzing::{
    Carried, MAX_WEBSOCKET_FRAME, Peer, WebSockets, websocket_frames as frames, websocket_peers as peers,
};
use futures::{AsyncReadExt as _, FutureExt as _, task::noop_waker_ref};

use crate::{
    pieces::Pieces,
    stranger::{Script, Stranger},
};

/// A request that is granted.
pub(crate) const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Bytes that any connection may hold, and for each byte of input: buffers for the request and noise.
const MOST_AT_ALL: u64 = 64 << 10;
const MOST_PER_BYTE: u64 = 8;
/// How often the largest message is held: the last one, until it is read; the next one, and its copy while the
/// place for it doubles.
const MOST_COPIES: u64 = 4;

/// Frames of one input that are near the limit.
const MOST_LARGE: usize = 3;

/// ```text
/// form(1) room(1) cuts(3), then
/// 0: a request and what comes with it   1: what follows a good request
/// 2: frames after a good request: first(1) second(1) claim(1) payload(sized)
/// 3: what is said inside frames, up to who the peer is: parts(sized)
/// ```
/// It ends when the stranger ends, however it is cut and whether or not it reads; memory is held for messages
/// that are taken, not for those that are announced. The payloads that are read are those that were sent, up to
/// the first frame that breaks a rule. Nobody becomes a peer without noise.
pub fn websocket_frames(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let [form, room] = pieces.array();
    // Many read all; some not even the answer to their request.
    let room = if room < 128 { usize::MAX } else { usize::from(room - 128) * 4 };
    let mut script = Script::new(pieces.array(), room);
    script.before = REQUEST.to_vec();
    match form % 4 {
        0 => {
            script.before = pieces.rest().to_vec();
            read(script, MAX_WEBSOCKET_FRAME, None);
        }
        1 => {
            script.after = pieces.rest().to_vec();
            read(script, MAX_WEBSOCKET_FRAME, None);
        }
        2 => {
            let mut model = Model::default();
            while !pieces.is_empty() {
                model.frame(&mut pieces, &mut script.after);
            }
            read(script, model.largest, Some(&model));
        }
        _ => {
            while !pieces.is_empty() {
                binary(pieces.sized(), &mut script.after);
            }
            identify(script);
        }
    }
}

/// What a listener for frames makes of the script.
fn read(script: Script, largest: usize, model: Option<&Model>) {
    thread_local! {
        static LISTENER: RefCell<WebSockets<Stranger, Carried>> = RefCell::new(frames());
    }
    let script = Arc::new(script);
    let mut progress = Progress::default();
    let cost = allocation_counter::measure(|| {
        let reading = async {
            let accepting = LISTENER.with_borrow_mut(|listener| listener.accept(Stranger::new(&script)));
            let Ok(mut stream) = accepting.await else { return };
            progress.accepted = true;
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                if let Some(model) = model {
                    let sent = model.expected.get(progress.read..progress.read + length);
                    assert_eq!(sent, Some(&buffer[..length]), "read otherwise than sent");
                }
                progress.read += length;
            }
        };
        ends(&script, reading);
    });
    let input = (script.before.len() + script.after.len()) as u64;
    let most = MOST_AT_ALL + MOST_COPIES * largest as u64 + MOST_PER_BYTE * input;
    assert!(cost.bytes_max <= most, "{} bytes held, at most {most}", cost.bytes_max);
    if let (Some(model), false) = (model, script.is_stalled()) {
        assert!(progress.accepted, "a good request is refused");
        assert_eq!(progress.read, model.expected.len(), "less is read than was sent");
    }
}

#[derive(Default)]
struct Progress {
    accepted: bool,
    read: usize,
}

/// What the host's whole stack makes of the script.
fn identify(script: Script) {
    thread_local! {
        static LISTENER: RefCell<WebSockets<Stranger, Peer>> = RefCell::new(peers());
    }
    let script = Arc::new(script);
    let mut peer = None;
    let cost = allocation_counter::measure(|| {
        let accepting = LISTENER.with_borrow_mut(|listener| listener.accept(Stranger::new(&script)));
        ends(&script, async { peer = accepting.await.ok() });
    });
    assert!(peer.is_none(), "somebody is a peer without having shown a key");
    let input = (script.before.len() + script.after.len()) as u64;
    let most = MOST_AT_ALL + MOST_PER_BYTE * input;
    assert!(cost.bytes_max <= most, "{} bytes held, at most {most}", cost.bytes_max);
}

/// Polls as often as the stranger makes it wait, and not once more.
fn ends(script: &Script, task: impl Future<Output = ()>) {
    let mut task = std::pin::pin!(task);
    let mut cx = Context::from_waker(noop_waker_ref());
    let is_over = (0..script.waits()).any(|_| task.poll_unpin(&mut cx).is_ready() || script.is_stalled());
    assert!(is_over, "the stranger is gone and is waited for");
}

/// A masked frame of binary data.
pub(crate) fn binary(payload: &[u8], out: &mut Vec<u8>) {
    header(0x82, 0x80, payload.len() as u64, out);
    mask(payload, out);
}

/// The length takes as many bytes as it needs.
fn header(first: u8, masked: u8, length: u64, out: &mut Vec<u8>) {
    out.push(first);
    match length {
        0..126 => out.push(masked | length.to_le_bytes()[0]),
        126..0x1_0000 => {
            out.push(masked | 126);
            out.extend_from_slice(&length.to_be_bytes()[6..]);
        }
        _ => {
            out.push(masked | 127);
            out.extend(length.to_be_bytes());
        }
    }
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn mask(payload: &[u8], out: &mut Vec<u8>) {
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// What RFC 6455 makes of frames; unmasked ones are let pass, and a text may be anything.
#[derive(Debug, Default)]
struct Model {
    /// The payloads of whole messages.
    expected: Vec<u8>,
    /// The largest message that is announced and not refused.
    largest: usize,
    /// What there is of the present one.
    message: Option<Vec<u8>>,
    is_over: bool,
    large: usize,
}

const CONTINUE: u8 = 0;
const CLOSE: u8 = 8;
const PONG: u8 = 10;

impl Model {
    /// Adds a frame to `out`.
    fn frame(&mut self, pieces: &mut Pieces<'_>, out: &mut Vec<u8>) {
        let [first, second, claim] = pieces.array();
        let payload = pieces.sized();
        // Rules about reserved bits are broken only now and then.
        let first = if first & 0x70 == 0x70 { first } else { first & 0x8f };
        let masked = second & 0x80;
        let (payload, length) = match claim {
            0..200 => (payload.to_vec(), payload.len() as u64),
            // As long as it says, and near the limit.
            200..230 if self.large < MOST_LARGE => {
                self.large += 1;
                let length = MAX_WEBSOCKET_FRAME + 8 - usize::from(claim - 200);
                (vec![claim; length], length as u64)
            }
            200..250 => (payload.to_vec(), 1 << (claim % 64)),
            _ => (payload.to_vec(), u64::MAX >> (claim % 8)),
        };
        self.judge(first, &payload, length);
        header(first, masked, length, out);
        if masked != 0 {
            mask(&payload, out);
        } else {
            out.extend(payload);
        }
    }

    fn judge(&mut self, first: u8, payload: &[u8], length: u64) {
        if self.is_over {
            return;
        }
        let (is_last, code) = (first & 0x80 != 0, first & 0x0f);
        let is_control = code & 8 != 0;
        let reserved = first & 0x70 != 0 || matches!(code, 3..=7 | 11..);
        let too_long = length > if is_control { 125 } else { MAX_WEBSOCKET_FRAME as u64 };
        let cut = payload.len() as u64 != length;
        if reserved || too_long || (is_control && (!is_last || cut || code == CLOSE)) {
            self.is_over = true;
            return;
        }
        if is_control {
            // soketto 0.8 forgets the message that a pong comes into: refused if there is anything of it.
            if code == PONG
                && let Some(message) = self.message.take()
            {
                self.is_over = !message.is_empty();
            }
            return;
        }
        let before = self.message.as_ref().map_or(0, Vec::len);
        let whole = before + usize::try_from(length).expect("it was compared");
        if whole > MAX_WEBSOCKET_FRAME {
            self.is_over = true;
            return;
        }
        self.largest = self.largest.max(whole);
        if cut || (code == CONTINUE) != self.message.is_some() {
            self.is_over = true;
            return;
        }
        let mut message = self.message.take().unwrap_or_default();
        message.extend_from_slice(payload);
        if is_last {
            self.expected.extend(message);
        } else {
            self.message = Some(message);
        }
    }
}
