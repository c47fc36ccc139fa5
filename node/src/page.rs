//! The browser page of `causeway dev`: a light peer that verifies in a tab.
//!
//! Its sources are in `tests/peers/browser`, whose build writes `node/page`; the interop row `browser-page` fails where
//! the two differ. The page speaks libp2p and LES from the browser: nothing here knows what it asks.

use std::fmt::{Display, Write as _};

use axum::{
    Router,
    extract::Path,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use causeway_verify::ChainSpec;

/// Name of the chain whose relay shows the page.
pub(crate) const CHAIN: &str = "dev";

/// Where the page is.
const PLACE: &str = "/light/";

/// What the page may do: run its own script and style, and connect to any relay. Nothing from elsewhere is loaded,
/// nothing may frame it. WebTransport counts as `https:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src ws: wss: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The built files: name, type, content.
const FILES: [(&str, &str, &str); 5] = [
    ("", "text/html; charset=utf-8", include_str!("../page/index.html")),
    ("page.js", "text/javascript; charset=utf-8", include_str!("../page/page.js")),
    ("page.css", "text/css; charset=utf-8", include_str!("../page/page.css")),
    ("icon.svg", "image/svg+xml", include_str!("../page/icon.svg")),
    ("LICENSES.txt", "text/plain; charset=utf-8", include_str!("../page/LICENSES.txt")),
];

/// The addresses that a browser dials, best first, by what is in them.
const DIALABLE: [&str; 4] = ["/webtransport/", "/webrtc-direct/", "/tls/ws/", "/ws/"];

/// The page's routes, for the relay of this chain.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(spec: &ChainSpec) -> Router<S> {
    if spec.name != CHAIN {
        return Router::new();
    }
    Router::new()
        .route("/light", get(|| async { Redirect::permanent(PLACE) }))
        .route("/light/", get(|| async { answer("") }))
        .route("/light/{file}", get(|Path(file): Path<String>| async move { answer(&file) }))
}

fn answer(name: &str) -> Response {
    let Some((_, content_type, content)) = FILES.iter().find(|(file, ..)| *file == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // Never kept: the next relay at this port may be of another version.
    let headers: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    (headers, *content).into_response()
}

/// A link to the page that looks at these accounts through the best address a browser can dial; `None` where it can
/// dial none of them.
pub(crate) fn link(
    http: &str,
    multiaddrs: &[String],
    spec: &ChainSpec,
    accounts: &[impl Display],
) -> Option<String> {
    let address =
        DIALABLE.iter().find_map(|part| multiaddrs.iter().find(|address| address.contains(part)))?;
    let (genesis, network) = (spec.genesis_hash, spec.network.0);
    let mut link = format!("{http}{PLACE}#{address}?genesis={genesis}&network={network}");
    for account in accounts {
        // Writing to a string cannot fail.
        let _ = write!(link, "&account={account}");
    }
    Some(link)
}

#[cfg(test)]
mod tests {
    use causeway_devnet::genesis;

    use super::*;

    fn spec(name: &str) -> ChainSpec {
        ChainSpec::from_genesis_json(name, &genesis::genesis_json()).expect("the genesis is good")
    }

    #[test]
    fn every_file_that_the_page_names_is_served_with_its_type() {
        let (_, _, page) = FILES[0];
        let named: Vec<_> = page
            .split(['"', '>'])
            .filter(|word| [".js", ".css", ".svg", ".txt"].iter().any(|end| word.ends_with(end)))
            .collect();
        assert!(named.len() >= 4, "{named:?}");
        for name in named.into_iter().chain([""]) {
            let answer = answer(name);
            assert_eq!(answer.status(), StatusCode::OK, "{name}");
            assert!(answer.headers().contains_key(header::CONTENT_TYPE), "{name}");
            assert_eq!(answer.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
            assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for name in ["index.htm", "../page.js", "page.js/", "PAGE.JS"] {
            assert_eq!(answer(name).status(), StatusCode::NOT_FOUND, "{name}");
        }
    }

    #[test]
    fn only_the_embedded_chain_shows_it() {
        assert!(routes::<()>(&spec(CHAIN)).has_routes());
        assert!(!routes::<()>(&spec("another")).has_routes());
    }

    #[test]
    fn the_link_prefers_webtransport_and_needs_an_address_for_browsers() {
        let all = ["/ip4/127.0.0.1/tcp/1/p2p/a", "/ip4/127.0.0.1/tcp/2/ws/p2p/a"].map(str::to_owned);
        let spec = spec(CHAIN);
        let account = ["0x01"];
        let link = |addresses: &[String]| link("http://127.0.0.1:1", addresses, &spec, &account);
        assert_eq!(link(&all[..1]), None);
        let plain = link(&all).expect("an address");
        assert!(
            plain.starts_with("http://127.0.0.1:1/light/#/ip4/127.0.0.1/tcp/2/ws/p2p/a?genesis=0x"),
            "{plain}"
        );
        assert!(plain.ends_with("&network=20260&account=0x01"), "{plain}");
        let [tcp, websocket] = all;
        let better = "/ip4/127.0.0.1/udp/3/quic-v1/webtransport/certhash/b/p2p/a".to_owned();
        let best = link(&[tcp, websocket, better.clone()]).expect("an address");
        assert!(best.contains(&format!("#{better}?")), "{best}");
    }
}
