//! How many packets are looked at: each costs a hash and the recovery of a key.

use std::{net::IpAddr, time::Instant};

use crate::{
    network::{host, subnet},
    rate::{Bucket, Buckets, Rate},
};

/// Packets a second of one machine (an IPv4 address, or an IPv6 /64).
pub const HOST_RATE: u32 = 50;
/// Packets of one machine at once.
pub const HOST_BURST: u32 = 200;
/// Packets a second of one site (an IPv4 /24, or an IPv6 /48).
pub const SUBNET_RATE: u32 = 150;
/// Packets of one site at once.
pub const SUBNET_BURST: u32 = 600;
/// Packets a second of all who have not proven their endpoint: source addresses can be made up.
pub const STRANGER_RATE: u32 = 1000;
/// Packets of all strangers at once.
pub const STRANGER_BURST: u32 = 2000;
/// Machines, and sites, whose packets are counted.
pub const MAX_TRACKED: usize = 4096;

/// Decides whether a packet is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    hosts: Buckets<IpAddr>,
    subnets: Buckets<IpAddr>,
    strangers: Bucket,
}

/// Whether an address has proven that it receives what is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Proven,
    Stranger,
}

impl Intake {
    pub(crate) fn new() -> Self {
        Self {
            hosts: Buckets::new(Rate::new(HOST_RATE, HOST_BURST), MAX_TRACKED),
            subnets: Buckets::new(Rate::new(SUBNET_RATE, SUBNET_BURST), MAX_TRACKED),
            strangers: Bucket::default(),
        }
    }

    /// One machine over its limit takes nothing from its site, nor a site from all strangers.
    pub(crate) fn admits(&mut self, ip: IpAddr, standing: Standing, now: Instant) -> bool {
        let strangers = Rate::new(STRANGER_RATE, STRANGER_BURST);
        self.hosts.take(host(ip), now)
            && self.subnets.take(subnet(ip), now)
            && (standing == Standing::Proven || self.strangers.take(strangers, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(intake: &mut Intake, ips: impl Iterator<Item = [u8; 4]>, standing: Standing) -> u32 {
        let now = Instant::now();
        ips.map(|ip| u32::from(intake.admits(ip.into(), standing, now))).sum()
    }

    #[test]
    fn a_machine_has_its_burst() {
        let one_machine = (0..1000).map(|_| [9, 8, 7, 6]);

        assert_eq!(admitted(&mut Intake::new(), one_machine, Standing::Proven), HOST_BURST);
    }

    #[test]
    fn a_site_has_its_burst() {
        let one_site = (0..2000_u32).map(|n| [9, 8, 7, n.to_be_bytes()[3]]);

        assert_eq!(admitted(&mut Intake::new(), one_site, Standing::Proven), SUBNET_BURST);
    }

    #[test]
    fn strangers_share_one_burst_and_take_nothing_from_the_proven() {
        let mut intake = Intake::new();
        let everywhere =
            |first: u8| (0..9000_u16).map(move |n| [first, n.to_be_bytes()[0], n.to_be_bytes()[1], 1]);

        assert_eq!(admitted(&mut intake, everywhere(9), Standing::Stranger), STRANGER_BURST);
        assert_eq!(admitted(&mut intake, everywhere(11), Standing::Proven), 9000);
        assert_eq!((intake.hosts.len(), intake.subnets.len()), (MAX_TRACKED, MAX_TRACKED));
    }
}
