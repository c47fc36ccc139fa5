//! Every limit with a peer that goes beyond it, cookies, and the end of registrations. Time is moved by hand.

use std::net::Ipv4Addr;

use super::*;

const NONCE: [u8; 8] = *b"a server";

fn limits() -> RendezvousLimits {
    RendezvousLimits {
        namespaces: vec!["les/".into(), "waku/".into()],
        requests_per_minute: u32::MAX,
        requests_per_peer: u32::MAX,
        ..RendezvousLimits::default()
    }
}

struct Point {
    registry: Registry,
    now: Instant,
}

impl Point {
    fn new(limits: RendezvousLimits) -> Self {
        let now = Instant::now();
        Self { registry: Registry::new(limits, NONCE, now), now }
    }

    fn register(&mut self, peer: PeerId, namespace: &str) -> Result<u64, Refusal> {
        self.register_for(peer, namespace, Some(7200))
    }

    fn register_for(&mut self, peer: PeerId, namespace: &str, ttl: Option<u64>) -> Result<u64, Refusal> {
        self.register_from(None, peer, namespace, ttl)
    }

    fn register_from(
        &mut self,
        origin: Option<Origin>,
        peer: PeerId,
        namespace: &str,
        ttl: Option<u64>,
    ) -> Result<u64, Refusal> {
        let new = Registering { peer, origin, namespace: namespace.to_owned(), record: peer.to_bytes(), ttl };
        self.registry.register(new, self.now)
    }

    fn discover(&mut self, namespace: Option<&str>, cookie: &[u8]) -> Result<Page, Refusal> {
        self.registry.discover(namespace, None, cookie, self.now)
    }

    fn is_empty(&self) -> bool {
        let registry = &self.registry;
        registry.entries.is_empty()
            && registry.by_namespace.is_empty()
            && registry.by_peer.is_empty()
            && registry.by_expiry.is_empty()
    }
}

fn status<T: std::fmt::Debug>(result: Result<T, Refusal>) -> RendezvousStatus {
    result.expect_err("refused").status
}

#[test]
fn ten_thousand_registrations_of_one_peer_leave_sixteen() {
    let mut point = Point::new(limits());
    let peer = PeerId::random();

    let taken = (0..10_000).filter(|number| point.register(peer, &format!("les/{number}")).is_ok()).count();

    assert_eq!((taken, point.registry.len()), (16, 16));
    assert_eq!(status(point.register(peer, "les/x")), RendezvousStatus::Unavailable);
    assert!(point.register(peer, "les/3").is_ok(), "a renewal at the limit is taken");
    assert_eq!(point.registry.len(), 16, "and replaces the older one");
    assert_eq!(point.registry.by_expiry.len(), 16);
}

#[test]
fn peers_without_end_fill_a_namespace_and_no_more() {
    let mut point = Point::new(RendezvousLimits { per_namespace: 50, registrations: 80, ..limits() });
    let first = PeerId::random();
    point.register(first, "les/1").expect("room");

    let taken = (0..10_000).filter(|_| point.register(PeerId::random(), "les/1").is_ok()).count();
    assert_eq!(taken, 49);
    assert!(point.register(first, "les/1").is_ok(), "who is in stays in");

    let taken = (0..10_000).filter(|_| point.register(PeerId::random(), "waku/1").is_ok()).count();
    assert_eq!(taken, 30, "of 80 in all");
    assert_eq!(status(point.register(PeerId::random(), "les/2")), RendezvousStatus::Unavailable);
}

#[test]
fn namespaces_without_end_are_refused() {
    let mut point = Point::new(RendezvousLimits { live_namespaces: 20, ..limits() });

    let taken =
        (0..10_000).filter(|number| point.register(PeerId::random(), &format!("les/{number}")).is_ok());

    assert_eq!(taken.count(), 20);
    for namespace in ["", "other/1", "le", &format!("les/{}", "a".repeat(252))] {
        let refused = status(point.register(PeerId::random(), namespace));
        assert_eq!(refused, RendezvousStatus::InvalidNamespace, "{namespace}");
        if !namespace.is_empty() {
            assert_eq!(status(point.discover(Some(namespace), &[])), RendezvousStatus::InvalidNamespace);
        }
    }
}

#[test]
fn one_address_has_its_share_under_all_its_keys() {
    let mut point = Point::new(RendezvousLimits { per_address: 3, ..limits() });
    let home = Some(Origin::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let away = Some(Origin::V4(Ipv4Addr::new(192, 0, 2, 2)));
    let peers: Vec<PeerId> = (0..3).map(|_| PeerId::random()).collect();
    for peer in &peers {
        point.register_from(home, *peer, "les/1", None).expect("its share");
    }

    let fourth = PeerId::random();
    assert_eq!(status(point.register_from(home, fourth, "les/1", None)), RendezvousStatus::Unavailable);
    assert!(point.register_from(away, fourth, "les/1", None).is_ok());
    assert!(point.register_from(home, fourth, "les/1", None).is_err(), "nor by moving there");
    for peer in &peers {
        assert!(point.register_from(home, *peer, "les/1", None).is_ok(), "renewals stay within it");
    }
    point.registry.unregister(&peers[0], "les/1");
    assert!(point.register_from(home, fourth, "les/1", None).is_ok());
    assert_eq!(point.registry.by_origin.of(&Origin::V4(Ipv4Addr::new(192, 0, 2, 2))), 0);
}

#[test]
fn times_out_of_range_are_refused() {
    let mut point = Point::new(limits());
    let peer = PeerId::random();
    for ttl in [0, 119, 72 * 3600 + 1, 1_000_000, u64::MAX] {
        assert_eq!(status(point.register_for(peer, "les/1", Some(ttl))), RendezvousStatus::InvalidTtl);
    }
    for ttl in [120, 72 * 3600] {
        assert_eq!(point.register_for(peer, "les/1", Some(ttl)), Ok(ttl));
    }
    assert_eq!(point.register_for(peer, "les/1", None), Ok(7200), "the specification's default");

    let short = RendezvousLimits { max_ttl: Duration::from_secs(600), ..limits() };
    assert_eq!(Point::new(short).register_for(peer, "les/1", None), Ok(600));
}

#[test]
fn registrations_end_and_leave_nothing() {
    let mut point = Point::new(limits());
    point.register_for(PeerId::random(), "les/1", Some(120)).expect("taken");
    point.register_for(PeerId::random(), "les/1", Some(300)).expect("taken");
    let left = |point: &mut Point| point.discover(Some("les/1"), &[]).expect("page").registrations;

    point.now += Duration::from_secs(119);
    assert_eq!(left(&mut point).iter().map(|one| one.ttl).collect::<Vec<_>>(), [1, 181]);
    point.now += Duration::from_secs(1);
    assert_eq!(left(&mut point).len(), 1);
    point.now += Duration::from_secs(180);
    assert_eq!(left(&mut point).len(), 0);
    assert!(point.is_empty());
}

#[test]
fn unregistering_takes_back_ones_own_only() {
    let mut point = Point::new(limits());
    let (own, other) = (PeerId::random(), PeerId::random());
    point.register(own, "les/1").expect("taken");

    point.registry.unregister(&other, "les/1");
    point.registry.unregister(&own, "les/2");
    assert_eq!(point.registry.len(), 1);

    point.registry.unregister(&own, "les/1");
    assert!(point.is_empty());
}

#[test]
fn cookies_lead_through_pages_and_to_what_is_new() {
    let mut point = Point::new(RendezvousLimits { page: 4, ..limits() });
    let peers: Vec<PeerId> = (0..10).map(|_| PeerId::random()).collect();
    for peer in &peers {
        point.register(*peer, "les/1").expect("taken");
    }
    point.register(PeerId::random(), "waku/1").expect("taken");

    let (mut cookie, mut sizes, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for _ in 0..4 {
        let page = point.discover(Some("les/1"), &cookie).expect("page");
        sizes.push(page.registrations.len());
        seen.extend(page.registrations.into_iter().map(|one| one.record));
        cookie = page.cookie;
    }
    assert_eq!((sizes, seen.len()), (vec![4, 4, 2, 0], 10));

    point.register(peers[3], "les/1").expect("renewed");
    let page = point.discover(Some("les/1"), &cookie).expect("page");
    assert_eq!(page.registrations.len(), 1, "only what came since");
    assert_eq!(point.discover(None, &[]).expect("page").registrations.len(), 4, "all namespaces, a page");
}

#[test]
fn any_limit_gives_at_most_a_page() {
    let mut point = Point::new(limits());
    for _ in 0..200 {
        point.register(PeerId::random(), "les/1").expect("taken");
    }
    for (limit, given) in [(Some(u64::MAX), 100), (None, 100), (Some(0), 100), (Some(3), 3)] {
        let page = point.registry.discover(Some("les/1"), limit, &[], point.now).expect("page");
        assert_eq!(page.registrations.len(), given, "{limit:?}");
    }
}

#[test]
fn a_page_of_large_records_ends_early_but_never_empty() {
    let mut point = Point::new(limits());
    for _ in 0..100 {
        let (peer, record) = (PeerId::random(), vec![0; 4096]);
        let new = Registering { peer, origin: None, namespace: "les/1".into(), record, ttl: None };
        point.registry.register(new, point.now).expect("taken");
    }

    let page = point.discover(Some("les/1"), &[]).expect("page");

    assert_eq!(page.registrations.len(), MAX_PAGE_BYTES / 4101);
    let rest = point.discover(Some("les/1"), &page.cookie).expect("page");
    assert_eq!(page.registrations.len() + rest.registrations.len(), 100);
}

#[test]
fn garbage_is_no_cookie() {
    let mut point = Point::new(limits());
    point.register(PeerId::random(), "les/1").expect("taken");
    let good = point.discover(Some("les/1"), &[]).expect("page").cookie;

    let from_the_future = [&NONCE, &u64::MAX.to_be_bytes(), b"les/1".as_slice()].concat();
    let other_server = [b"another!", &1_u64.to_be_bytes(), b"les/1".as_slice()].concat();
    for cookie in [&good[..3], &good[..16], &[0xff; 4000], &from_the_future, &other_server] {
        assert_eq!(status(point.discover(Some("les/1"), cookie)), RendezvousStatus::InvalidCookie);
    }
    assert_eq!(status(point.discover(Some("waku/1"), &good)), RendezvousStatus::InvalidCookie);
    assert_eq!(status(point.discover(None, &good)), RendezvousStatus::InvalidCookie);
    assert!(point.discover(Some("les/1"), &good).is_ok());
}

#[test]
fn requests_are_counted_by_the_minute() {
    let mut point = Point::new(RendezvousLimits {
        requests_per_minute: 20,
        requests_per_peer: 5,
        requests_per_address: 8,
        ..limits()
    });
    let home = Some(Origin::V6Net64(7));
    let admitted = |point: &mut Point, peer: Option<PeerId>, origin| {
        (0..100)
            .filter(|_| {
                let peer = peer.unwrap_or_else(PeerId::random);
                point.registry.admit(peer, origin, point.now).is_ok()
            })
            .count()
    };

    assert_eq!(admitted(&mut point, Some(PeerId::random()), None), 5);
    assert_eq!(admitted(&mut point, None, home), 8, "under any number of keys");
    assert_eq!(admitted(&mut point, None, None), 7, "the rest of 20 is left to the others");
    assert_eq!(point.registry.requests.by_peer.len(), 1 + 8 + 7, "nothing is kept of the refused");

    point.now += MINUTE;
    assert_eq!(admitted(&mut point, None, None), 20);
}
