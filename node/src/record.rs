//! What we say of ourselves: enode URL and node record.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use causeway_records::{Contents, Enode, Multiaddr, Part, Record};
use causeway_transports::Transports;
use causeway_wire::ForkId;
use secp256k1::SecretKey;
use tracing::{info, warn};

/// Longest record file that is read.
const MAX_FILE: u64 = 4096;

/// Where our record is kept in a data directory.
pub(crate) fn default_file(datadir: &Path) -> PathBuf {
    datadir.join("enr")
}

/// Our node record: the one of the last run if it still says what is true, else the next, which is kept in
/// `file`. Addresses go in as far as they are bound to one; which ones the world sees is for discovery to
/// find out.
///
/// # Errors
/// If it cannot be signed. A file that cannot be read or written costs only the sequence number's continuity.
pub(crate) fn build(
    secret_key: &SecretKey,
    transports: &Transports,
    eth: ForkId,
    file: Option<&Path>,
) -> anyhow::Result<Record> {
    let contents = contents(transports, eth);
    let previous = file.and_then(read);
    let signed = Record::renew(previous.as_ref(), now_millis(), secret_key, &contents)
        .context("signing our node record")?;
    for dropped in &signed.dropped {
        info!(%dropped, "left out of our node record, which has no room for it");
    }
    if let Some(file) = file
        && previous.as_ref() != Some(&signed.record)
        && let Err(error) = write(file, &signed.record)
    {
        warn!(file = %file.display(), %error, "our node record cannot be kept; its number will jump at the next start");
    }
    Ok(signed.record)
}

fn contents(transports: &Transports, eth: ForkId) -> Contents {
    let mut contents = Contents { eth: Some(eth), les: true, ..Contents::default() };
    if let Some(addr) = transports.devp2p_addr() {
        match addr.ip() {
            IpAddr::V4(ip) if !ip.is_unspecified() => contents.ip = Some(ip),
            IpAddr::V6(ip) if !ip.is_unspecified() => contents.ip6 = Some(ip),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        contents.tcp = Some(addr.port());
    }
    for address in transports.multiaddrs().iter().filter_map(|text| text.parse::<Multiaddr>().ok()) {
        match address.parts() {
            [Part::Ip4(_), Part::Udp(port), Part::QuicV1, ..] => contents.quic = Some(*port),
            [Part::Ip6(_), Part::Udp(port), Part::QuicV1, ..] => contents.quic6 = Some(*port),
            // The only way in for a browser. Its address is known only if it is bound to one.
            [Part::Ip4(ip), Part::Tcp(_), Part::Ws, ..] if contents.ip == Some(*ip) => {
                contents.multiaddrs.push(address);
            }
            _ => {}
        }
    }
    contents
}

/// Milliseconds since 1970, with which a first record begins: ahead of any that was lost.
pub(crate) fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The record kept in `file`, if there is one.
pub(crate) fn read(file: &Path) -> Option<Record> {
    let metadata = std::fs::metadata(file).ok()?;
    let text = if metadata.len() <= MAX_FILE { std::fs::read_to_string(file).ok() } else { None };
    let record = text.and_then(|text| text.parse().ok());
    if record.is_none() {
        warn!(file = %file.display(), "holds no node record; a new one is made");
    }
    record
}

/// Replaces the file in one step, so that a crash leaves the old record or the new one.
fn write(file: &Path, record: &Record) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        crate::identity::create_private_dir(folder)?;
    }
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, format!("{record}\n"))?;
    std::fs::rename(&fresh, file)?;
    Ok(())
}

/// Our enode URL; with the loopback address where we listen on all.
pub(crate) fn enode(transports: &Transports) -> String {
    let addr = transports.devp2p_addr().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let ip = match addr.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    };
    Enode::new(transports.node_key(), SocketAddr::new(ip, addr.port())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_kept_and_found_again() {
        let folder = std::env::temp_dir().join(format!("causeway-record-{}", rand::random::<u64>()));
        let file = default_file(&folder);
        let key = crate::identity::generate();
        let record = Record::sign(&key, 7, &Contents::default()).expect("fits").record;

        assert_eq!(read(&file), None);
        write(&file, &record).expect("written");

        assert_eq!(read(&file), Some(record));
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
