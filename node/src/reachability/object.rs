//! How others reach us, as JSON: for status and `causeway netcheck`.

use std::time::{SystemTime, UNIX_EPOCH};

use causeway_mapping::MappingStatus;
use causeway_reachability::Reachability;
use causeway_transports::ReachFacts;
use serde_json::{Value, json};

use super::outgoing;

/// All of it: what was found, with what the router did and which relays keep places for us.
pub(crate) fn object(found: &Reachability, mapping: &MappingStatus, facts: &ReachFacts) -> Value {
    let here = outgoing().into_iter().find(std::net::IpAddr::is_ipv4);
    let reservations: Vec<_> = facts
        .reservations
        .iter()
        .map(|held| {
            json!({
                "relay": held.relay,
                "addresses": held.addresses,
                "since": seconds(held.since),
                "granted": seconds(held.granted),
                "bytes": held.bytes,
                "seconds": held.time.map(|time| time.as_secs()),
            })
        })
        .collect();
    let punches: serde_json::Map<String, Value> = facts
        .punches
        .iter()
        .map(|(transport, punches)| {
            (transport.clone(), json!({ "tried": punches.tried, "succeeded": punches.succeeded }))
        })
        .collect();
    let mut object = json!({
        "schema": 1,
        "mappings": crate::mapping::objects(mapping, here),
        "reservations": reservations,
        "holePunches": punches,
    });
    if let (Some(object), Ok(Value::Object(found))) = (object.as_object_mut(), serde_json::to_value(found)) {
        object.extend(found);
    }
    object
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
