//! Strangers who want a server to dial where it should not, or too often, or never to be done.

mod kit;

use std::time::Duration;

use autonat::{Scope, server};
use futures::AsyncWriteExt as _;
use kit::{
    Node, PATIENCE,
    attacker::{Attacker, REFUSED, REJECTED, Reply, data, reply, request},
    client_config, drive_until, server_config, verdict,
};
use libp2p::Multiaddr;
use tokio::time::timeout;

/// As many as one likes.
fn generous() -> server::Limits {
    server::Limits {
        per_minute: 10_000,
        per_peer: 10_000,
        per_network: 10_000,
        per_site: 10_000,
        paid_per_minute: 10_000,
        paid_per_target: 10_000,
        ..server::Limits::default()
    }
}

async fn serve(change: impl FnOnce(&mut server::Config)) -> Node {
    let mut config = server_config();
    change(&mut config);
    let mut server = Node::new(client_config(), config);
    server.listen("/ip4/127.0.0.1/udp/0/quic-v1").await;
    server
}

/// Runs the server while the work is done.
async fn beside<T>(server: &mut Node, work: impl Future<Output = T>) -> T {
    let work = async {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = server.step() => {}
            }
        }
    };
    timeout(PATIENCE, work).await.expect("in time")
}

/// Private addresses, plain and in every disguise.
fn disguises(port: u16) -> Vec<Vec<u8>> {
    let ips = [
        "ip4/127.0.0.1",
        "ip4/127.1.2.3",
        "ip4/10.0.0.1",
        "ip4/172.16.0.1",
        "ip4/192.168.0.1",
        "ip4/100.64.0.1",
        "ip4/169.254.169.254",
        "ip4/0.0.0.0",
        "ip4/224.0.0.1",
        "ip4/255.255.255.255",
        "ip4/198.18.0.1",
        "ip4/192.0.2.1",
        "ip6/::1",
        "ip6/::",
        "ip6/::ffff:127.0.0.1",
        "ip6/::127.0.0.1",
        "ip6/64:ff9b::7f00:1",
        "ip6/64:ff9b:1::7f00:1",
        "ip6/2002:7f00:1::",
        "ip6/2001:0:7f00:1::",
        "ip6/fe80::1",
        "ip6/fec0::1",
        "ip6/fc00::1",
        "ip6/ff02::1",
        "ip6/2001:db8::1",
        "ip6zone/lo/ip6/::1",
        "ip6zone/lo/ip6/fe80::1",
        "dns4/localhost",
        "dns6/localhost",
        "dns/localhost",
        "ip4/8.8.8.8/ip4/127.0.0.1",
        "ip4/127.0.0.1/ip4/8.8.8.8",
    ];
    let ends = ["tcp/PORT", "udp/PORT/quic-v1", "tcp/PORT/ws", "tcp/PORT/tls/ws", "tcp/PORT/wss"];
    let relay = libp2p::PeerId::random();
    let whole = [
        "/dnsaddr/localhost".to_owned(),
        "/unix/tmp".to_owned(),
        format!("/memory/{port}"),
        format!("/ip4/8.8.8.8/tcp/{port}/ip4/127.0.0.1/tcp/{port}"),
        format!("/ip4/8.8.8.8/tcp/{port}/p2p/{relay}"),
        format!("/ip4/8.8.8.8/tcp/{port}/p2p/{relay}/p2p-circuit"),
        format!("/ip4/8.8.8.8/tcp/{port}/p2p-circuit/ip4/127.0.0.1/tcp/{port}"),
        format!("/ip4/8.8.8.8/tcp/{port}/tls/sni/localhost/ws"),
        "/ip4/8.8.8.8/tcp/0".to_owned(),
        "/ip4/8.8.8.8".to_owned(),
    ];
    let combined = ips.iter().flat_map(|ip| {
        ends.iter().map(move |end| format!("/{ip}/{}", end.replace("PORT", &port.to_string())))
    });
    let text = combined.chain(whole).map(|text| text.parse::<Multiaddr>().expect("a multiaddr").to_vec());
    text.chain([Vec::new(), vec![0xff; 64], vec![4, 127]]).collect()
}

#[tokio::test]
async fn private_addresses_are_not_dialed_in_any_disguise() {
    let trap = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = trap.local_addr().expect("bound").port();
    let mut server = serve(|config| {
        config.scope = Scope::Global;
        config.limits = generous();
        config.transports = kit::ALL.to_vec();
    })
    .await;
    let address = server.listening[0].clone();
    let mut attacker = beside(&mut server, Attacker::connect(&address, "127.0.0.1")).await;
    let disguises = disguises(port);

    for one in &disguises {
        let reply = beside(&mut server, attacker.ask(std::slice::from_ref(one))).await;
        assert_eq!(reply, REFUSED, "{:?}", Multiaddr::try_from(one.clone()));
    }
    for many in disguises.chunks(50) {
        assert_eq!(beside(&mut server, attacker.ask(many)).await, REFUSED);
    }

    assert!(server.dials().is_empty(), "{:?}", server.dials());
    assert!(trap.into_std().expect("a socket").accept().is_err(), "nobody came");
    let counters = server.swarm.behaviour().server.counters();
    eprintln!("{} requests, {} refused, {} dials", counters.requests, counters.refused, counters.dials);
    assert_eq!(counters.refused, counters.requests);
}

#[tokio::test]
async fn a_flood_by_one_peer_is_bounded_and_an_honest_peer_is_served() {
    let mut server = serve(|_| {}).await;
    let address = server.listening[0].clone();
    let mut attacker = beside(&mut server, Attacker::connect(&address, "127.0.0.1")).await;
    let target: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().expect("a multiaddr");

    let mut let_in = 0;
    for _ in 0..300 {
        let reply = beside(&mut server, attacker.ask(&[target.to_vec()])).await;
        let_in += usize::from(reply != REJECTED);
    }
    let mut honest = Node::client();
    let own = honest.listen("/ip4/127.1.0.1/udp/0/quic-v1").await;
    honest.connect(&mut server).await;
    honest.set_candidate(&own);
    let verdict = verdict(&mut honest, &mut [&mut server], &own).await;

    assert_eq!(let_in, 6);
    assert!(matches!(verdict, autonat::client::Event::Verdict { reachable: true, .. }), "{verdict:?}");
}

#[tokio::test]
async fn a_flood_from_one_network_is_bounded() {
    let mut server = serve(|_| {}).await;
    let address = server.listening[0].clone();
    let mut let_in = 0;
    for host in 1..=20 {
        let ip = format!("127.0.0.{host}");
        let target: Multiaddr = format!("/ip4/{ip}/tcp/1").parse().expect("a multiaddr");
        let mut attacker = beside(&mut server, Attacker::connect(&address, &ip)).await;
        for _ in 0..2 {
            let reply = beside(&mut server, attacker.ask(&[target.to_vec()])).await;
            let_in += usize::from(reply != REJECTED);
        }
    }

    assert_eq!(let_in, 12);
}

#[tokio::test]
async fn requests_that_are_never_finished_hold_few_slots_for_a_short_time() {
    let limit = Duration::from_millis(300);
    let mut server = serve(|config| {
        config.limits = generous();
        config.patience.request = limit;
        config.patience.payment = limit;
    })
    .await;
    let address = server.listening[0].clone();
    let whole = request(&["/ip4/127.0.0.9/tcp/1".parse::<Multiaddr>().expect("a multiaddr").to_vec()]);

    let (mut attackers, mut streams) = (Vec::new(), Vec::new());
    for host in 1..=30 {
        let ip = format!("127.0.{host}.1");
        let mut attacker = beside(&mut server, Attacker::connect(&address, &ip)).await;
        for half in 0..6 {
            let Ok(mut stream) = beside(&mut server, attacker.open()).await else { continue };
            let cut = whole.len() * half / 6;
            let _ = beside(&mut server, async {
                stream.write_all(&whole[..cut]).await?;
                stream.flush().await
            })
            .await;
            streams.push(stream);
        }
        attackers.push(attacker);
        let counters = server.swarm.behaviour().server.counters();
        assert!(counters.under_way <= 32, "{counters:?}");
    }

    drive_until(&mut server, &mut [], |server| {
        (server.swarm.behaviour().server.counters().under_way == 0).then_some(())
    })
    .await;
    let counters = server.swarm.behaviour().server.counters();
    eprintln!("{} streams: {counters:?}", streams.len());
    assert!(counters.broken >= 32);
    assert_eq!(counters.dials, 0);
}

#[tokio::test]
async fn who_does_not_pay_is_not_served() {
    let mut server = serve(|config| {
        config.limits = generous();
        config.patience.payment = Duration::from_millis(500);
        config.patience.pause = Duration::ZERO;
    })
    .await;
    let address = server.listening[0].clone();
    let mut attacker = beside(&mut server, Attacker::connect(&address, "127.0.0.1")).await;
    let elsewhere = request(&["/ip4/127.0.0.9/tcp/1".parse::<Multiaddr>().expect("a multiaddr").to_vec()]);
    let mut pay = async |pieces: &dyn Fn(u64) -> Vec<Vec<u8>>| {
        beside(&mut server, async {
            let mut stream = attacker.open().await.expect("a stream");
            stream.write_all(&elsewhere).await.expect("written");
            stream.flush().await.expect("written");
            let Reply::Price(price) = reply(&mut stream).await else { panic!("it is not for nothing") };
            for piece in pieces(price) {
                let _ = stream.write_all(&piece).await;
            }
            let _ = stream.flush().await;
            reply(&mut stream).await
        })
        .await
    };

    assert_eq!(pay(&|_| Vec::new()).await, Reply::Nothing, "nothing was paid");
    assert_eq!(pay(&|_| vec![data(4000); 3]).await, Reply::Nothing, "too little");
    assert_eq!(pay(&|_| vec![data(1); 100]).await, Reply::Nothing, "in pennies");
    assert_eq!(pay(&|_| vec![data(9000)]).await, Reply::Nothing, "in one message that is too long");
    assert_eq!(pay(&|_| vec![elsewhere.clone()]).await, Reply::Nothing, "in something else");
    assert_eq!(pay(&|price| vec![data(4096); price.div_ceil(4096) as usize]).await, Reply::Status(200));

    let dials = server.dials();
    assert_eq!(dials.len(), 1, "{dials:?}");
}
