//! The secure WebSocket: under which names it is told to others, and what is refused at the start.

mod kit;

use std::{fs, path::PathBuf};

use causeway_transports::{
    CertificateError, CertificateFiles, HostError, SecureWebSocket, Transports, TransportsConfig,
    TransportsError,
};
use kit::{Node, any, config, start};

/// A certificate for `names` in a folder that goes away with it.
struct Certificate(PathBuf);

impl Certificate {
    fn of(test: &str, names: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("causeway-secure-{}-{test}", std::process::id()));
        fs::create_dir_all(&folder).expect("folder");
        let certificate = Self(folder);
        certificate.renew(names);
        certificate
    }

    fn renew(&self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("certificate");
        let CertificateFiles { cert, key } = self.files();
        fs::write(cert, made.cert.pem()).expect("written");
        fs::write(key, made.key_pair.serialize_pem()).expect("written");
    }

    fn files(&self) -> CertificateFiles {
        CertificateFiles { cert: self.0.join("cert.pem"), key: self.0.join("key.pem") }
    }

    fn listener(&self, names: &[&str]) -> TransportsConfig {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let addr = any().expect("an address");
        let secure = SecureWebSocket { addr, certificate: self.files(), names };
        TransportsConfig { secure_websocket: Some(secure), ..config(1) }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn port(node: &Node) -> String {
    let addresses = node.transports.multiaddrs();
    let [address] = addresses.as_slice() else { panic!("{addresses:?}") };
    let (before, _peer) = address.split_once("/tls/ws/p2p/").expect("secure");
    before.strip_prefix("/ip4/127.0.0.1/tcp/").expect("loopback").to_owned()
}

#[tokio::test]
async fn configured_names_are_told_first_with_the_port_outside() {
    let certificate = Certificate::of("configured", &["cert.example.org"]);
    let mut config = certificate.listener(&["Relay.example.org:443", "other.example.org"]);
    config.external_addresses = vec!["/ip4/192.0.2.1/tcp/30314".to_owned()];
    let node = start(config).await;

    let named = [
        "/dns4/relay.example.org/tcp/443/tls/ws".to_owned(),
        format!("/dns4/other.example.org/tcp/{}/tls/ws", port(&node)),
    ];
    assert_eq!(node.transports.named_multiaddrs(), named);
    let [first, second, third] = node.transports.external_addresses().try_into().expect("three");
    assert_eq!([first, second], named);
    assert_eq!(third, "/ip4/192.0.2.1/tcp/30314");
    node.stop().await;
}

#[tokio::test]
async fn else_the_names_are_those_of_the_certificate_in_use() {
    let certificate = Certificate::of("certified", &["cert.example.org", "localhost"]);
    let node = start(certificate.listener(&[])).await;
    let port = port(&node);
    assert_eq!(node.transports.named_multiaddrs(), [format!("/dns4/cert.example.org/tcp/{port}/tls/ws")]);

    certificate.renew(&["new.example.org"]);
    node.transports.reload_certificate().await.expect("good");

    assert_eq!(node.transports.named_multiaddrs(), [format!("/dns4/new.example.org/tcp/{port}/tls/ws")]);
    fs::remove_file(certificate.files().key).expect("removed");
    let result = node.transports.reload_certificate().await;
    assert!(matches!(result, Err(HostError::Certificate(CertificateError::Read { .. }))), "{result:?}");
    node.stop().await;
}

#[tokio::test]
async fn bad_names_and_files_are_refused_at_the_start() {
    let certificate = Certificate::of("bad", &["localhost"]);

    let result = Transports::start(certificate.listener(&["https://relay.example.org"])).await.map(drop);
    assert!(matches!(result, Err(TransportsError::Name(_))), "{result:?}");

    fs::write(certificate.files().cert, "nothing").expect("written");
    let result = Transports::start(certificate.listener(&[])).await.map(drop);
    let Err(TransportsError::Host(HostError::Certificate(error))) = result else { panic!("{result:?}") };
    assert!(matches!(error, CertificateError::NoCertificate { .. }), "{error}");
}
