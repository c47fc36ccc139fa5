//! The rows of the table.

mod browser;
mod circuit_storms;
mod circuits;
mod conformance;
mod discv5_js;
mod dns;
mod ethereumjs;
mod find_each_other;
mod finding_home;
mod heartbeat;
mod hostile;
mod hostile_udp;
mod killed;
mod light_by_list;
mod light_client;
mod lists;
mod lying;
mod matrix;
mod nat_laboratory;
mod nat_table;
mod port_mapping;
mod reached_at_home;
mod records_js;
mod rendezvous;
mod served;
mod sleeping;
mod stacks;
mod storms;
mod thirty_homes;

use std::pin::Pin;

use super::Stage;

/// What a row comes to: a note for the table, or why it failed.
pub(super) type Outcome = Pin<Box<dyn Future<Output = anyhow::Result<String>> + Send>>;

/// One line of the table.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) run: fn(Stage) -> Outcome,
}

/// In the order in which they run.
pub(super) const ALL: &[Row] = &[
    Row {
        name: "geth-fake-les4",
        what: "js-libp2p and causeway light before geth, ethash, les/4",
        run: |stage| Box::pin(served::run(stage, "fake", 4)),
    },
    Row {
        name: "geth-fake-les3",
        what: "the same, les/3",
        run: |stage| Box::pin(served::run(stage, "fake", 3)),
    },
    Row {
        name: "geth-fake-les2",
        what: "the same, les/2",
        run: |stage| Box::pin(served::run(stage, "fake", 2)),
    },
    Row {
        name: "geth-clique-les4",
        what: "the same, clique, les/4",
        run: |stage| Box::pin(served::run(stage, "clique", 4)),
    },
    Row {
        name: "geth-clique-les3",
        what: "the same, clique, les/3",
        run: |stage| Box::pin(served::run(stage, "clique", 3)),
    },
    Row {
        name: "geth-clique-les2",
        what: "the same, clique, les/2",
        run: |stage| Box::pin(served::run(stage, "clique", 2)),
    },
    Row {
        name: "geth-light-client",
        what: "geth's own light client at Causeway's enode",
        run: |stage| Box::pin(light_client::run(stage)),
    },
    Row {
        name: "ethereumjs",
        what: "Causeway before EthereumJS' LES server",
        run: |stage| Box::pin(ethereumjs::run(stage)),
    },
    Row {
        name: "js-libp2p",
        what: "js-libp2p dials (→) and listens (←), over each transport; les/4, les/3, les/2",
        run: |stage| Box::pin(stacks::js(stage)),
    },
    Row {
        name: "wss",
        what: "js-libp2p and go-libp2p over WebSocket with TLS; the certificate is exchanged meanwhile",
        run: |stage| Box::pin(stacks::wss(stage)),
    },
    Row {
        name: "webtransport",
        what: "go-libp2p over WebTransport; the address printed before a restart works after it",
        run: |stage| Box::pin(stacks::webtransport(stage)),
    },
    Row {
        name: "webrtc-direct",
        what: "go-libp2p over WebRTC-direct; the address printed before a restart works after it",
        run: |stage| Box::pin(stacks::webrtc_direct(stage)),
    },
    Row {
        name: "go-libp2p",
        what: "go-libp2p dials (→) and listens (←), over each transport, with noise and with TLS",
        run: |stage| Box::pin(matrix::go(stage)),
    },
    Row {
        name: "py-libp2p",
        what: "py-libp2p dials (→) and listens (←), over each transport",
        run: |stage| Box::pin(matrix::py(stage)),
    },
    Row {
        name: "browser-page",
        what: "the page of causeway dev in Chromium, over WebTransport and WebSocket",
        run: |stage| Box::pin(browser::page(stage)),
    },
    Row {
        name: "chromium",
        what: "the page in Chromium before geth, over each transport that a browser has",
        run: |stage| Box::pin(browser::transports(stage)),
    },
    Row {
        name: "chromium-webrtc-direct",
        what: "the page in Chromium over WebRTC-direct, go-libp2p beside it",
        run: |stage| Box::pin(browser::webrtc_direct(stage)),
    },
    Row {
        name: "browser-lied-to",
        what: "a relay alters one thing in what the page in Chromium asks for",
        run: |stage| Box::pin(browser::lied_to(stage)),
    },
    Row {
        name: "lists",
        what: "light peers are denied by a file while they are connected",
        run: |stage| Box::pin(lists::run(stage)),
    },
    Row {
        name: "heartbeat",
        what: "js-libp2p and geth answer our pings; js-libp2p is stopped with SIGSTOP",
        run: |stage| Box::pin(heartbeat::run(stage)),
    },
    Row {
        name: "lying",
        what: "a proxy alters one byte in each kind of answer",
        run: |stage| Box::pin(lying::run(stage)),
    },
    Row {
        name: "upstream-killed",
        what: "the only full node dies with 100 requests in flight",
        run: |stage| Box::pin(killed::run(stage)),
    },
    Row {
        name: "hostile",
        what: "light peers that break the rules",
        run: |stage| Box::pin(hostile::run(stage)),
    },
    Row {
        name: "hostile-udp",
        what: "floods of discv4 and discv5 while a light peer reads",
        run: |stage| Box::pin(hostile_udp::run(stage)),
    },
    Row {
        name: "storms",
        what: "frames, streams, resets and slow readers without measure while light peers read",
        run: |stage| Box::pin(storms::traffic(stage)),
    },
    Row {
        name: "storms-half-open",
        what: "a thousand handshakes at each door that never end, while light peers read",
        run: |stage| Box::pin(storms::half_open(stage)),
    },
    Row {
        name: "discv5-conformance",
        what: "`devp2p discv5 test` of geth v1.10.26 against a relay",
        run: |stage| Box::pin(conformance::run(stage, conformance::DISCV5)),
    },
    Row {
        name: "discv5-conformance-today",
        what: "the same of geth v1.17.10",
        run: |stage| Box::pin(conformance::run(stage, conformance::DISCV5_TODAY)),
    },
    Row {
        name: "discv4-conformance",
        what: "`devp2p discv4 test` of geth v1.10.26 against a relay",
        run: |stage| Box::pin(conformance::run(stage, conformance::DISCV4)),
    },
    Row {
        name: "discv4-conformance-today",
        what: "the same of geth v1.17.10",
        run: |stage| Box::pin(conformance::run(stage, conformance::DISCV4_TODAY)),
    },
    Row {
        name: "discv5-js",
        what: "our discv5 and @chainsafe/discv5 ask each other",
        run: |stage| Box::pin(discv5_js::run(stage)),
    },
    Row {
        name: "find-each-other",
        what: "three geths and two relays that know one bootnode",
        run: |stage| Box::pin(find_each_other::run(stage)),
    },
    Row {
        name: "light-by-list",
        what: "a light peer that is given the URL of a DNS list",
        run: |stage| Box::pin(light_by_list::run(stage)),
    },
    Row {
        name: "dns-lists",
        what: "lists of 40 nodes, signed by Causeway and geth, served by knot, read by the other",
        run: |stage| Box::pin(dns::run(stage)),
    },
    Row {
        name: "records-js",
        what: "@waku/enr and @chainsafe/enr read our records, and we theirs",
        run: |stage| Box::pin(records_js::run(stage)),
    },
    Row {
        name: "rendezvous",
        what: "py-libp2p at our rendezvous point, and we at its",
        run: |stage| Box::pin(rendezvous::run(stage)),
    },
    Row {
        name: "port-mapping",
        what: "our port mapping before miniupnpd with nftables, in namespaces",
        run: |stage| Box::pin(port_mapping::run(stage)),
    },
    Row {
        name: "reached-at-home",
        what: "a relay behind miniupnpd: its ports opened, tested by two others, told, and closed at the end",
        run: |stage| Box::pin(reached_at_home::run(stage)),
    },
    Row {
        name: "nat-laboratory",
        what: "plain sockets behind each kind of router: what the rows below stand on",
        run: |stage| Box::pin(nat_laboratory::run(stage)),
    },
    Row {
        name: "nat-table",
        what: "a relay at home and a light peer behind another router, for each two kinds of router, over QUIC and TCP",
        run: |stage| Box::pin(nat_table::run(stage)),
    },
    Row {
        name: "circuit-js",
        what: "js-libp2p behind our relay, and through it before a relay at home",
        run: |stage| Box::pin(circuits::js(stage)),
    },
    Row {
        name: "circuit-go",
        what: "the same with go-libp2p; and a relay at home behind go-libp2p's relay service",
        run: |stage| Box::pin(circuits::go(stage)),
    },
    Row {
        name: "chromium-circuit",
        what: "the page in Chromium before a relay at home, through another relay, over WebTransport and WebSocket",
        run: |stage| Box::pin(browser::circuit(stage)),
    },
    Row {
        name: "sleeping",
        what: "light peers that were stopped, or whose network was gone, and what a relay at home had for them then",
        run: |stage| Box::pin(sleeping::run(stage)),
    },
    Row {
        name: "finding-home",
        what: "a light peer that has only the record of a relay at home, which found its relays itself",
        run: |stage| Box::pin(finding_home::run(stage)),
    },
    Row {
        name: "thirty-homes",
        what: "thirty relays behind ten routers that know one bootnode, each with a light peer; then the bootnode dies",
        run: |stage| Box::pin(thirty_homes::run(stage)),
    },
    Row {
        name: "circuit-storms",
        what: "21 clients that renew, a flood of circuits, requests to dial private addresses, while light peers read",
        run: |stage| Box::pin(circuit_storms::run(stage)),
    },
];
