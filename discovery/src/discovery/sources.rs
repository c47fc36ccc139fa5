//! Where peers come from, started and asked.

use std::net::SocketAddr;

use causeway_records::{
    Record,
    dns_tree::{Limits, Link},
};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use super::{DiscoveryError, Looking};
use crate::{
    DnsClient, DnsLists, Pace, Topics, TopicsConfig,
    udp::{Found, PROTOCOL_ID, Udp, UdpConfig, UdpLimits},
};

/// Where peers come from.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) udp: Option<Udp>,
    pub(super) found: Option<mpsc::Receiver<Found>>,
    pub(super) listed: Option<mpsc::Receiver<Record>>,
    pub(super) topics: Option<Topics>,
    pub(super) advertised: Option<mpsc::Receiver<Record>>,
}

impl Sources {
    pub(super) async fn start(
        looking: Looking,
        remembered: &[Record],
        record: watch::Receiver<Record>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, DiscoveryError> {
        let Looking { secret_key, sockets, tcp, bootnodes, lists, name_server, reach, votes, talk, topics } =
            looking;
        let own = record.clone();
        let config = UdpConfig {
            secret_key,
            sockets,
            tcp,
            record,
            bootnodes,
            reach,
            discv4: true,
            discv5: true,
            votes,
            protocol_id: PROTOCOL_ID,
            limits: UdpLimits::default(),
        };
        let (udp, found) = Udp::start(config, talk.clone(), tasks, stop.clone()).await?;
        let topics = topics.map(|namespace| {
            let config = TopicsConfig { namespace, record: own, reach };
            Topics::start(config, udp.clone(), &talk, tasks, stop.clone())
        });
        let (topics, advertised) = topics.unzip();
        // What worked in the last run is asked first, should the bootnodes be gone.
        for record in remembered {
            udp.add(record);
            topics.iter().for_each(|topics| topics.offer(record));
        }
        let listed = if lists.is_empty() { None } else { read_lists(lists, name_server, tasks, stop) };
        Ok(Self { udp: Some(udp), found: Some(found), listed, topics, advertised })
    }
}

fn read_lists(
    lists: Vec<Link>,
    name_server: Option<SocketAddr>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Option<mpsc::Receiver<Record>> {
    let client = match name_server {
        Some(addr) => DnsClient::server(addr),
        None => DnsClient::system(),
    };
    match client {
        Ok(client) => {
            let (lists, records, _) = DnsLists::new(client, lists, Limits::default(), Pace::default());
            tasks.spawn(lists.run(stop.clone()));
            Some(records)
        }
        Err(error) => {
            warn!(%error, "no node lists from the DNS: name a server with --dns.server");
            None
        }
    }
}

/// The next of a source, if there is one; never, if it is closed.
pub(super) async fn next<T>(source: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match source {
        Some(receiver) => match receiver.recv().await {
            Some(item) => Some(item),
            None => {
                *source = None;
                std::future::pending().await
            }
        },
        None => std::future::pending().await,
    }
}
