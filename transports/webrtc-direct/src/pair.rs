//! A client in memory, for tests: DTLS and SCTP as a browser has them, with every rule left to the test.

mod tests;

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use dimpl::{Dtls, Output};
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier as Ppi, StreamEvent, TransportConfig,
};

use crate::{
    Certificate, Limits, SessionError,
    channels::{Channels, HANDSHAKE, Key},
    dcep,
    machine::{Machine, Terms},
    message::{self, Decoder, Flag, Frame, MAX_FRAME},
};

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);

struct Client {
    dtls: Dtls,
    connected: bool,
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    finished: Vec<u16>,
    lost: bool,
}

impl Client {
    fn new(now: Instant) -> Self {
        let certificate = Certificate::from_secret([2; 32]).expect("a certificate");
        let config = dimpl::Config::builder().build().expect("a configuration");
        let mut dtls = Dtls::new_12(Arc::new(config), certificate.dtls(), now);
        dtls.set_active(true);
        let endpoint = Endpoint::new(Arc::new(EndpointConfig::new()), None);
        Self { dtls, connected: false, endpoint, association: None, finished: Vec::new(), lost: false }
    }

    fn connect(&mut self) {
        let mut config = ClientConfig::new();
        config.transport = Arc::new(TransportConfig::default().with_max_send_message_size(1 << 20));
        self.association = Some(self.endpoint.connect(config, NOWHERE).expect("an association"));
    }

    /// Moves what is to be moved; datagrams for the server.
    fn step(&mut self, now: Instant, datagrams: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        self.dtls.handle_timeout(now).expect("DTLS goes on");
        self.drain(now, &mut out);
        for datagram in datagrams {
            self.dtls.handle_packet(&datagram).expect("DTLS goes on");
            self.drain(now, &mut out);
        }
        if self.connected && self.association.is_none() {
            self.connect();
        }
        loop {
            let Some((_, association)) = &mut self.association else { return out };
            association.handle_timeout(now);
            while let Some(event) = association.poll() {
                match event {
                    Event::Stream(StreamEvent::Finished { id }) => self.finished.push(id),
                    Event::AssociationLost { .. } => self.lost = true,
                    _ => {}
                }
            }
            let Some(transmit) = association.poll_transmit(now) else { return out };
            let Payload::RawEncode(packets) = transmit.payload else { return out };
            for packet in packets {
                if self.dtls.send_application_data(&packet).is_err() {
                    return out;
                }
                self.drain(now, &mut out);
            }
        }
    }

    fn drain(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        let mut scratch = vec![0; 20_000];
        loop {
            match self.dtls.poll_output(&mut scratch) {
                Output::Packet(packet) => out.push(packet.to_vec()),
                Output::Connected => self.connected = true,
                Output::ApplicationData(data) => {
                    let data = Bytes::copy_from_slice(data);
                    if let Some((_, DatagramEvent::AssociationEvent(event))) =
                        self.endpoint.handle(now, NOWHERE, None, None, data)
                    {
                        self.association.as_mut().expect("one").1.handle_event(event);
                    }
                }
                Output::Timeout(_) => return,
                _ => {}
            }
        }
    }
}

/// A server's machine with its channels, and a client.
struct Pair {
    now: Instant,
    machine: Machine,
    channels: Channels,
    client: Client,
    error: Option<SessionError>,
    /// On their way.
    to_client: Vec<Vec<u8>>,
    cx: Context<'static>,
}

impl Pair {
    fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let certificate = Certificate::from_secret([1; 32]).expect("a certificate");
        let terms = Terms::new(certificate.dtls(), &limits).expect("terms");
        let now = Instant::now();
        let mut pair = Self {
            now,
            machine: Machine::new(&terms, now),
            channels: Channels::new(limits),
            client: Client::new(now),
            error: None,
            to_client: Vec::new(),
            cx: Context::from_waker(Waker::noop()),
        };
        pair.run(Duration::from_secs(2));
        assert!(pair.channels.is_established(), "SCTP is there");
        let digest: [u8; 32] = Certificate::from_secret([2; 32]).expect("a certificate").digest().to_owned();
        assert_eq!(pair.machine.fingerprint(), Some(digest));
        pair
    }

    /// Lets time pass until nothing is sent any more, at most so long.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(5);
            for datagram in self.client.step(self.now, std::mem::take(&mut self.to_client)) {
                self.machine.handle_datagram(self.now, &datagram);
                self.settle();
            }
            self.machine.handle_timeout(self.now);
            if let Some(association) = self.machine.association() {
                self.channels.handle_timeout(association, self.now);
            }
            self.settle();
            self.machine.pump(self.now);
            self.to_client = self.machine.take_datagrams().into();
        }
    }

    fn settle(&mut self) {
        if let Err(error) = self.channels.handle_events(&mut self.machine, self.now) {
            self.error.get_or_insert(error);
        }
    }

    fn soon(&mut self) {
        self.run(Duration::from_millis(300));
    }

    fn association(&mut self) -> &mut Association {
        &mut self.client.association.as_mut().expect("SCTP is there").1
    }

    /// The client opens a channel.
    fn open(&mut self, id: u16) {
        let association = self.association();
        let mut stream = association.open_stream(id, Ppi::Binary).expect("a stream");
        stream.write_with_ppi(&dcep::open(), Ppi::Dcep).expect("written");
    }

    fn send(&mut self, id: u16, bytes: &[u8]) {
        self.association().stream(id).expect("a stream").write_with_ppi(bytes, Ppi::Binary).expect("written");
    }

    /// The frames that have come to the client.
    fn received(&mut self, id: u16) -> Vec<Frame> {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        let Ok(mut stream) = self.association().stream(id) else { return frames };
        while let Ok(Some(message)) = stream.read() {
            let mut bytes = vec![0; message.len()];
            message.read(&mut bytes).expect("it fits");
            if message.ppi != Ppi::Dcep {
                decoder.push(&bytes);
            }
        }
        while let Some(frame) = decoder.next().expect("frames") {
            frames.push(frame);
        }
        frames
    }

    fn accept(&mut self) -> Key {
        self.soon();
        self.channels.accept().expect("a stream")
    }

    fn read(&mut self, key: Key) -> Poll<std::io::Result<Vec<u8>>> {
        let mut bytes = vec![0; 1 << 20];
        let read = self.channels.poll_read(self.machine.association(), key, &mut self.cx, &mut bytes);
        read.map_ok(|len| bytes[..len].to_vec())
    }

    fn write(&mut self, key: Key, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.channels.poll_write(self.machine.association(), key, &mut self.cx, bytes)
    }

    fn release(&mut self, key: Key) {
        self.channels.release(self.machine.association(), key, self.now);
    }
}
