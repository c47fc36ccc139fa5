//! What home routers do to their packets, as rules for nftables.

/// A kind of router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::interop) enum Nat {
    /// Keeps the port to wherever a packet goes (endpoint-independent mapping); lets in only who was written to,
    /// from the port that was written to. Most homes.
    Home,
    /// Another port for each destination.
    Symmetric,
    /// Everything that comes in goes to the first host.
    FullCone,
    /// Whatever comes in from an address that was written to goes to the first host.
    AddressRestricted,
    /// As [`Self::Home`], and it answers what it does not let in.
    Rejecting,
    /// As [`Self::Home`], and no UDP leaves.
    UdpBlocked,
}

impl Nat {
    pub(in crate::interop) const ALL: [Self; 6] = [
        Self::Home,
        Self::Symmetric,
        Self::FullCone,
        Self::AddressRestricted,
        Self::Rejecting,
        Self::UdpBlocked,
    ];

    pub(in crate::interop) fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Symmetric => "symmetric",
            Self::FullCone => "full cone",
            Self::AddressRestricted => "address-restricted",
            Self::Rejecting => "rejecting",
            Self::UdpBlocked => "UDP blocked",
        }
    }

    /// The router's table. `host` is the one that gets what comes in unasked.
    ///
    /// What came in unasked must be dropped in the input chain: else it takes the port in the connection tracking,
    /// the host's own packets get another one, and every punch fails.
    pub(super) fn rules(self, host: &str) -> String {
        let masquerade = match self {
            Self::Symmetric => "masquerade fully-random",
            _ => "masquerade",
        };
        let dnat = match self {
            Self::FullCone => format!("iifname wan meta l4proto {{ tcp, udp }} dnat to {host}"),
            Self::AddressRestricted => {
                format!("iifname wan ip saddr @contacted meta l4proto {{ tcp, udp }} dnat to {host}")
            }
            _ => String::new(),
        };
        let leaving = match self {
            Self::AddressRestricted => "iifname lan update @contacted { ip daddr timeout 60s }",
            Self::UdpBlocked => "iifname lan oifname wan meta l4proto udp drop",
            _ => "",
        };
        let unasked = match self {
            Self::Rejecting => "iifname wan meta l4proto tcp reject with tcp reset\n    iifname wan reject",
            _ => "iifname wan drop",
        };
        format!(
            "\
table ip home {{
  set contacted {{
    type ipv4_addr
    flags dynamic,timeout
    timeout 60s
  }}
  chain leaving {{
    type nat hook postrouting priority 100
    oifname wan {masquerade}
  }}
  chain coming {{
    type nat hook prerouting priority -100
    {dnat}
  }}
  chain through {{
    type filter hook forward priority 0
    policy drop
    {leaving}
    ct state invalid drop
    iifname lan accept
    iifname wan ct state established,related accept
    iifname wan ct status dnat accept
  }}
  chain unasked {{
    type filter hook input priority 0
    iifname wan ct state established,related accept
    {unasked}
  }}
}}
"
        )
    }
}
