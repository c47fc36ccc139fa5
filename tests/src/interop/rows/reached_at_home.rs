//! A relay at home behind miniupnpd, in namespaces: its ports are opened, tested by two relays outside, told in its
//! record, and closed at the end; `causeway netcheck` says so.

use std::fs;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::{
    process::Command,
    time::{Duration, timeout},
};

use crate::interop::Stage;

/// How long the whole may take.
const PACE: Duration = Duration::from_secs(120);

/// The router's daemon. Its address outside must be a public one. Nothing leaves the namespaces.
const MINIUPNPD: &str = "\
ext_ifname=wan
listening_ip=lan
http_port=0
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
uuid=5c6f7c0a-3c51-4b7e-8f3c-5a1d2b9b3f02
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
  chain input {
    type filter hook input priority 0; policy accept;
    iifname wan ct state new drop
  }
  chain prerouting { type nat hook prerouting priority -100; policy accept; jump prerouting_miniupnpd; }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    jump postrouting_miniupnpd
    oifname wan meta nfproto ipv4 masquerade
  }
}
";

/// The relays outside are reached at public addresses, so they test others'.
const HOME_AND_OUTSIDE: &str = r#"
set -eu
causeway=$1
here=$PWD
mount -t tmpfs none /run
mkdir /run/netns
ip link set lo up
ip link add name outside type bridge
ip link set outside up
for name in router home first second; do
    ip netns add "$name"
    ip -n "$name" link set lo up
done
for name in first second; do
    ip link add eth0 netns "$name" type veth peer name "$name"
    ip link set "$name" master outside up
    ip -n "$name" link set eth0 up
done
ip link add wan netns router type veth peer name router
ip link set router master outside up
ip link add lan netns router type veth peer name eth0 netns home
ip -n router link set wan up
ip -n router link set lan up
ip -n home link set eth0 up
ip -n router addr add 25.0.0.1/16 dev wan
ip -n first addr add 25.0.1.2/16 dev eth0
ip -n second addr add 25.0.2.2/16 dev eth0
ip -n router addr add 192.168.7.1/24 dev lan
ip -n home addr add 192.168.7.10/24 dev eth0
ip -n first route add default via 25.0.0.1
ip -n second route add default via 25.0.0.1
ip -n router route add default via 25.0.1.2
ip -n home route add default via 192.168.7.1
ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
ip netns exec router nft -f nftables.conf
ip netns exec router miniupnpd -d -f miniupnpd.conf -P "$PWD/miniupnpd.pid" >miniupnpd.log 2>&1 &

patiently() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || { echo "never: $*" >&2; exit 1; }
        sleep 0.1
    done
}
start() {
    name=$1
    shift
    ip netns exec "$name" "$causeway" run --network sepolia --no-discovery --datadir "$here/$name" "$@" \
        >"$name.out" 2>"$name.err" &
    pid=$!
    patiently grep -q '"ready":true' "$name.out"
}
quic() { tr '",' '\n\n' <"$1.out" | grep "^/ip4/25\..*/quic-v1/p2p/"; }
check() { ip netns exec home "$causeway" netcheck --json >netcheck.json; }
tested() { check && grep -q "$1" netcheck.json; }
rules() { ip netns exec router nft list ruleset; }

patiently grep -q 'Listening for NAT-PMP/PCP' miniupnpd.log
start first --nat none
start second --nat none
start home --nat any --trusted-peer "$(quic first)" --trusted-peer "$(quic second)"
home=$pid
patiently tested '"why":"the router opened port 30314 by PCP; 2 peers dialed it and got through"'
ip netns exec home "$causeway" netcheck >netcheck.txt
"$causeway" enr show --datadir "$here/home" --json >enr.json
rules | grep -q 'dport 30314 dnat ip to 192.168.7.10:30314'
kill "$home"
wait "$home"
if rules | grep -q '192.168.7.10'; then
    echo 'mappings are left:' >&2
    rules >&2
    exit 1
fi
"#;

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    fs::write(stage.dir.join("miniupnpd.conf"), MINIUPNPD)?;
    fs::write(stage.dir.join("nftables.conf"), NFTABLES)?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child"]);
    unshare.args(["sh", "-c", HOME_AND_OUTSIDE, "sh"]).arg(&stage.workshop.causeway);
    unshare.current_dir(&stage.dir).kill_on_drop(true);
    let output = timeout(PACE, unshare.output()).await.context("the relay at home took too long")??;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "in namespaces: {}: {}", output.status, errors.trim());
    let found = read(&stage, "netcheck.json")?;
    ensure!(found["state"] == "mapped" && found["confidence"] == "high", "netcheck says {found}");
    let words = "Others reach you directly. Nothing to do. Your router opened port 30314 automatically.";
    ensure!(found["advice"] == words, "netcheck advises {}", found["advice"]);
    let told = read(&stage, "enr.json")?.to_string();
    ensure!(told.contains("25.0.0.1:30314") && told.contains("/ip4/25.0.0.1/tcp/30315/ws"), "told: {told}");
    Ok("six ports opened by PCP, dialed back by two relays outside, told in the record, gone after SIGTERM"
        .to_owned())
}

fn read(stage: &Stage, file: &str) -> anyhow::Result<Value> {
    let text = fs::read_to_string(stage.dir.join(file)).with_context(|| format!("reading {file}"))?;
    serde_json::from_str(&text).with_context(|| format!("{file} is not JSON: {text}"))
}
