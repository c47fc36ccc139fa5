//! DTLS with SCTP inside, without a socket or a clock: datagrams and time in, datagrams and events out.
//!
//! `str0m`'s parts for these two ([`dimpl`] and [`sctp_proto`]) rather than its `Rtc`: that one takes every message
//! out of SCTP as soon as it is whole, so that a peer could never be held back.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use dimpl::{Dtls, DtlsCertificate, Output};
use sctp_proto::{
    Association, AssociationHandle, DatagramEvent, Endpoint, EndpointConfig, Event, Payload, ServerConfig,
    TransportConfig,
};
use sha2::{Digest, Sha256};

use crate::{config::Limits, error::SessionError, message::MAX_FRAME};

/// Longest datagram that DTLS makes in its handshake, and SCTP within DTLS. Every path of IPv6 takes it.
const MTU: usize = 1200;

/// What DTLS and SCTP put around the data of a datagram, at most.
const OVERHEAD: usize = 80;

/// Streams of SCTP each way. As many as browsers have.
pub(crate) const SCTP_STREAMS: u16 = 1024;

/// Bytes of a connection that wait in SCTP before the peer is told to wait. It takes the place of a window.
const RECEIVE_BUFFER: u32 = 512 << 10;

/// When SCTP sends again what nobody confirmed: at first, at the earliest, and at the latest. RFC 9260 has a second at
/// the least, from a time of slower networks; browsers take about these.
const RETRY_FIRST_MS: u64 = 500;
const RETRY_MIN_MS: u64 = 200;
const RETRY_MAX_MS: u64 = 10_000;

/// SCTP knows no addresses here; one association runs in each DTLS connection.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);

/// Room for a record of DTLS; records carry at most 2^14 bytes.
const SCRATCH: usize = (16 << 10) + 512;

/// What all connections of a transport have in common.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) dtls: Arc<dimpl::Config>,
    pub(crate) certificate: DtlsCertificate,
    sctp: Arc<EndpointConfig>,
    server: Arc<ServerConfig>,
}

impl Terms {
    pub(crate) fn new(certificate: DtlsCertificate, limits: &Limits) -> Result<Self, dimpl::Error> {
        let dtls = dimpl::Config::builder().mtu(MTU).handshake_timeout(limits.handshake_time).build()?;
        let mut sctp = EndpointConfig::new();
        sctp.max_payload_size((MTU - OVERHEAD) as u32);
        let mut server = ServerConfig::new();
        server.transport = Arc::new(
            TransportConfig::default()
                .with_max_num_inbound_streams(SCTP_STREAMS)
                .with_max_num_outbound_streams(SCTP_STREAMS)
                .with_max_receive_buffer_size(RECEIVE_BUFFER)
                .with_max_receive_message_size(MAX_FRAME as u32)
                .with_max_send_message_size(MAX_FRAME as u32)
                .with_rto_initial_ms(RETRY_FIRST_MS)
                .with_rto_min_ms(RETRY_MIN_MS)
                .with_rto_max_ms(RETRY_MAX_MS)
                .with_max_init_retransmits(None)
                .with_max_data_retransmits(None), // silence ends a connection, see `Limits::idle`
        );
        Ok(Self { dtls: Arc::new(dtls), certificate, sctp: Arc::new(sctp), server: Arc::new(server) })
    }
}

/// One connection, from the first record of DTLS on.
pub(crate) struct Machine {
    dtls: Dtls,
    dtls_timer: Option<Instant>,
    /// SHA-256 of the peer's certificate.
    fingerprint: Option<[u8; 32]>,
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    out: VecDeque<Vec<u8>>,
    scratch: Vec<u8>,
    /// When something sealed came last.
    heard: Instant,
    end: Option<SessionError>,
}

impl Machine {
    pub(crate) fn new(terms: &Terms, now: Instant) -> Self {
        // DTLS 1.2 is what the specification builds on, and what all clients speak.
        let dtls = Dtls::new_12(Arc::clone(&terms.dtls), terms.certificate.clone(), now);
        Self {
            dtls,
            dtls_timer: None,
            fingerprint: None,
            endpoint: Endpoint::new(Arc::clone(&terms.sctp), Some(Arc::clone(&terms.server))),
            association: None,
            out: VecDeque::new(),
            scratch: vec![0; SCRATCH],
            heard: now,
            end: None,
        }
    }

    /// Takes in what came, if the connection has not ended.
    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if self.end.is_some() {
            return;
        }
        let result = self.dtls.handle_timeout(now).and_then(|()| self.dtls.handle_packet(datagram));
        self.note(result);
        self.pump(now);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.end.is_some() {
            return;
        }
        let result = self.dtls.handle_timeout(now);
        self.note(result);
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
        self.pump(now);
    }

    fn note<T>(&mut self, result: Result<T, dimpl::Error>) {
        if let Err(error) = result {
            self.end.get_or_insert_with(|| error.into());
        }
    }

    /// Moves what is to be moved between DTLS and SCTP. To be called after SCTP was written to.
    pub(crate) fn pump(&mut self, now: Instant) {
        self.drain_dtls(now);
        loop {
            let packets = self.transmit(now);
            if packets.is_empty() || self.end.is_some() {
                return;
            }
            for packet in packets {
                let result = self.dtls.send_application_data(&packet);
                self.note(result);
                self.drain_dtls(now); // at once: what DTLS holds is bounded
            }
        }
    }

    /// What SCTP wants to send.
    fn transmit(&mut self, now: Instant) -> Vec<Bytes> {
        let mut transmit = self.endpoint.poll_transmit();
        if let Some((handle, association)) = &mut self.association {
            while let Some(event) = association.poll_endpoint_event() {
                if let Some(event) = self.endpoint.handle_event(*handle, event) {
                    association.handle_event(event);
                }
            }
            transmit = transmit.or_else(|| association.poll_transmit(now));
        }
        match transmit.map(|transmit| transmit.payload) {
            Some(Payload::RawEncode(packets)) => packets,
            Some(Payload::PartialDecode(_)) | None => Vec::new(),
        }
    }

    fn drain_dtls(&mut self, now: Instant) {
        let mut scratch = std::mem::take(&mut self.scratch);
        loop {
            let needed = match self.dtls.poll_output(&mut scratch) {
                Output::Packet(packet) => {
                    self.out.push_back(packet.to_vec());
                    continue;
                }
                Output::PeerCert(der) => {
                    self.fingerprint = Some(Sha256::digest(der).into());
                    continue;
                }
                Output::ApplicationData(data) => {
                    let data = Bytes::copy_from_slice(data);
                    self.take_in(now, data);
                    continue;
                }
                Output::CloseNotify => {
                    self.end.get_or_insert(SessionError::ClosedByPeer);
                    continue;
                }
                // SCTP begins by itself once DTLS is there; keys for media are nobody's.
                Output::Connected | Output::KeyingMaterial(..) => continue,
                Output::BufferTooSmall { needed } => needed,
                Output::Timeout(at) => {
                    self.dtls_timer = Some(at);
                    break;
                }
                _ => break,
            };
            if needed <= scratch.len() {
                break;
            }
            scratch.resize(needed, 0);
        }
        self.scratch = scratch;
    }

    /// A packet of SCTP.
    fn take_in(&mut self, now: Instant, packet: Bytes) {
        self.heard = now;
        match self.endpoint.handle(now, NOWHERE, None, None, packet) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                self.endpoint.reject_new_associations();
                self.association.get_or_insert((handle, association));
            }
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                if let Some((_, association)) = &mut self.association {
                    association.handle_event(event);
                }
            }
            None => {}
        }
    }

    /// What SCTP has to tell.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let (_, association) = self.association.as_mut()?;
        // Streams that the peer opens are told by an event too.
        while association.accept_stream().is_some() {}
        let event = association.poll()?;
        match &event {
            Event::AssociationLost { reason } | Event::HandshakeFailed { reason } => {
                self.end.get_or_insert_with(|| SessionError::Association(reason.clone()));
            }
            _ => {}
        }
        Some(event)
    }

    pub(crate) fn association(&mut self) -> Option<&mut Association> {
        self.association.as_mut().map(|(_, association)| association)
    }

    pub(crate) fn fingerprint(&self) -> Option<[u8; 32]> {
        self.fingerprint
    }

    /// Why the connection has ended, if it has.
    pub(crate) fn end(&self) -> Option<&SessionError> {
        self.end.as_ref()
    }

    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// Something of the peer came past DTLS.
    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let sctp = self.association.as_ref().and_then(|(_, association)| association.poll_timeout());
        self.dtls_timer.into_iter().chain(sctp).min()
    }

    pub(crate) fn take_datagrams(&mut self) -> VecDeque<Vec<u8>> {
        std::mem::take(&mut self.out)
    }

    /// Nobody moves this any more.
    pub(crate) fn abandon(&mut self) {
        self.end.get_or_insert(SessionError::TaskGone);
    }

    /// Ends the connection and tells the peer, which takes one datagram more.
    pub(crate) fn close(&mut self, now: Instant, reason: SessionError) {
        if self.end.is_none() {
            let _ = self.dtls.close(); // fails where it is closed
            self.drain_dtls(now);
        }
        self.end.get_or_insert(reason);
    }
}
