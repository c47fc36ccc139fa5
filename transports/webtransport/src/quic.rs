//! What WebTransport wants of QUIC and quinn does not have.

mod reset_stream_at;
mod tls;

pub(crate) use reset_stream_at::rewrite;
pub(crate) use tls::ServerCrypto;
