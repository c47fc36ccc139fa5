//! Machines, homes and their routers in network namespaces, in which the rows start their programs.
//!
//! ```text
//! machine-0 ─┐            ┌─ router-0 ─┬─ home-0-0
//! machine-1 ─┴─ public ───┤            └─ home-0-1
//!                         └─ router-1 ─── home-1-0
//! ```
//!
//! Nothing leaves them: `public` is connected with nothing else. It needs root, iproute2 and nftables.

mod nat;
mod place;
mod probe;
mod topology;

use std::{fs, net::Ipv4Addr};

use anyhow::{Context, ensure};

pub(super) use self::{
    nat::Nat,
    place::Place,
    probe::{Over, Probe},
    topology::{Home, Plan},
};
use super::{Stage, process::Peer};

/// A network that was laid. It is gone once this is dropped and no program runs in it any more.
#[derive(Debug)]
pub(super) struct Laboratory {
    /// Its stdin keeps the namespaces.
    keeper: Peer,
    plan: Plan,
}

impl Laboratory {
    /// Lays the network.
    pub(super) async fn build(stage: &Stage, plan: Plan) -> anyhow::Result<Self> {
        let host = topology::host_address(0).to_string();
        for nat in Nat::ALL {
            fs::write(stage.dir.join(topology::rules_file(nat)), nat.rules(&host))?;
        }
        let arguments = ["--net", "--mount", "sh", "-c", &plan.script()].map(str::to_owned);
        let keeper = Peer::start(stage, "laboratory", "unshare".as_ref(), arguments)?;
        let built = keeper.ready().await;
        built.with_context(|| format!("the laboratory was not built: {}", keeper.log().trim()))?;
        Ok(Self { keeper, plan })
    }

    /// A home behind each of these routers, a host in each, and machines.
    pub(super) async fn simple(stage: &Stage, machines: u8, nats: &[Nat]) -> anyhow::Result<Self> {
        let homes = nats.iter().map(|nat| Home { nat: *nat, hosts: 1 }).collect();
        Self::build(stage, Plan { machines, homes }).await
    }

    /// A machine with a public address.
    pub(super) fn machine(&self, machine: u8) -> anyhow::Result<Place> {
        ensure!(machine < self.plan.machines, "there is no machine {machine}");
        self.place(topology::machine_name(machine), topology::machine_address(machine))
    }

    /// A host in a home. It listens at every address, as programs at home do.
    pub(super) fn host(&self, home: u8, host: u8) -> anyhow::Result<Place> {
        let hosts = self.plan.homes.get(usize::from(home)).map_or(0, |home| home.hosts);
        ensure!(host < hosts, "there is no host {host} in home {home}");
        self.place(topology::host_name(home, host), Ipv4Addr::UNSPECIFIED)
    }

    fn place(&self, name: String, address: Ipv4Addr) -> anyhow::Result<Place> {
        Ok(Place::new(self.keeper.pid()?, name, address))
    }

    /// The router forgets whom its hosts talk with.
    pub(super) async fn reboot(&self, home: u8) -> anyhow::Result<()> {
        let gateway = "ip route show default | cut -d ' ' -f 3";
        let script = format!(
            "gateway=$({gateway}); ip link set wan down; ip link set wan up; ip route add default via $gateway"
        );
        self.run(&topology::router_name(home), &script).await
    }

    /// The router swallows everything from now on.
    pub(super) async fn cut(&self, home: u8) -> anyhow::Result<()> {
        let rules = "add table ip cut; add chain ip cut everything { type filter hook prerouting priority -400; policy drop; }";
        self.run(&topology::router_name(home), &format!("nft '{rules}'")).await
    }

    /// The router works again, and knows what it knew before.
    pub(super) async fn restore(&self, home: u8) -> anyhow::Result<()> {
        self.run(&topology::router_name(home), "nft delete table ip cut").await
    }

    /// Runs a shell's commands in a space.
    async fn run(&self, space: &str, script: &str) -> anyhow::Result<()> {
        let place = self.place(space.to_owned(), Ipv4Addr::UNSPECIFIED)?;
        place.run("sh", &["-ec", script]).await.map(drop)
    }
}
