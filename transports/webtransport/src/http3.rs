//! HTTP/3 as far as WebTransport's CONNECT takes it: frames, settings, the request, capsules. Bytes only.

pub(crate) mod capsule;
pub(crate) mod code;
pub(crate) mod frame;
pub(crate) mod qpack;
pub(crate) mod request;
pub(crate) mod settings;
pub(crate) mod tlv;
