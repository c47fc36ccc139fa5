//! Dials the ways to a server beside each other, each with a head start, until one leads to a greeted session.

use std::time::Duration;

use anyhow::anyhow;
use causeway_bridge::{FullNodes, Route, Upstream};
use causeway_transports::{DialError, Incoming, Transports};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::sleep;

/// Head start of a way before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(500);

/// Longest wait of the first relayed way, however many direct ones come before it.
const RELAYED_BY: Duration = Duration::from_millis(1_500);

/// Dials `routes`, direct ones first, QUIC before TCP before WebSocket.
///
/// # Errors
/// That of the route that failed last.
pub(super) async fn race(
    transports: &Transports,
    nodes: &FullNodes,
    routes: &[Route],
) -> anyhow::Result<Upstream> {
    let mut routes = routes.to_vec();
    Route::sort(&mut routes);
    let pauses = pauses(&routes);
    let mut waiting = routes.iter().zip(pauses).peekable();
    let mut dials = FuturesUnordered::new();
    let mut last = anyhow!("no address to dial");
    loop {
        if let Some((route, _)) = waiting.next() {
            dials.push(dial(transports, route));
        } else if dials.is_empty() {
            return Err(last);
        }
        let pause = waiting.peek().map(|(_, pause)| *pause);
        tokio::select! {
            Some(outcome) = dials.next(), if !dials.is_empty() => match outcome {
                Ok(incoming) => {
                    // A second session with the same server would end this one.
                    dials.clear();
                    match nodes.admit(incoming).await {
                        Ok(upstream) => return Ok(upstream),
                        Err(error) => last = anyhow::Error::new(error).context("greeting the server"),
                    }
                }
                Err(error) => last = anyhow::Error::new(error).context("dialing the server"),
            },
            () = sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
}

async fn dial(transports: &Transports, route: &Route) -> Result<Incoming, DialError> {
    if route.named {
        transports.dial_named(&route.address).await
    } else {
        transports.dial(&route.address).await
    }
}

/// How long each of the sorted routes waits for the one before it.
fn pauses(routes: &[Route]) -> Vec<Duration> {
    let direct = routes.iter().filter(|route| !route.is_relayed()).count();
    // All that is left until relays are due is shared by the direct routes.
    let shared = RELAYED_BY / u32::try_from(direct.max(1)).unwrap_or(u32::MAX);
    let relayed = routes.len() > direct;
    routes.iter().map(|_| if relayed { HEAD_START.min(shared) } else { HEAD_START }).collect()
}

#[cfg(test)]
mod tests {
    use causeway_transports::Address;

    use super::*;

    #[test]
    fn relays_do_not_wait_for_long() {
        let route = |text: &str| Route { address: Address::Multiaddr(text.to_owned()), named: true };
        let mut routes = vec![route("/ip4/192.0.2.1/tcp/1/p2p/A/p2p-circuit/p2p/B")];
        routes.extend((0..10).map(|port| route(&format!("/ip4/192.0.2.1/tcp/{port}"))));
        Route::sort(&mut routes);

        let pauses = pauses(&routes);

        assert!(routes[10].is_relayed());
        assert!(pauses[1..].iter().sum::<Duration>() <= RELAYED_BY);
    }
}
