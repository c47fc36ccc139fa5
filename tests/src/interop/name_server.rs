//! Debian's knot on a port of loopback, the only name server of one domain.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::Context;
use tokio::{
    net::{TcpListener, UdpSocket},
    time::{Duration, timeout},
};

use super::{
    Stage,
    process::{PATIENCE, Peer},
};

/// Serial number of the first zone. The bytes are looked for in answers: they should not be there by chance.
const FIRST_SERIAL: u32 = 0x4357_0001;

/// Between two questions for the serial number.
const LOOK: Duration = Duration::from_millis(50);

/// A running name server.
#[derive(Debug)]
pub(super) struct NameServer {
    pub(super) peer: Peer,
    pub(super) address: SocketAddr,
    domain: String,
    zone: PathBuf,
    serial: u32,
}

impl NameServer {
    /// Serves these records of a domain, in the form of a zone file; those that a zone must have are added.
    pub(super) async fn start(
        stage: &Stage,
        name: &str,
        domain: &str,
        records: &str,
    ) -> anyhow::Result<Self> {
        let address = free_address().await?;
        let Files { zone, config } = write_files(stage, name, address, domain, records)?;
        let arguments = ["-c".to_owned(), config.display().to_string()];
        let peer = Peer::start(stage, name, "knotd".as_ref(), arguments)?;
        let server = Self { peer, address, domain: domain.to_owned(), zone, serial: FIRST_SERIAL };
        server.serving().await?;
        Ok(server)
    }

    /// Serves other records from now on.
    pub(super) async fn replace(&mut self, records: &str) -> anyhow::Result<()> {
        self.serial += 1;
        write_zone(&self.zone, &self.domain, self.serial, records)?;
        self.peer.signal("HUP").await?;
        self.serving().await
    }

    /// Waits until it answers with the serial number of the newest zone.
    async fn serving(&self) -> anyhow::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(self.address).await?;
        let (question, serial) = (soa_question(&self.domain), self.serial.to_be_bytes());
        let asking = async {
            let mut answer = [0; 512];
            loop {
                // Before it listens, both can say so.
                let _ = socket.send(&question).await;
                if let Ok(Ok(length)) = timeout(LOOK, socket.recv(&mut answer)).await
                    && answer.get(..length).unwrap_or_default().windows(4).any(|bytes| bytes == serial)
                {
                    break;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, asking).await.with_context(|| format!("{} does not answer", self.peer.name))
    }
}

/// What knot is started with.
#[derive(Debug)]
pub(super) struct Files {
    zone: PathBuf,
    /// The argument of `knotd -c`.
    pub(super) config: PathBuf,
}

/// Writes the zone of a domain and knot's configuration for it into a folder of the row.
pub(super) fn write_files(
    stage: &Stage,
    name: &str,
    address: SocketAddr,
    domain: &str,
    records: &str,
) -> anyhow::Result<Files> {
    let dir = stage.dir.join(format!("{name}-knot"));
    fs::create_dir_all(&dir)?;
    let (zone, config) = (dir.join("zone"), dir.join("knot.conf"));
    write_zone(&zone, domain, FIRST_SERIAL, records)?;
    let (dir, port) = (dir.display(), address.port());
    let text = format!(
        "server:\n    rundir: {dir}\n    listen: {}@{port}\n\
         log:\n  - target: stderr\n    any: info\n\
         database:\n    storage: {dir}\n\
         zone:\n  - domain: {domain}\n    file: {}\n    zonefile-load: whole\n",
        address.ip(),
        zone.display()
    );
    fs::write(&config, text)?;
    Ok(Files { zone, config })
}

/// An address that is free on UDP and TCP.
async fn free_address() -> anyhow::Result<SocketAddr> {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = tcp.local_addr()?;
        if UdpSocket::bind(address).await.is_ok() {
            return Ok(address);
        }
    }
}

/// A zone file: where its authority starts, the name server, then the records.
fn write_zone(path: &std::path::Path, domain: &str, serial: u32, records: &str) -> anyhow::Result<()> {
    let head = format!(
        "{domain}. 60 IN SOA ns.{domain}. hostmaster.{domain}. {serial} 60 60 60 60\n\
         {domain}. 60 IN NS ns.{domain}.\n\
         ns.{domain}. 60 IN A 127.0.0.1\n"
    );
    Ok(fs::write(path, head + records)?)
}

/// A question for the start of a domain's authority (RFC 1035, 4.1).
fn soa_question(domain: &str) -> Vec<u8> {
    let mut question = vec![0x43, 0x57, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in domain.split('.') {
        question.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        question.extend_from_slice(label.as_bytes());
    }
    question.extend([0, 0, 6, 0, 1]);
    question
}
