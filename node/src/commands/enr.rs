//! `causeway enr`: node records for people and scripts.

use std::{net::IpAddr, process::ExitCode, str::FromStr};

use anyhow::{Context, bail};
use causeway_records::{Contents, Multiaddr, Part, Record, libp2p_peer_id};
use serde_json::{Value, json};

use super::{print_line, run::default_datadir};
use crate::{
    cli::{EnrCommand, EnrNewArgs},
    identity, network, record,
};

/// Shows, reads or makes a record.
///
/// # Errors
/// If there is no record, or one that is not valid.
pub(crate) fn run(command: EnrCommand) -> anyhow::Result<ExitCode> {
    match command {
        EnrCommand::Show { datadir, json } => {
            let file = record::default_file(&datadir.map_or_else(default_datadir, Ok)?);
            let record = causeway_discovery::read_record(&file).with_context(|| {
                format!("`{}` holds no node record: has the relay run with this --datadir?", file.display())
            })?;
            print(&record, json);
        }
        EnrCommand::Decode { record, json } => {
            print(&Record::from_str(&record).context("the node record cannot be used")?, json);
        }
        EnrCommand::New(args) => new(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn new(args: EnrNewArgs) -> anyhow::Result<()> {
    let secret_key = identity::load_or_create(&args.nodekey)?;
    let contents = contents(&args)?;
    let signed =
        Record::sign(&secret_key, args.seq.unwrap_or_else(causeway_discovery::now_millis), &contents)
            .context("signing the node record")?;
    for dropped in &signed.dropped {
        eprintln!("causeway: left out, as the record has no room for it: {dropped}");
    }
    print_line(&signed.record.to_string());
    Ok(())
}

fn contents(args: &EnrNewArgs) -> anyhow::Result<Contents> {
    let EnrNewArgs { nodekey: _, seq: _, ip, tcp, udp, quic, multiaddrs, les, snap, network, at } = args;
    let mut contents = Contents { tcp: *tcp, udp: *udp, les: *les, snap: *snap, ..Contents::default() };
    for ip in ip {
        let again = match ip {
            IpAddr::V4(ip) => contents.ip.replace(*ip).is_some(),
            IpAddr::V6(ip) => contents.ip6.replace(*ip).is_some(),
        };
        if again {
            bail!("--ip {ip}: a record has one IPv4 and one IPv6 address");
        }
    }
    contents.quic = quic.filter(|_| contents.ip.is_some() || contents.ip6.is_none());
    contents.quic6 = quic.filter(|_| contents.ip6.is_some());
    for text in multiaddrs {
        let addr = Multiaddr::from_str(text).with_context(|| format!("--multiaddr {text}"))?;
        contents.multiaddrs.push(addr);
    }
    if let Some(name) = network {
        let spec = network::named(name)?;
        let (number, time) = at.unwrap_or((spec.genesis.number, spec.genesis.timestamp));
        contents.eth = Some(spec.fork_id(number, time.max(spec.genesis.timestamp)));
    }
    Ok(contents)
}

fn print(record: &Record, as_json: bool) {
    let object = object(record);
    if as_json {
        return print_line(&object.to_string());
    }
    let Value::Object(fields) = object else { return };
    for (name, value) in fields.iter().filter(|(name, _)| *name != "schema") {
        match value {
            Value::Null => {}
            Value::String(text) => print_line(&format!("{name:>12}  {text}")),
            Value::Array(items) if items.iter().all(Value::is_string) => {
                for item in items.iter().filter_map(Value::as_str) {
                    print_line(&format!("{name:>12}  {item}"));
                }
            }
            Value::Object(entries) => {
                for (key, value) in entries {
                    print_line(&format!("{name:>12}  {key} {}", value.as_str().unwrap_or_default()));
                }
            }
            other => print_line(&format!("{name:>12}  {other}")),
        }
    }
}

/// What a record says, key by key; a key that does not hold what it means is told under `faults`.
pub(crate) fn object(record: &Record) -> Value {
    let mut faults = Vec::new();
    let eth = record.eth().unwrap_or_else(|error| {
        faults.push(error.to_string());
        None
    });
    let les = record.les().unwrap_or_else(|error| {
        faults.push(error.to_string());
        None
    });
    let multiaddrs = record.multiaddrs().unwrap_or_else(|error| {
        faults.push(error.to_string());
        causeway_records::Multiaddrs::default()
    });
    faults.extend(multiaddrs.skipped.iter().map(ToString::to_string));
    let texts = |addrs: &[Multiaddr]| addrs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let keys: serde_json::Map<String, Value> = record
        .entries()
        .map(|(key, rlp)| {
            (String::from_utf8_lossy(key).into_owned(), json!(format!("0x{}", hex::encode(rlp))))
        })
        .collect();
    json!({
        "schema": 1,
        "enr": record.to_string(),
        "seq": record.seq(),
        "nodeId": hex::encode(record.node_id()),
        "peerId": Part::P2p(libp2p_peer_id(record.key())).to_string().trim_start_matches("/p2p/"),
        "enode": record.enode().map(|enode| enode.to_string()),
        "ip": record.ip4(),
        "ip6": record.ip6(),
        "tcp": record.tcp(),
        "udp": record.udp(),
        "quic": record.quic_addrs().unwrap_or_default(),
        "eth": eth.map(|id| format!("{}/{}", hex::encode(id.hash), id.next)),
        "les": les,
        "snap": record.snap(),
        "multiaddrs": texts(&multiaddrs.addresses),
        "dial": texts(&record.libp2p_addrs()),
        "bytes": record.size(),
        "keys": keys,
        "faults": faults,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn new_args(arguments: &[&str]) -> EnrNewArgs {
        let line = ["causeway", "enr", "new", "--nodekey", "unused"].iter().chain(arguments);
        match Cli::parse_from(line).command {
            Command::Enr(EnrCommand::New(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_asked_for_is_in_the_record_and_told_again() {
        let args = new_args(&[
            "--ip=192.0.2.7,2001:db8::7",
            "--tcp=30303",
            "--quic=9000",
            "--les",
            "--network=mainnet",
            "--at=20000000:1720000000",
            "--multiaddr=/dns4/relay.example.org/tcp/443/wss",
        ]);

        let contents = contents(&args).expect("valid");
        let record = Record::sign(&identity::generate(), 7, &contents).expect("fits").record;
        let object = object(&record);

        assert_eq!(object["seq"], 7);
        assert_eq!(object["ip"], "192.0.2.7");
        assert_eq!(object["quic"], json!(["192.0.2.7:9000", "[2001:db8::7]:9000"]));
        assert_eq!(object["les"], 1);
        assert_eq!(object["multiaddrs"], json!(["/dns4/relay.example.org/tcp/443/wss"]));
        // Cancun on mainnet, as in go-ethereum's fork id tests.
        assert!(object["eth"].as_str().is_some_and(|eth| eth.starts_with("9f3d2254/")), "{object}");
    }

    #[test]
    fn two_addresses_of_one_family_are_refused() {
        let error = contents(&new_args(&["--ip=192.0.2.7", "--ip=192.0.2.8"])).expect_err("refused");

        assert!(error.to_string().contains("192.0.2.8"), "{error}");
    }
}
