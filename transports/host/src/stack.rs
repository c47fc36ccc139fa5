//! The transports put together.

/// Makes AWS-LC the process's TLS provider, unless one is installed already.
///
/// Two providers are compiled in (libp2p's TLS and QUIC bring AWS-LC, its WebSocket brings ring); who asks rustls
/// for the default then panics unless one was chosen. Called first thing in `main` and in every test.
pub fn install_crypto_provider() {
    // An error says that another one was installed before, which is just as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
