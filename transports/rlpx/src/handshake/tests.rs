//! The published packets of EIP-8 and what follows from them, and packets that nobody should take.

use alloy_primitives::{B256, keccak256};
use bytes::BytesMut;

use super::*;
use crate::{
    Fault,
    frame::{Packing, read_code},
    hello::Hello,
};

macro_rules! vector {
    ($name:literal) => {
        unhex(include_str!(concat!("../../tests/vectors/", $name, ".hex")))
    };
}

#[test]
fn node_keys_and_ids_are_those_of_the_reference() {
    let config_a = config(STATIC_A);
    let config_b = config(STATIC_B);

    assert_eq!(config_a.node_key().to_string(), PUBLIC_A);
    assert_eq!(config_b.node_key().to_string(), PUBLIC_B);
    assert_eq!(ecies::node_key(&key(EPHEMERAL_B).public_key()).to_string(), EPHEMERAL_PUBLIC_B);
    assert_eq!(
        config_a.node_key().node_id(),
        B256::from(bytes("6469cc2093f39e9117071e660d3ab14bbad3d99f4203bd7a11acb94882050e7e"))
    );
    assert_eq!(
        config_b.node_key().node_id(),
        B256::from(bytes("a448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7"))
    );
}

#[test]
fn the_static_keys_share_the_published_x_and_sign_the_published_digest() {
    let token = ecies::shared_x(&key(STATIC_A), &key(STATIC_B).public_key());
    assert_eq!(hex::encode(token), "2d21423c1dc3355da36e7f2c2b530eeffcf0680f93201a958b2ec3a7d04958e6");

    let digest = xor(&token, &bytes(NONCE_A));
    assert_eq!(hex::encode(digest), "53b7c9860e75f0538f22a8de6a9f038b2d5c4dc866b53767ba82a98c0ac7bd30");

    let signature: [u8; 65] = bytes(SIGNATURE_A);
    assert_eq!(recover(&signature, digest), Ok(key(EPHEMERAL_A).public_key()));
}

#[test]
fn every_published_auth_says_the_same() {
    let opened = |auth: &[u8]| open_prefixed(&key(STATIC_B), auth).and_then(|body| Auth::of_body(&body));
    let plain = ecies::open(&key(STATIC_B), &vector!("auth-1"), &[]).expect("sealed for B");
    let auths = [
        Auth::of_plain(&plain).expect("the plain form"),
        opened(&vector!("auth-2")).expect("the form of EIP-8"),
        opened(&vector!("auth-3")).expect("with items of the future"),
    ];

    let token = ecies::shared_x(&key(STATIC_B), &key(STATIC_A).public_key());
    for auth in auths {
        assert_eq!(auth.key.to_string(), PUBLIC_A);
        assert_eq!(hex::encode(auth.nonce), NONCE_A);
        let ephemeral = recover(&auth.signature, xor(&token, &auth.nonce));
        assert_eq!(ephemeral, Ok(key(EPHEMERAL_A).public_key()));
    }
}

#[test]
fn our_own_auth_is_signed_by_our_ephemeral_key() {
    // Not the published signature: that one was made with a nonce that is not RFC 6979's.
    let dialing = dial();
    let body = open_prefixed(&key(STATIC_B), dialing.auth()).expect("sealed for B");
    let auth = Auth::of_body(&body).expect("an auth");

    assert_eq!(hex::encode(auth.nonce), NONCE_A);
    assert_eq!(auth.key.to_string(), PUBLIC_A);
    let digest = bytes("53b7c9860e75f0538f22a8de6a9f038b2d5c4dc866b53767ba82a98c0ac7bd30");
    assert_eq!(recover(&auth.signature, digest), Ok(key(EPHEMERAL_A).public_key()));
}

#[test]
fn every_published_ack_finishes_the_handshake() {
    for ack in [vector!("ack-2"), vector!("ack-3")] {
        let mut dialing = dial();
        let mut input = &ack[..];

        assert_eq!(dialing.read(&mut input), Ok(true));
        assert!(input.is_empty());
        assert_eq!(dialing.finish().expect("keys").peer.to_string(), PUBLIC_B);
    }
}

#[test]
fn an_old_auth_is_answered_with_an_old_ack() {
    let (_, ack) = accept(&vector!("auth-1")).expect("the plain form is taken");
    assert_eq!(ack.len(), 210);

    for ack in [ack, vector!("ack-1")] {
        let message = ecies::open(&key(STATIC_A), &ack, &[]).expect("sealed for A");
        assert_eq!(hex::encode(&message[..64]), EPHEMERAL_PUBLIC_B);
        assert_eq!(hex::encode(&message[64..96]), NONCE_B);
        assert_eq!(message[96..], [0]);
    }
}

#[test]
fn an_old_initiator_and_we_agree_on_keys() {
    let auth = vector!("auth-1");
    let (mut ours, ack) = accept(&auth).expect("the plain form is taken");
    let exchange = Exchange {
        ephemeral: ecies::shared_x(&key(EPHEMERAL_A), &key(EPHEMERAL_B).public_key()),
        initiator_nonce: bytes(NONCE_A),
        recipient_nonce: bytes(NONCE_B),
        auth: &auth,
        ack: &ack,
    };
    let mut theirs = Keyed::new(config(STATIC_B).node_key(), &exchange, Role::Initiator);

    assert_eq!(said(&mut theirs, &mut ours, 0x12, b"light"), Ok((0x12, b"light".to_vec())));
    assert_eq!(said(&mut ours, &mut theirs, 0x13, b"house"), Ok((0x13, b"house".to_vec())));
}

#[test]
fn secrets_are_those_of_the_reference() {
    let (auth, ack) = (vector!("auth-2"), vector!("ack-2"));
    let exchange = published_exchange(&auth, &ack);
    assert_eq!(
        hex::encode(exchange.ephemeral),
        "1a08ef840fa6b55e5b2630351aa45804cc16b48e526b64e6ee667b224967ef24"
    );

    let a = Secrets::derive(&exchange, Role::Initiator);
    let b = Secrets::derive(&exchange, Role::Recipient);

    for secrets in [&a, &b] {
        assert_eq!(
            hex::encode(secrets.aes),
            "80e8632c05fed6fc2a13b0f8d31a3cf645366239170ea067065aba8e28bac487"
        );
        assert_eq!(
            hex::encode(secrets.mac),
            "2ea74ec5dae199227dff1af715362700e989d889d7a493cb0639691efb8e5f98"
        );
    }
    let from_a = "1876ff58fc175e0a177afd2044d57eff497080dc0386a382aa44d9eb2f182aab";
    let from_b = "7a076efd50d3771655f22190654053ba82f6f47f3123be6a4ba61df58845abc6";
    assert_eq!(hex::encode(a.egress.digest_after(b"")), from_a);
    assert_eq!(hex::encode(b.ingress.digest_after(b"")), from_a);
    assert_eq!(hex::encode(b.egress.digest_after(b"")), from_b);
    assert_eq!(hex::encode(a.ingress.digest_after(b"")), from_b);
    assert_eq!(
        hex::encode(b.ingress.digest_after(b"foo")),
        "0c7ec6340062cc46f5e9f1e3cf86f8c8c403c5a0964f5df0ebd34a75ddc86db5"
    );
}

#[test]
fn the_first_frames_are_those_of_the_reference() {
    let (mut a, mut b) = published_keys();
    let hello = vector!("hello");

    let mut frame = BytesMut::new();
    a.sealer.seal(0, &hello, &mut Packing::Plain, &mut frame);
    assert_eq!(frame, vector!("frame-hello"));
    let mut ping = BytesMut::new();
    a.sealer.seal(2, &[0xc0], &mut Packing::snappy(), &mut ping);
    assert_eq!(ping, vector!("frame-ping"));

    frame.unsplit(ping);
    let mut input = &frame[..];
    assert_eq!(heard(&mut b, &mut input), Ok((0, hello)));
    assert_eq!(heard(&mut b, &mut input), Ok((2, vec![1, 0, 0xc0])));
    assert!(input.is_empty());
}

#[test]
fn a_refusal_instead_of_hello_is_that_of_the_reference() {
    let (mut a, mut b) = published_keys();

    let mut frame = BytesMut::new();
    b.sealer.seal(1, &[0xc1, 0x04], &mut Packing::Plain, &mut frame);

    assert_eq!(frame, vector!("frame-disconnect"));
    assert_eq!(heard(&mut a, &mut &frame[..]), Ok((1, vec![0xc1, 0x04])));
}

#[test]
fn the_reference_hello_is_what_we_would_write() {
    let hello = Hello::decode(&vector!("hello")).expect("the reference's Hello");

    assert_eq!(hello.encode(), vector!("hello"));
}

#[test]
fn a_packet_for_another_key_is_refused_in_every_form() {
    for auth in [vector!("auth-1"), vector!("auth-2"), vector!("auth-3")] {
        let outcome = accepting_with(STATIC_A, &SeenAuths::default().into(), &auth);
        assert_eq!(outcome.err(), Some(HandshakeError::Sealed));
    }
}

#[test]
fn a_replayed_auth_is_refused_even_in_another_form() {
    let seen = Arc::new(SeenAuths::default());
    let accept = |auth: &[u8]| accepting_with(STATIC_B, &seen, auth).map(|_| ());
    // The published packets are the same signature and nonce in three forms.
    assert_eq!(accept(&vector!("auth-2")), Ok(()));

    for auth in [vector!("auth-1"), vector!("auth-2"), vector!("auth-3")] {
        assert_eq!(accept(&auth), Err(HandshakeError::Replayed));
    }
}

#[test]
fn sizes_are_checked_before_anything_is_awaited_or_computed() {
    for size in [0_u16, 1, 112, 2049, 0x0a00, u16::MAX] {
        let prefix = size.to_be_bytes();
        let refused = Err(HandshakeError::Size { size: size.into(), min: 113, max: 2048 });
        assert_eq!(dial().read(&mut &prefix[..]), refused);
        if prefix[0] != 4 {
            assert_eq!(accepting(STATIC_B).read(&mut &prefix[..]), refused);
        }
    }
}

#[test]
fn a_new_auth_whose_size_begins_like_an_old_one_is_taken() {
    for padding in [1024, 1279] {
        let body = {
            let own = open_prefixed(&key(STATIC_B), dial().auth()).expect("sealed for B");
            let mut body = own;
            body.resize(padding - ecies::OVERHEAD, 0);
            body
        };
        let prefix = (padding as u16).to_be_bytes();
        assert_eq!(prefix[0], 4);
        let mut auth = prefix.to_vec();
        let recipient = key(STATIC_B).public_key();
        ecies::seal(&recipient, &key(EPHEMERAL_A), &[9; 16], &body, &prefix, &mut auth);

        let (keyed, ack) = accept(&auth).expect("an auth of EIP-8");

        assert_eq!(keyed.peer.to_string(), PUBLIC_A);
        assert_ne!(ack.len(), 210);
    }
}

#[test]
fn every_cut_of_a_packet_gives_the_same_keys() {
    for auth in [vector!("auth-1"), vector!("auth-2")] {
        for cut in 1..auth.len() {
            let mut accepting = accepting(STATIC_B);
            let (mut first, mut second) = auth.split_at(cut);
            assert_eq!(accepting.read(&mut first), Ok(false));
            assert_eq!(accepting.buffered(), cut);
            assert_eq!(accepting.read(&mut second), Ok(true));
            assert!(first.is_empty() && second.is_empty());
            assert_eq!(accepting.auth, auth);
        }
    }
}

#[test]
fn no_altered_packet_is_taken() {
    for auth in [vector!("auth-1"), vector!("auth-2")] {
        for index in 0..auth.len() {
            let mut altered = auth.clone();
            altered[index] ^= 1;
            // A larger prefix waits for more; all else is refused.
            let outcome = accept(&altered);
            assert!(outcome.is_err(), "byte {index} altered, and nobody minded");
        }
    }
}

#[test]
fn what_is_sealed_must_be_the_list_that_it_should_be() {
    let long: Vec<u8> = [&[0xf8, 0xff][..], &[0xc0; 255]].concat();
    let deep = vec![0xc1; 200];
    let bodies: [&[u8]; 6] = [&[], &[0xc0], &[0x80], &[0xf9, 0xff], &long, &deep];
    for body in bodies {
        let prefix = ((body.len() + ecies::OVERHEAD) as u16).to_be_bytes();
        let sealed = |recipient: &str| {
            let mut packet = prefix.to_vec();
            let recipient = key(recipient).public_key();
            ecies::seal(&recipient, &key(EPHEMERAL_A), &[9; 16], body, &prefix, &mut packet);
            packet
        };

        assert_eq!(accept(&sealed(STATIC_B)).err(), Some(HandshakeError::Malformed));

        let mut dialing = dial();
        assert_eq!(dialing.read(&mut &sealed(STATIC_A)[..]), Ok(true));
        assert_eq!(dialing.finish().err(), Some(HandshakeError::Malformed));
    }
}

#[test]
fn keys_off_the_curve_are_refused_before_they_are_multiplied() {
    let nobody = NodeKey(B512::repeat_byte(0xff));
    let refused = Dialing::new(&config(STATIC_A), nobody, &random(EPHEMERAL_A, NONCE_A)).err();
    assert_eq!(refused, Some(HandshakeError::Point { what: "key of the dialed node" }));

    let mut ack = vector!("ack-2");
    ack[3] ^= 1;
    let mut dialing = dial();
    assert_eq!(dialing.read(&mut &ack[..]), Ok(true));
    assert_eq!(dialing.finish().err(), Some(HandshakeError::Point { what: "sealing key" }));
}

#[test]
fn an_isolated_frame_encrypts_as_in_go_ethereum() {
    // go-ethereum p2p/rlpx/rlpx_test.go: both keys keccak(""); its MACs come from a fake hash, so
    // only the encrypted parts can be compared.
    let secret = keccak256([]).0;
    let mut sealer = Sealer::new(&secret, crate::mac::Mac::new(&secret, &[0; 32], &[]));
    let mut frame = BytesMut::new();
    sealer.seal(8, &[0xc4, 1, 2, 3, 4], &mut Packing::Plain, &mut frame);

    assert_eq!(hex::encode(&frame[..16]), "00828ddae471818bb0bfa6b551d1cb42");
    assert_eq!(hex::encode(&frame[32..48]), "ba628a4ba590cb43f7848f41c4382885");
    assert_eq!(frame.len(), 64);
}

const STATIC_A: &str = "49a7b37aa6f6645917e7b807e9d1c00d4fa71f18343b0d4122a4d2df64dd6fee";
const STATIC_B: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";
const EPHEMERAL_A: &str = "869d6ecf5211f1cc60418a13b9d870b22959d0c16f02bec714c960dd2298a32d";
const EPHEMERAL_B: &str = "e238eb8e04fee6511ab04c6dd3c89ce097b11f25d584863ac2b6d5b35b1847e4";
const NONCE_A: &str = "7e968bba13b6c50e2c4cd7f241cc0d64d1ac25c7f5952df231ac6a2bda8ee5d6";
const NONCE_B: &str = "559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd";
const PUBLIC_A: &str = "fda1cff674c90c9a197539fe3dfb53086ace64f83ed7c6eabec741f7f381cc803e52ab2cd55d5569\
                        bce4347107a310dfd5f88a010cd2ffd1005ca406f1842877";
const PUBLIC_B: &str = "ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd31387574077f301b421b\
                        c84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f";
const EPHEMERAL_PUBLIC_B: &str = "b6d82fa3409da933dbf9cb0140c5dde89f4e64aec88d476af648880f4a10e1e4\
                                  9fe35ef3e69e93dd300b4797765a747c6384a6ecf5db9c2690398607a86181e4";
const SIGNATURE_A: &str = "299ca6acfd35e3d72d8ba3d1e2b60b5561d5af5218eb5bc182045769eb422691\
                           0a301acae3b369fffc4a4899d6b02531e89fd4fe36a2cf0d93607ba470b50f7800";

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text.split_whitespace().collect::<String>()).expect("hex")
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().expect("as long as its type")
}

fn key(text: &str) -> SecretKey {
    SecretKey::from_secret_bytes(bytes(text)).expect("a key")
}

fn config(secret: &str) -> Config {
    Config::new(key(secret), "test".into(), Vec::new())
}

fn random(ephemeral: &str, nonce: &str) -> Randomness {
    Randomness { ephemeral: key(ephemeral), nonce: bytes(nonce), ..Randomness::from_seed([1; 32]) }
}

fn dial() -> Dialing {
    let random = random(EPHEMERAL_A, NONCE_A);
    Dialing::new(&config(STATIC_A), config(STATIC_B).node_key(), &random).expect("B's key is a point")
}

fn accepting(secret: &str) -> Accepting {
    Accepting::new(&config(secret), random(EPHEMERAL_B, NONCE_B), Arc::default())
}

fn accept(auth: &[u8]) -> Result<(Keyed, Vec<u8>), HandshakeError> {
    accepting_with(STATIC_B, &Arc::default(), auth)
}

fn accepting_with(
    secret: &str,
    seen: &Arc<SeenAuths>,
    auth: &[u8],
) -> Result<(Keyed, Vec<u8>), HandshakeError> {
    let mut accepting = Accepting::new(&config(secret), random(EPHEMERAL_B, NONCE_B), seen.clone());
    accepting.read(&mut &auth[..])?;
    accepting.finish()
}

fn published_exchange<'a>(auth: &'a [u8], ack: &'a [u8]) -> Exchange<'a> {
    Exchange {
        ephemeral: ecies::shared_x(&key(EPHEMERAL_A), &key(EPHEMERAL_B).public_key()),
        initiator_nonce: bytes(NONCE_A),
        recipient_nonce: bytes(NONCE_B),
        auth,
        ack,
    }
}

fn published_keys() -> (Keyed, Keyed) {
    let (auth, ack) = (vector!("auth-2"), vector!("ack-2"));
    let exchange = published_exchange(&auth, &ack);
    let a = Keyed::new(config(STATIC_B).node_key(), &exchange, Role::Initiator);
    let b = Keyed::new(config(STATIC_A).node_key(), &exchange, Role::Recipient);
    (a, b)
}

fn said(from: &mut Keyed, to: &mut Keyed, code: u64, payload: &[u8]) -> Result<(u64, Vec<u8>), Fault> {
    let mut frame = BytesMut::new();
    from.sealer.seal(code, payload, &mut Packing::Plain, &mut frame);
    heard(to, &mut &frame[..])
}

fn heard(by: &mut Keyed, input: &mut &[u8]) -> Result<(u64, Vec<u8>), Fault> {
    let data = by.opener.open(input, 2048)?.expect("a whole frame");
    let (code, start) = read_code(&data)?;
    Ok((code, data[start..].to_vec()))
}
