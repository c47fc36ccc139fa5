//! Our port mapping before miniupnpd, in namespaces: a host, its router with nftables, and the outside.

use std::fs;

use anyhow::{Context, ensure};
use tokio::{
    process::Command,
    time::{Duration, timeout},
};

use crate::interop::Stage;

/// How long the whole may take.
const PACE: Duration = Duration::from_secs(60);

/// The router's daemon. Addresses outside must be public ones: it refuses to map on others, as we do to advertise
/// them. Nothing leaves the namespaces.
const MINIUPNPD: &str = "\
ext_ifname=wan
ext_ifname6=wan
listening_ip=lan
http_port=0
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
min_lifetime=4
uuid=5c6f7c0a-3c51-4b7e-8f3c-5a1d2b9b3f01
allow 1024-65535 192.168.7.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
";

/// The router's rules: nothing comes in but what was let in. The chains without rules are miniupnpd's.
const NFTABLES: &str = "\
table inet filter {
  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname lan accept
    jump miniupnpd
  }
  chain prerouting { type nat hook prerouting priority -100; policy accept; jump prerouting_miniupnpd; }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    jump postrouting_miniupnpd
    oifname wan meta nfproto ipv4 masquerade
  }
}
";

/// Each protocol has ports of its own. A mapping lasts 8 s: who is reached after three grants was renewed.
///
/// miniupnpd 2.3.1 with nftables forgets who asked for a hole in the IPv6 firewall, refuses to close it, and lets it
/// end by itself; that is awaited.
const HOME_AND_ROUTER: &str = r#"
set -eu
map=$1
mount -t tmpfs none /run
mkdir /run/netns
ip link set lo up
for name in router home; do
    ip netns add "$name"
    ip -n "$name" link set lo up
done
ip link add wan netns router type veth peer name outside
ip link add lan netns router type veth peer name eth0 netns home
ip link set outside up
ip -n router link set wan up
ip -n router link set lan up
ip -n home link set eth0 up
ip addr add 25.0.0.254/24 dev outside
ip addr add 2600:25::254/64 dev outside nodad
ip -n router addr add 25.0.0.1/24 dev wan
ip -n router addr add 2600:25::1/64 dev wan nodad
ip -n router addr add 192.168.7.1/24 dev lan
ip -n router addr add 2600:7::1/64 dev lan nodad
ip -n home addr add 192.168.7.10/24 dev eth0
ip -n home addr add 2600:7::10/64 dev eth0 nodad
ip -n router route add default via 25.0.0.254
ip -n home route add default via 192.168.7.1
ip -n home -6 route add default via 2600:7::1
ip -6 route add 2600:7::/64 via 2600:25::1
ip netns exec router sh -c \
    'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
ip netns exec router nft -f nftables.conf
ip netns exec router miniupnpd -d -f miniupnpd.conf -P "$PWD/miniupnpd.pid" >miniupnpd.log 2>&1 &

patiently() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || { echo "never: $*" >&2; exit 1; }
        sleep 0.1
    done
}
granted() {
    for protocol in tcp udp; do
        [ "$(grep -c "^$protocol [0-9]* $2 mapped" "$1.out")" -ge "$3" ] || return 1
    done
}
rules() { ip netns exec router nft list ruleset; }
open() { ip netns exec home "$map" open "$1" 8 "tcp:$2" "udp:$2" >"$1.out" 2>"$1.err" & }
reach() {
    for protocol in tcp udp; do
        "$map" reach "$protocol" "$1" >/dev/null || { echo "$protocol $1 is not reached" >&2; exit 1; }
    done
}
no_holes() { ! rules | grep -q 'dport 4003'; }

patiently grep -q 'Listening for NAT-PMP/PCP' miniupnpd.log
if "$map" reach udp '[2600:7::10]:4003' 2>/dev/null; then
    echo 'the firewall is open' >&2
    exit 1
fi
open upnp 4001
upnp=$!
open pmp 4002
pmp=$!
open pcp 4003
pcp=$!
for grants in 1 3; do
    for method in upnp pmp pcp; do
        patiently granted "$method" ipv4 "$grants"
    done
    patiently granted pcp ipv6 "$grants"
    for port in 4001 4002 4003; do
        reach "25.0.0.1:$port"
    done
    reach '[2600:7::10]:4003'
done
rules | grep -q '192.168.7.10:4001'
kill "$upnp" "$pmp" "$pcp"
wait "$upnp" "$pmp" "$pcp"
if rules | grep -q '192.168.7.10'; then
    echo 'mappings are left:' >&2
    rules >&2
    exit 1
fi
patiently no_holes
"#;

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    fs::write(stage.dir.join("miniupnpd.conf"), MINIUPNPD)?;
    fs::write(stage.dir.join("nftables.conf"), NFTABLES)?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child"]);
    unshare.args(["sh", "-c", HOME_AND_ROUTER, "sh"]).arg(&stage.workshop.map);
    unshare.current_dir(&stage.dir).kill_on_drop(true);
    let output = timeout(PACE, unshare.output()).await.context("the router took too long")??;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "in namespaces: {}: {}", output.status, errors.trim());
    Ok("UPnP, NAT-PMP and PCP, TCP and UDP: reached from outside, renewed past their life, gone after SIGTERM; PCP \
        opens the IPv6 firewall, too"
        .to_owned())
}
