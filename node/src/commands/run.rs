//! `causeway run`: the relay.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::ExitCode,
    str::FromStr,
    sync::Arc,
};

use anyhow::{Context, bail};
use causeway_discovery::udp::Bootnode;
use causeway_pool::{Named, Source};
use causeway_records::{Enode, Multiaddr, Part, Reach, Record, dns_tree::Link};
use causeway_wire::PeerId;
use tracing::{info, warn};

use super::{print_line, stop_signal};
use crate::{
    access::Access,
    app::{Relay, RelayConfig},
    cli::{DiscoveryArgs, RunArgs},
    dialing::is_local,
    identity, network,
    peering::{Look, Peering},
    ports::{Ports, secure_websocket},
};

/// Runs until it is told to stop.
///
/// # Errors
/// If something it was told cannot be used, or a listener cannot bind.
pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let stop = stop_signal()?;
    let spec = Arc::new(network::chain_spec(&args.network)?);
    let named = named(&args)?;
    let (key_file, datadir) = key_and_datadir(args.listen.nodekey.clone(), args.datadir)?;
    let secret_key = identity::load_or_create(&key_file)?;
    if let Some(datadir) = &datadir {
        identity::create_private_dir(datadir)?;
    }
    let every = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let access = Access::new(args.access);
    let ports = Ports::new(&args.listen, every);
    let secure_websocket = secure_websocket(&args.listen, every)?;
    let look =
        if args.listen.no_discovery { None } else { Some(look(&args.discovery, &args.network.network)?) };
    match &look {
        None if named.is_empty() => warn!(
            "no full node to ask: name at least one with --full-node enode://…, or leave --no-discovery out; \
             until then light peers get no answers"
        ),
        Some(look) if named.is_empty() && look.bootnodes.is_empty() && look.lists.is_empty() => warn!(
            "nowhere to look for peers: this network has no built-in bootnodes; name some with --bootnodes or \
             --dns, or full nodes with --full-node"
        ),
        None | Some(_) => {}
    }
    let reach = reach(&args.discovery, ports.addr(), look.as_ref());
    let relay = Relay::start(RelayConfig {
        spec,
        checkpoint: args.network.checkpoint,
        peering: Peering {
            named,
            look,
            reach,
            nat: args.discovery.nat,
            profile: args.discovery.profile,
            datadir,
        },
        secret_key,
        ports,
        secure_websocket,
        access,
        reach: args.reach.config(reach == Reach::Local),
        light_peers: args.light_peers,
        cache_bytes: args.cache_mib.saturating_mul(1024 * 1024),
    })
    .await?;
    print_line(&relay.ready().to_string());
    stop.cancelled().await;
    info!("stopping");
    relay.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// The peers that the user named.
fn named(args: &RunArgs) -> anyhow::Result<Vec<(Named, Source)>> {
    let all = [
        ("--trusted-peer", &args.trusted_peers, Source::Trusted),
        ("--full-node", &args.full_nodes, Source::Static),
    ];
    let each = all.into_iter().flat_map(|(flag, texts, source)| {
        texts.iter().map(move |text| Ok((peer(text).with_context(|| format!("{flag} {text}"))?, source)))
    });
    each.collect()
}

/// Where strangers may send us: to private addresses, too, if the user says so or if we are in a closed network.
/// Who looks where the whole network looks is in none, though its own address be private: so are those of machines
/// that a cloud or a router stands before, and what is around these is nothing for strangers to send us to.
fn reach(args: &DiscoveryArgs, own: IpAddr, look: Option<&Look>) -> Reach {
    let open =
        look.is_some_and(|look| is_built_in(args) && !(look.bootnodes.is_empty() && look.lists.is_empty()));
    if args.local || (is_local(own) && !open) { Reach::Local } else { Reach::Public }
}

/// Whether the network's own places to look at are taken: the user names none.
fn is_built_in(args: &DiscoveryArgs) -> bool {
    args.bootnodes.is_empty() && args.lists.is_empty()
}

/// Where to look for peers: where the user says, else at the network's own places.
fn look(args: &DiscoveryArgs, network: &str) -> anyhow::Result<Look> {
    let (bootnodes, lists): (Vec<&str>, Vec<&str>) = if is_built_in(args) {
        (causeway_discovery::bootnodes(network).to_vec(), causeway_discovery::dns_lists(network).to_vec())
    } else {
        (args.bootnodes.iter().map(String::as_str).collect(), args.lists.iter().map(String::as_str).collect())
    };
    Ok(Look {
        bootnodes: bootnodes
            .into_iter()
            .map(|text| Bootnode::from_str(text).with_context(|| format!("--bootnodes {text}")))
            .collect::<Result<_, _>>()?,
        lists: lists
            .into_iter()
            .map(|text| Link::from_str(text).with_context(|| format!("--dns {text}")))
            .collect::<Result<_, _>>()?,
        name_server: args.name_server,
        topics: args.topics,
    })
}

/// A peer as the user names it: a full node by an enode URL or a node record, another relay by a multiaddr.
fn peer(text: &str) -> anyhow::Result<Named> {
    if text.starts_with('/') {
        let addr = Multiaddr::from_str(text)?;
        let peer = addr.parts().iter().rev().find_map(|part| match part {
            Part::P2p(id) => PeerId::libp2p(id).ok(),
            _ => None,
        });
        let key = peer
            .as_ref()
            .and_then(causeway_transports::node_key)
            .context("must end in /p2p/16Uiu2…, the id of the relay's secp256k1 key")?;
        return Ok(Named::Multiaddrs { key, addrs: vec![addr] });
    }
    if text.starts_with("enr:") {
        let record = Record::from_str(text)?;
        if record.enode().is_none() && record.libp2p_addrs().is_empty() {
            bail!("the record has no address to dial");
        }
        return Ok(Named::Record(record));
    }
    let enode = Enode::from_str(text)?;
    if enode.tcp_addr().is_none() {
        bail!("needs an IP address and a TCP port to dial");
    }
    Ok(Named::Enode(enode))
}

/// The file with the node key, and where state is kept: nowhere if only the key was named.
///
/// # Errors
/// If neither was named and there is no home directory.
pub(crate) fn key_and_datadir(
    nodekey: Option<PathBuf>,
    datadir: Option<PathBuf>,
) -> anyhow::Result<(PathBuf, Option<PathBuf>)> {
    if let Some(file) = nodekey {
        return Ok((file, datadir));
    }
    let datadir = datadir.map_or_else(default_datadir, Ok)?;
    Ok((identity::default_file(&datadir), Some(datadir)))
}

/// Where state is kept unless the user says otherwise (deploy guide, section 2).
pub(crate) fn default_datadir() -> anyhow::Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("STATE_DIRECTORY")
        .or_else(|| from("XDG_DATA_HOME").map(|home| home.join("causeway")))
        .or_else(|| from("HOME").map(|home| home.join(".local/share/causeway")))
        .or_else(|| from("LOCALAPPDATA").map(|home| home.join("causeway").join("data")))
        .context("there is no home directory to keep the node key in: name one with --datadir or --nodekey")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn reach_of(flags: &[&str], network: &str) -> Reach {
        let flags = ["causeway", "run", "--addr", "10.0.0.5"].iter().chain(flags);
        let Command::Run(args) = Cli::parse_from(flags).command else { panic!("another command") };
        let look = look(&args.discovery, network).expect("valid");
        let own = args.listen.addr.expect("given");
        reach(&args.discovery, own, Some(&look))
    }

    fn named_by(flags: &[&str]) -> anyhow::Result<Vec<(Named, Source)>> {
        let flags = ["causeway", "run"].iter().chain(flags);
        let Command::Run(args) = Cli::parse_from(flags).command else { panic!("another command") };
        named(&args)
    }

    #[test]
    fn peers_are_named_by_url_record_or_multiaddr_and_mistakes_name_the_flag() {
        let key = "fda1cff674c90c9a197539fe3dfb53086ace64f83ed7c6eabec741f7f381cc80\
                   3e52ab2cd55d5569bce4347107a310dfd5f88a010cd2ffd1005ca406f1842877";
        let enode = format!("enode://{key}@127.0.0.1:1");
        let relay = "/ip4/127.0.0.1/tcp/1/p2p/16Uiu2HAmT14ttcUrwsTn5fwCUc4qY4twN2HqyZgSgZKUMtVei6SC";

        let named = named_by(&["--full-node", &enode, "--trusted-peer", relay]).expect("valid");

        assert!(matches!(
            named.as_slice(),
            [(Named::Multiaddrs { .. }, Source::Trusted), (Named::Enode(_), Source::Static)]
        ));
        for (flag, text, why) in [
            ("--trusted-peer", "/ip4/127.0.0.1/tcp/1", "/p2p/16Uiu2"),
            ("--full-node", "enr:AA", "enr"),
            ("--full-node", &format!("enode://{key}@127.0.0.1:0?discport=1"), "TCP port"),
        ] {
            let error = format!("{:#}", named_by(&[flag, text]).expect_err("refused"));
            assert!(error.starts_with(flag) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_private_address_alone_does_not_make_a_closed_network() {
        let list = "enrtree://AM5FCQLWIZX2QFPNJAP7VUERCCRNGRHWZG3YYHIUV7BVDQ5FDPRT2@nodes.example.org";

        assert_eq!(reach_of(&[], "mainnet"), Reach::Public);
        assert_eq!(reach_of(&["--discovery.local"], "mainnet"), Reach::Local);
        assert_eq!(reach_of(&["--dns", list], "mainnet"), Reach::Local);
        assert_eq!(reach_of(&[], "genesis.json"), Reach::Local);
    }
}
