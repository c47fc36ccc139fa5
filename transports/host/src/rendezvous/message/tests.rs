//! Messages there and back, the bytes of the specification, and bytes that are no messages.

use proptest::prelude::*;

use super::*;

fn requests() -> [Request; 4] {
    [
        Request::Register { namespace: "les/1".into(), record: vec![1; 300], ttl: Some(7200) },
        Request::Register { namespace: "les/1".into(), record: vec![1; 3], ttl: None },
        Request::Unregister { namespace: "les/1".into() },
        Request::Discover { namespace: Some("les/1".into()), limit: Some(u64::MAX), cookie: vec![7; 9] },
    ]
}

fn responses() -> [Response; 4] {
    let registrations = vec![Registration { namespace: "les/1".into(), record: vec![2; 200], ttl: 60 }; 3];
    let refusal = Refusal::new(RendezvousStatus::Unavailable, "full");
    [
        Response::Registered(Ok(Some(7200))),
        Response::Registered(Err(refusal.clone())),
        Response::Discovered(Ok(Page { registrations, cookie: vec![3; 20] })),
        Response::Discovered(Err(refusal)),
    ]
}

#[test]
fn messages_come_back_as_they_went() {
    for request in requests() {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
    for response in responses() {
        assert_eq!(Response::decode(&response.encode(), 3), Ok(response));
    }
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    let discover = Request::Discover { namespace: Some("a".into()), limit: Some(10), cookie: vec![9] };

    assert_eq!(
        discover.encode(),
        [0x08, 3, 0x2a, 8, 0x0a, 1, b'a', 0x10, 10, 0x1a, 1, 9],
        "type, then field 5 with ns, limit, cookie"
    );
}

#[test]
fn zeros_left_out_are_zeros() {
    // Field 2 with ns "a" and no type; a response without a status.
    assert_eq!(
        Request::decode(&[0x12, 3, 0x0a, 1, b'a']),
        Ok(Request::Register { namespace: "a".into(), record: vec![], ttl: None })
    );
    assert_eq!(Response::decode(&[0x08, 1, 0x1a, 2, 0x18, 60], 0), Ok(Response::Registered(Ok(Some(60)))));
}

#[test]
fn hostile_bytes_have_names() {
    assert_eq!(Request::decode(&[0x08, 9]), Err(Malformed::Type(9)));
    assert_eq!(Request::decode(&[0x08, 3]), Err(Malformed::Missing(3)));
    assert_eq!(Request::decode(&[0x2a, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(Malformed::Truncated));
    assert_eq!(Request::decode(&[0x08, 0x80]), Err(Malformed::Truncated));
    assert_eq!(Request::decode(&[[0x08].as_slice(), &[0xff; 10]].concat()), Err(Malformed::Varint));
    assert_eq!(Request::decode(&[0x0b]), Err(Malformed::Field));
    assert_eq!(Request::decode(&[0x0a, 0]), Err(Malformed::Kind(1)));
    assert_eq!(Request::decode(&[0x12, 3, 0x0a, 1, 0xff]), Err(Malformed::Text));
    let [_, _, page, _] = responses();
    assert_eq!(Response::decode(&page.encode(), 2), Err(Malformed::TooMany { limit: 2 }));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::decode(&bytes);
        let _ = Response::decode(&bytes, 10);
    }
}
