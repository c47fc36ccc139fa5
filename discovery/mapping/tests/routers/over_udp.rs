//! NAT-PMP and PCP.

use std::{net::Ipv4Addr, time::Duration};

use causeway_mapping::{BadAnswer, MappingError, Method, Methods, PortState};
use tokio::{net::UdpSocket, time::sleep};

use crate::{
    home::{Home, PORT, path},
    udp::{Shared, Table, router, table_router},
};

const UDP_OPERATION: u8 = 1;
const UDP_NUMBER: u8 = 17;
const GATEWAY: std::net::IpAddr = std::net::IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn home_with(table: &Shared, method: Method, lifetime: u64) -> Home {
    let router = table_router(table.clone()).await;
    Home::start(Methods::Only(method), path(router, None), lifetime)
}

fn bad(method: Method, what: BadAnswer) -> MappingError {
    MappingError::BadAnswer { gateway: GATEWAY, method, what }
}

#[tokio::test]
async fn each_protocol_maps_and_deletes_at_the_end() {
    for (method, key) in [(Method::Pmp, (UDP_OPERATION, PORT)), (Method::Pcp, (UDP_NUMBER, PORT))] {
        let table = Table::shared();
        table.lock().expect("unpoisoned").shift = 10; // another outside port than was wished
        let mut home = home_with(&table, method, 60).await;

        let mapping = home.mapped().await;

        assert_eq!(mapping.external, (Ipv4Addr::new(1, 2, 3, 4), PORT + 10).into());
        assert_eq!(mapping.internal, (Ipv4Addr::LOCALHOST, PORT).into());
        assert_eq!(mapping.method, method);
        assert_eq!(home.status().external().count(), 1);
        assert_eq!(table.lock().expect("unpoisoned").mappings[&key].1, 60);
        home.stop().await;
        assert!(table.lock().expect("unpoisoned").mappings.is_empty());
    }
}

#[tokio::test]
async fn a_mapping_is_renewed_before_it_ends() {
    for method in [Method::Pmp, Method::Pcp] {
        let table = Table::shared();
        table.lock().expect("unpoisoned").grants = 1;
        let mut home = home_with(&table, method, 60).await;
        let first = home.mapped().await;

        let second = home.until(|state| match state {
            PortState::Mapped(mapping) if mapping.expires > first.expires => Some(mapping.clone()),
            _ => None,
        });

        assert!(second.await.expires < first.expires.map(|end| end + Duration::from_secs(1)));
        home.stop().await;
    }
}

#[tokio::test]
async fn a_restarted_router_is_noticed_by_its_clock() {
    for method in [Method::Pmp, Method::Pcp] {
        let table = Table::shared();
        // It had run for some minutes.
        let ago = Duration::from_secs(600);
        let before =
            table.lock().expect("unpoisoned").started.checked_sub(ago).expect("the machine runs longer");
        table.lock().expect("unpoisoned").started = before;
        let mut home = home_with(&table, method, 3600).await;
        home.mapped().await;

        table.lock().expect("unpoisoned").restart();

        while table.lock().expect("unpoisoned").mappings.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        home.stop().await;
    }
}

#[tokio::test]
async fn a_router_that_knows_only_the_older_protocol_is_asked_in_it() {
    let table = Table::shared();
    table.lock().expect("unpoisoned").knows_pcp = false;
    let router = table_router(table).await;
    let mut home = Home::start(Methods::Any, path(router, None), 60);

    assert_eq!(home.mapped().await.method, Method::Pmp);
    home.stop().await;
}

#[tokio::test]
async fn an_address_that_is_not_public_is_told_but_not_advertised() {
    let table = Table::shared();
    table.lock().expect("unpoisoned").outside = Ipv4Addr::new(100, 64, 1, 1);
    let mut home = home_with(&table, Method::Pmp, 60).await;

    let external = (Ipv4Addr::new(100, 64, 1, 1), PORT).into();
    assert_eq!(home.failed().await, MappingError::DoubleNat { gateway: GATEWAY, external });
    assert_eq!(home.status().external().count(), 0);
    home.stop().await;
    assert!(table.lock().expect("unpoisoned").mappings.is_empty());
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let refusal = |result: u8| router(move |packet| vec![vec![0, 128 + packet[1], 0, result, 0, 0, 0, 9]]);
    let method = Method::Pmp;
    for (result, error) in [
        (2, MappingError::NotAllowed { gateway: GATEWAY, method }),
        (3, MappingError::NoOutsideAddress { gateway: GATEWAY }),
        (4, MappingError::Full { gateway: GATEWAY, method }),
        (5, MappingError::NoAnswer { gateway: GATEWAY, method }),
        (99, bad(method, BadAnswer::Result(99))),
    ] {
        let mut home = Home::start(Methods::Only(method), path(refusal(result).await, None), 60);
        assert_eq!(home.failed().await, error);
        home.stop().await;
    }
}

#[tokio::test]
async fn a_mapping_without_life_or_port_is_none() {
    for (external, lifetime, what) in [(1, 0, BadAnswer::NoLifetime), (0, 60, BadAnswer::NoPort)] {
        let [high, low] = PORT.to_be_bytes();
        let liar = router(move |packet| match packet {
            [0, 0] => vec![vec![0, 128, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4]],
            _ => vec![vec![0, 129, 0, 0, 0, 0, 0, 9, high, low, 0, external, 0, 0, 0, lifetime]],
        });
        let mut home = Home::start(Methods::Only(Method::Pmp), path(liar.await, None), 60);
        assert_eq!(home.failed().await, bad(Method::Pmp, what));
        home.stop().await;
    }
}

#[tokio::test]
async fn garbage_before_the_answer_is_passed_over() {
    let table = Table::shared();
    let noisy = router(move |packet| {
        let mut packets = vec![vec![], vec![0xff; 2000], packet.to_vec(), vec![0; 7]];
        packets.extend(table.lock().expect("unpoisoned").answer(packet));
        packets
    })
    .await;
    let mut home = Home::start(Methods::Only(Method::Pcp), path(noisy, None), 60);

    home.mapped().await;
    home.stop().await;
}

#[tokio::test]
async fn nothing_but_garbage_is_a_bad_answer() {
    for (method, garbage) in [(Method::Pmp, vec![0xaa; 16]), (Method::Pcp, vec![0xaa; 60])] {
        let flood = router(move |_| vec![garbage.clone(); 100]);
        let mut home = Home::start(Methods::Only(method), path(flood.await, None), 60);
        assert_eq!(home.failed().await, bad(method, BadAnswer::Format));
        home.stop().await;
    }
}

#[tokio::test]
async fn an_answer_with_another_nonce_is_not_believed() {
    let liar = router(|packet| {
        let mut answer = packet.to_vec();
        answer[1] = 0x81;
        answer[3..8].copy_from_slice(&[0, 0, 0, 0, 60]);
        answer[24] ^= 1;
        answer[54..].copy_from_slice(&[0xff, 0xff, 6, 6, 6, 6]);
        vec![answer]
    });
    let mut home = Home::start(Methods::Only(Method::Pcp), path(liar.await, None), 60);

    assert_eq!(home.failed().await, bad(Method::Pcp, BadAnswer::Format));
    home.stop().await;
}

#[tokio::test]
async fn an_answer_from_another_port_is_not_believed() {
    let gateway = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let neighbour = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let router = gateway.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = gateway.recv_from(&mut buffer).await {
            let answer = [0, 128, 0, 0, 0, 0, 0, 9, 6, 6, 6, 6];
            let _ = neighbour.send_to(&answer, from).await;
        }
    });
    let mut home = Home::start(Methods::Only(Method::Pmp), path(router, None), 60);

    assert_eq!(home.failed().await, MappingError::NoAnswer { gateway: GATEWAY, method: Method::Pmp });
    home.stop().await;
}
