//! The ECIES handshake in both roles (EIP-8; rlpx.md section 3): [`Dialing`] or [`Accepting`], then keys.
//!
//! ```text
//! packet   = be16(size) || ecies(body || padding), authdata = be16(size)
//! auth body = RLP [signature(65), initiator key(64), initiator nonce(32), version, ...]
//! ack body  = RLP [recipient ephemeral key(64), recipient nonce(32), version, ...]
//! ```
//!
//! A recipient also takes the auth of nodes older than EIP-8, which has no prefix and no RLP, and
//! answers it in kind; see [`Form`].

use std::sync::Arc;

use alloy_primitives::{B512, keccak256};
use alloy_rlp::{Encodable, Header};
use causeway_wire::NodeKey;
use secp256k1::{
    Message, PublicKey, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
};

use crate::{
    Config, HandshakeError, Randomness, SeenAuths, ecies,
    frame::{Opener, Sealer, take},
    secrets::{Exchange, Role, Secrets, xor},
};

/// Bytes of the size prefix.
const PREFIX: usize = 2;
/// Largest size that a prefix may tell, as geth (from v1.14.6) and reth have it.
pub(crate) const MAX_SIZE: usize = 2048;
/// The version that EIP-8 puts into auth and ack. Nobody looks at it.
const VERSION: u64 = 4;
/// Least padding that we add (EIP-8), so that a packet cannot be taken for one of the old form.
const MIN_PADDING: usize = 100;
/// What chance may add to it at most (EIP-8).
const PADDING_RANGE: usize = 201;
const SIGNATURE: usize = 65;
const KEY: usize = 64;
const NONCE: usize = 32;
/// An auth before EIP-8: signature, hash of the ephemeral key, key, nonce, and a flag that is not used.
const PLAIN_AUTH: usize = SIGNATURE + 32 + KEY + NONCE + 1 + ecies::OVERHEAD;

/// Auth is made; the ack is awaited.
pub(crate) struct Dialing {
    secret_key: SecretKey,
    remote: NodeKey,
    ephemeral: SecretKey,
    nonce: [u8; NONCE],
    auth: Vec<u8>,
    ack: Vec<u8>,
}

impl Dialing {
    pub(crate) fn new(config: &Config, remote: NodeKey, random: &Randomness) -> Result<Self, HandshakeError> {
        let recipient = ecies::point(&remote, "key of the dialed node")?;
        let token = ecies::shared_x(&config.secret_key, &recipient);
        let digest = Message::from_digest(xor(&token, &random.nonce));
        let (recovery, compact) =
            RecoverableSignature::sign_ecdsa_recoverable(digest, &random.ephemeral).serialize_compact();
        let mut signature = [0; SIGNATURE];
        signature[..64].copy_from_slice(&compact);
        signature[64] = recovery.to_u8();

        let mut fields = Vec::new();
        signature.encode(&mut fields);
        config.node_key().0.encode(&mut fields);
        random.nonce.encode(&mut fields);
        VERSION.encode(&mut fields);
        Ok(Self {
            secret_key: config.secret_key,
            remote,
            ephemeral: random.ephemeral,
            nonce: random.nonce,
            auth: seal(&recipient, random, &fields),
            ack: Vec::new(),
        })
    }

    /// The packet to send.
    pub(crate) fn auth(&self) -> &[u8] {
        &self.auth
    }

    /// Takes the ack from `input`; true when it is whole.
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> Result<bool, HandshakeError> {
        fill_prefixed(&mut self.ack, input)
    }

    /// Bytes held of the ack.
    pub(crate) fn buffered(&self) -> usize {
        self.ack.len()
    }

    /// Agrees on the keys, once the ack is whole.
    pub(crate) fn finish(self) -> Result<Keyed, HandshakeError> {
        let body = open_prefixed(&self.secret_key, &self.ack)?;
        let mut fields = fields(&body)?;
        let ephemeral = ecies::point(&NodeKey(B512::from(field(&mut fields)?)), "ephemeral key in ack")?;
        let exchange = Exchange {
            ephemeral: ecies::shared_x(&self.ephemeral, &ephemeral),
            initiator_nonce: self.nonce,
            recipient_nonce: field(&mut fields)?,
            auth: &self.auth,
            ack: &self.ack,
        };
        Ok(Keyed::new(self.remote, &exchange, Role::Initiator))
    }
}

/// An auth is awaited.
pub(crate) struct Accepting {
    secret_key: SecretKey,
    random: Randomness,
    seen: Arc<SeenAuths>,
    auth: Vec<u8>,
}

/// The two forms of an auth.
///
/// The old one begins with the `04` of its sealing key, the new one with its size, which may be
/// `04xx` (1024 to 1279 bytes) too. What decides is whether the first 65 bytes are a point of the
/// curve: always so in the old form, never by chance in the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Eip8,
}

impl Accepting {
    pub(crate) fn new(config: &Config, random: Randomness, seen: Arc<SeenAuths>) -> Self {
        Self { secret_key: config.secret_key, random, seen, auth: Vec::new() }
    }

    /// Takes the auth from `input`; true when it is whole.
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> Result<bool, HandshakeError> {
        match self.form(input) {
            None => Ok(false),
            Some(Form::Plain) => Ok(fill(&mut self.auth, input, PLAIN_AUTH)),
            Some(Form::Eip8) => fill_prefixed(&mut self.auth, input),
        }
    }

    /// Bytes held of the auth.
    pub(crate) fn buffered(&self) -> usize {
        self.auth.len()
    }

    /// Agrees on the keys, once the auth is whole, and makes the ack to send.
    pub(crate) fn finish(self) -> Result<(Keyed, Vec<u8>), HandshakeError> {
        let form = if ecies::begins_with_point(&self.auth) { Form::Plain } else { Form::Eip8 };
        let auth = match form {
            Form::Plain => Auth::of_plain(&ecies::open(&self.secret_key, &self.auth, &[])?)?,
            Form::Eip8 => Auth::of_body(&open_prefixed(&self.secret_key, &self.auth)?)?,
        };
        let initiator = ecies::point(&auth.key, "initiator's key")?;
        let token = ecies::shared_x(&self.secret_key, &initiator);
        let ephemeral = recover(&auth.signature, xor(&token, &auth.nonce))?;
        if !self.seen.insert(mark(&ephemeral, &auth.nonce)) {
            return Err(HandshakeError::Replayed);
        }
        let ack = self.ack(&initiator, form);
        let exchange = Exchange {
            ephemeral: ecies::shared_x(&self.random.ephemeral, &ephemeral),
            initiator_nonce: auth.nonce,
            recipient_nonce: self.random.nonce,
            auth: &self.auth,
            ack: &ack,
        };
        let keyed = Keyed::new(auth.key, &exchange, Role::Recipient);
        Ok((keyed, ack))
    }

    /// Which form comes; `None` while it cannot be told, having taken in what there is.
    fn form(&mut self, input: &mut &[u8]) -> Option<Form> {
        if self.auth.is_empty() && input.first() != Some(&4)
            || self.auth.first().is_some_and(|byte| *byte != 4)
        {
            return Some(Form::Eip8);
        }
        if !fill(&mut self.auth, input, ecies::POINT) {
            return None;
        }
        Some(if ecies::begins_with_point(&self.auth) { Form::Plain } else { Form::Eip8 })
    }

    fn ack(&self, initiator: &PublicKey, form: Form) -> Vec<u8> {
        let random = &self.random;
        let ephemeral = ecies::node_key(&random.ephemeral.public_key());
        let mut fields = Vec::new();
        match form {
            Form::Plain => {
                fields.extend_from_slice(ephemeral.0.as_slice());
                fields.extend_from_slice(&random.nonce);
                fields.push(0);
                let mut ack = Vec::new();
                ecies::seal(initiator, &random.ecies_ephemeral, &random.iv, &fields, &[], &mut ack);
                ack
            }
            Form::Eip8 => {
                ephemeral.0.encode(&mut fields);
                random.nonce.encode(&mut fields);
                VERSION.encode(&mut fields);
                seal(initiator, random, &fields)
            }
        }
    }
}

/// Keys are agreed on; only Hello and Disconnect can be sent and received with them yet.
pub(crate) struct Keyed {
    /// The peer's key, proven by the handshake.
    pub(crate) peer: NodeKey,
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
}

impl Keyed {
    fn new(peer: NodeKey, exchange: &Exchange<'_>, role: Role) -> Self {
        let (sealer, opener) = Secrets::derive(exchange, role).split();
        Self { peer, sealer, opener }
    }
}

/// What an auth says, in either form.
struct Auth {
    signature: [u8; SIGNATURE],
    key: NodeKey,
    nonce: [u8; NONCE],
}

impl Auth {
    fn of_body(body: &[u8]) -> Result<Self, HandshakeError> {
        let mut fields = fields(body)?;
        Ok(Self {
            signature: field(&mut fields)?,
            key: NodeKey(B512::from(field(&mut fields)?)),
            nonce: field(&mut fields)?,
        })
    }

    /// The hash of the ephemeral key is not compared: the signature tells that key.
    fn of_plain(message: &[u8]) -> Result<Self, HandshakeError> {
        let mut message = message;
        let signature = fixed(&mut message)?;
        let _hash: [u8; 32] = fixed(&mut message)?;
        Ok(Self { signature, key: NodeKey(B512::from(fixed(&mut message)?)), nonce: fixed(&mut message)? })
    }
}

/// The initiator's ephemeral key: nothing but the signature tells it.
fn recover(signature: &[u8; SIGNATURE], digest: [u8; 32]) -> Result<PublicKey, HandshakeError> {
    let recovery = RecoveryId::try_from(i32::from(signature[64])).map_err(|_| HandshakeError::Signature)?;
    RecoverableSignature::from_compact(&signature[..64], recovery)
        .and_then(|signature| signature.recover_ecdsa(Message::from_digest(digest)))
        .map_err(|_| HandshakeError::Signature)
}

/// What tells one auth from all others of all initiators.
fn mark(ephemeral: &PublicKey, nonce: &[u8; NONCE]) -> [u8; 16] {
    let mut unique = ephemeral.serialize().to_vec();
    unique.extend_from_slice(nonce);
    let mut mark = [0; 16];
    mark.copy_from_slice(&keccak256(unique)[..16]);
    mark
}

/// A packet of the new form: the list of `fields`, padded with zeroes as geth pads, sealed.
fn seal(recipient: &PublicKey, random: &Randomness, fields: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    Header { list: true, payload_length: fields.len() }.encode(&mut body);
    body.extend_from_slice(fields);
    body.resize(body.len() + MIN_PADDING + usize::from(random.padding) % PADDING_RANGE, 0);
    let size = body.len() + ecies::OVERHEAD;
    let prefix = u16::try_from(size).expect("a handshake packet is far below 64 KiB").to_be_bytes();
    let mut packet = prefix.to_vec();
    ecies::seal(recipient, &random.ecies_ephemeral, &random.iv, &body, &prefix, &mut packet);
    packet
}

fn open_prefixed(secret: &SecretKey, packet: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let (prefix, sealed) = packet.split_first_chunk::<PREFIX>().ok_or(HandshakeError::Malformed)?;
    ecies::open(secret, sealed, prefix)
}

/// Fills `packet` up to the size that its prefix tells; true when it is whole.
fn fill_prefixed(packet: &mut Vec<u8>, input: &mut &[u8]) -> Result<bool, HandshakeError> {
    if !fill(packet, input, PREFIX) {
        return Ok(false);
    }
    let size = match packet[..] {
        [high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
        _ => return Ok(false),
    };
    if !(ecies::OVERHEAD..=MAX_SIZE).contains(&size) {
        return Err(HandshakeError::Size { size, min: ecies::OVERHEAD, max: MAX_SIZE });
    }
    Ok(fill(packet, input, PREFIX + size))
}

fn fill(packet: &mut Vec<u8>, input: &mut &[u8], size: usize) -> bool {
    packet.extend_from_slice(take(input, size.saturating_sub(packet.len())));
    packet.len() >= size
}

/// The items of the list at the beginning of `body`; what stands behind it is padding.
fn fields(mut body: &[u8]) -> Result<&[u8], HandshakeError> {
    Header::decode_bytes(&mut body, true).map_err(|_| HandshakeError::Malformed)
}

fn field<const N: usize>(fields: &mut &[u8]) -> Result<[u8; N], HandshakeError> {
    let bytes = Header::decode_bytes(fields, false).map_err(|_| HandshakeError::Malformed)?;
    bytes.try_into().map_err(|_| HandshakeError::Malformed)
}

fn fixed<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], HandshakeError> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(HandshakeError::Malformed)?;
    *bytes = rest;
    Ok(*first)
}

#[cfg(test)]
mod tests;
