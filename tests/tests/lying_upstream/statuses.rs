//! Lies in the Status.

use alloy_primitives::{B256, U256};
use causeway_tests::{full_node::Lie, probe::Probe};
use causeway_wire::{
    ForkId, NetworkId,
    les::{FlowControl, RequestCost, Status, Version, code},
};

use crate::{
    Case,
    Verdict::{Banished, Refused, Stays},
    alter,
};

pub(crate) fn cases() -> Vec<Case> {
    let refused = |name, lie| Case::new(name, Probe::Body, Refused, lie);
    let banished = |name, lie| Case::new(name, Probe::Receipts, Banished, lie);
    let stays = |name, probe, lie| Case::new(name, probe, Stays, lie);
    vec![
        refused("wrong genesis", Lie::status(|status, _| status.genesis = B256::repeat_byte(9))),
        refused("wrong network", Lie::status(|status, _| status.network = NetworkId(1))),
        refused("wrong version", Lie::status(|status, _| status.version = 3)),
        refused(
            "wrong fork id",
            Lie::status(|status, _| {
                status.fork_id = Some(ForkId { hash: [1, 2, 3, 4], next: 0 });
            }),
        ),
        refused("no fork id", Lie::status(|status, _| status.fork_id = None)),
        refused("no recentTxLookup", Lie::status(|status, _| status.recent_tx_lookup = None)),
        refused("no flow control", Lie::status(|status, _| status.flow_control = None)),
        refused("BL 0", Lie::status(|status, _| flow(status).buffer_limit = 0)),
        refused("MRR 0", Lie::status(|status, _| flow(status).recharge = 0)),
        refused("no MRC", Lie::status(|status, _| flow(status).costs.clear())),
        refused(
            "huge list of keys",
            Lie::status_bytes(|status| {
                let mut entries = alter::items(status);
                let entry = alter::list(&[alter::as_string(b"useless"), alter::as_string(&[7; 1000])]);
                entries.extend(std::iter::repeat_n(entry, 100));
                alter::list(&entries).to_vec()
            }),
        ),
        refused("no headTd", Lie::status_bytes(|status| without(status, b"headTd"))),
        refused("no headHash", Lie::status_bytes(|status| without(status, b"headHash"))),
        refused("no genesisHash", Lie::status_bytes(|status| without(status, b"genesisHash"))),
        refused("status that is no RLP", Lie::status_bytes(|_| vec![0xf8, 0x00])),
        refused(
            "total difficulty of 200 bits",
            Lie::status(|status, _| status.head.td = U256::from(1) << 200),
        ),
        banished(
            "inflated total difficulty",
            Lie::status(|status, _| status.head.td += U256::from(1_000_000)),
        ),
        banished("deflated total difficulty", Lie::status(|status, _| status.head.td -= U256::from(1))),
        banished("wrong number of the head", Lie::status(|status, _| status.head.number += 1)),
        banished("absurd number of the head", Lie::status(|status, _| status.head.number = u64::MAX)),
        banished(
            "unknown head",
            Lie::status(|status, _| {
                status.head.hash = B256::repeat_byte(0xee);
                status.head.td += U256::from(2);
                status.head.number += 1;
            }),
        ),
        banished(
            "unknown head far away",
            Lie::status(|status, _| {
                status.head.hash = B256::repeat_byte(0xee);
                status.head.td += U256::from(2_000_000);
                status.head.number += 1_000_000;
            }),
        ),
        stays(
            "no cost of bodies",
            Probe::Body,
            Lie::status(|status, _| {
                flow(status).costs.retain(|row| row.code != code::GET_BLOCK_BODIES);
            }),
        ),
        stays(
            "no cost of headers",
            Probe::Headers,
            Lie::status(|status, _| {
                flow(status).costs.retain(|row| row.code != code::GET_BLOCK_HEADERS);
            }),
        ),
        stays(
            "absurd costs",
            Probe::Receipts,
            Lie::status(|status, _| {
                for row in &mut flow(status).costs {
                    *row = RequestCost { code: row.code, base: u64::MAX, item: u64::MAX };
                }
            }),
        ),
        stays(
            "absurd buffer and costs",
            Probe::Body,
            Lie::status(|status, _| {
                let flow = flow(status);
                (flow.buffer_limit, flow.recharge) = (u64::MAX, 1);
                for row in &mut flow.costs {
                    *row = RequestCost { code: row.code, base: u64::MAX, item: 0 };
                }
            }),
        ),
        stays(
            "tiny buffer",
            Probe::Code,
            Lie::status(|status, _| {
                let flow = flow(status);
                (flow.buffer_limit, flow.recharge) = (1, 1);
            }),
        ),
        stays("serves nothing", Probe::Storage, Lie::status(|status, _| status.serving = Default::default())),
        stays(
            "bodies from the future on",
            Probe::Body,
            Lie::status(|status, _| {
                status.serving.chain_since = Some(u64::MAX);
            }),
        ),
        stays(
            "recent state without end",
            Probe::Account,
            Lie::status(|status, _| {
                status.serving.recent_state = Some(u64::MAX);
            }),
        ),
        stays("les/2", Probe::Code, Lie::status(|_, _| {})).speaking(Version::Les2),
        stays("les/3", Probe::Storage, Lie::status(|_, _| {})).speaking(Version::Les3),
    ]
}

fn flow(status: &mut Status) -> &mut FlowControl {
    status.flow_control.as_mut().expect("a server has flow control")
}

/// The key/value list without a key.
fn without(status: &[u8], key: &[u8]) -> Vec<u8> {
    let entries = alter::items(status).into_iter();
    let kept: Vec<_> = entries.filter(|entry| alter::string(&alter::items(entry)[0])[..] != *key).collect();
    alter::list(&kept).to_vec()
}
