//! Genesis files: hashes as geth computes them, and clear errors.

use super::*;
use crate::vectors;

const MINIMAL: &str = r#"{"config":{"chainId":7},"difficulty":"1","gasLimit":"5000","alloc":{}}"#;

fn read(text: &str) -> Result<ChainSpec, ChainSpecError> {
    ChainSpec::from_genesis_json("test", text)
}

fn message(text: &str) -> String {
    read(text).expect_err("a fault").to_string()
}

#[test]
fn genesis_hashes_are_those_of_geth() {
    for vectors in [vectors::clique(), vectors::ethash()] {
        assert_eq!(alloy_rlp::encode(&vectors.spec.genesis), vectors.genesis_header);
        assert_eq!(vectors.spec.genesis_hash, vectors.genesis_hash);
    }
    let clique = &vectors::clique().spec;
    assert_eq!(clique.engine, Engine::Clique { period: 3, epoch: 10 });
    assert_eq!((clique.chain_id, clique.network), (19763, NetworkId(19763)));
    assert_eq!(vectors::ethash().spec.engine, Engine::Ethash);
}

#[test]
fn fork_ids_are_those_of_geth_at_each_block() {
    for vectors in [vectors::clique(), vectors::ethash()] {
        for block in &vectors.blocks {
            let id = vectors.spec.fork_id(block.number, 0);
            assert_eq!((id.hash, id.next), (block.fork_hash, block.fork_next), "{}", block.number);
        }
    }
}

#[test]
fn later_forks_at_genesis_give_geths_hashes() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/vectors/geth-genesis.json")).expect("JSON");
    for chain in file["chains"].as_array().expect("chains") {
        let spec = read(chain["genesis"].as_str().expect("text")).expect("a genesis");
        assert_eq!(spec.genesis_hash, vectors::parse::<B256>(&chain["hash"]), "{}", chain["name"]);
        assert_eq!(spec.engine, Engine::Beacon);
        for row in chain["forkIds"].as_array().expect("rows") {
            let id = spec.fork_id(row[0].as_u64().expect("number"), row[1].as_u64().expect("time"));
            assert_eq!(hex::encode(id.hash), row[2].as_str().expect("text"), "{}", chain["name"]);
            assert_eq!(Some(id.next), row[3].as_u64());
        }
    }
}

#[test]
fn numbers_come_in_three_forms_and_keys_in_any_case() {
    let spec = read(
        r#"{"Config":{"chainID":"0x10","homesteadBlock":"7","londonBlock":null,"somethingNew":{"a":[1]}},
            "nonce":66,"timestamp":"0x5","difficulty":"0x20000","gasLimit":0,
            "alloc":{"0x00000000000000000000000000000000000000AA":{"balance":"1000"},
                     "00000000000000000000000000000000000000ab":{"balance":17,"secretKey":"0x"}},
            "terminalTotalDifficulty":"ignored here"}"#,
    )
    .expect("a genesis");
    assert_eq!((spec.chain_id, spec.genesis.timestamp, spec.genesis.gas_limit), (16, 5, 4_712_388));
    assert_eq!(spec.genesis.difficulty, U256::from(0x20000));
    assert_eq!(spec.genesis.nonce, B64::from(66_u64.to_be_bytes()));
    assert_eq!((spec.forks.homestead, spec.forks.london), (Some(7), None));
    assert_eq!(spec.forks.by_block(), [7]);
}

#[test]
fn a_huge_terminal_difficulty_is_exact() {
    let text =
        MINIMAL.replace("\"chainId\":7", "\"chainId\":7,\"terminalTotalDifficulty\":58750000000000000000001");
    let spec = read(&text).expect("a genesis");
    assert_eq!(spec.terminal_total_difficulty, Some(U256::from(58_750_000_000_000_000_000_001_u128)));
    assert_eq!(spec.engine, Engine::Ethash);
}

#[test]
fn network_id_of_the_config_is_taken() {
    let spec = read(&MINIMAL.replace("\"chainId\":7", "\"chainId\":7,\"networkId\":9")).expect("a genesis");
    assert_eq!((spec.chain_id, spec.network), (7, NetworkId(9)));
}

#[test]
fn engines_follow_from_the_config() {
    let engine = |config: &str, difficulty: &str| {
        let text = MINIMAL.replace("\"chainId\":7", &format!("\"chainId\":7{config}"));
        read(&text.replace("\"difficulty\":\"1\"", &format!("\"difficulty\":\"{difficulty}\"")))
            .map(|spec| spec.engine)
    };
    assert_eq!(engine("", "1"), Ok(Engine::Ethash));
    assert_eq!(engine(",\"ethash\":{}", "1"), Ok(Engine::Ethash));
    assert_eq!(engine(",\"terminalTotalDifficulty\":0", "1"), Ok(Engine::Beacon));
    assert_eq!(engine(",\"ethash\":{}", "0"), Ok(Engine::Beacon));
    for other in ["qbft", "ibft2"] {
        assert_eq!(engine(&format!(",\"{other}\":{{}}"), "1"), Err(ChainSpecError::Engine { engine: other }));
    }
    assert!(message(&MINIMAL.replace("7", "7,\"qbft\":{}")).contains("not supported yet"));
}

#[test]
fn clique_needs_signers_and_has_a_default_epoch() {
    let clique = MINIMAL.replace("\"chainId\":7", "\"chainId\":7,\"clique\":{\"period\":5,\"epoch\":0}");
    assert!(message(&clique).contains("no `extraData`"));
    let short = clique.replace("\"alloc\"", "\"extraData\":\"0x00\",\"alloc\"");
    assert!(message(&short).contains("signers' addresses"));
    let extra = format!("\"extraData\":\"0x{}\",\"alloc\"", "00".repeat(32 + 20 + 65));
    let spec = read(&clique.replace("\"alloc\"", &extra)).expect("a genesis");
    assert_eq!(spec.engine, Engine::Clique { period: 5, epoch: 30_000 });
}

#[test]
fn faults_name_the_key() {
    assert!(message("").contains("not the JSON"));
    assert!(message("[]").contains("not the JSON"));
    assert!(message("{}").contains("no `config`"));
    assert!(message(r#"{"config":5}"#).contains("`config`"));
    assert!(message(r#"{"config":{}}"#).contains("`gasLimit`"));
    assert!(message(&MINIMAL.replace("\"chainId\":7", "")).contains("`config.chainId`"));
    assert!(message(&MINIMAL.replace("\"difficulty\":\"1\",", "")).contains("`difficulty`"));
    assert!(message(&MINIMAL.replace(",\"alloc\":{}", "")).contains("`alloc`"));
    assert!(message(&MINIMAL.replace("5000", "many")).contains("`gasLimit` is \"many\""));
    assert!(message(&MINIMAL.replace("7", "7,\"londonBlock\":-1")).contains("`config.londonBlock` is -1"));
    assert!(message(&MINIMAL.replace("7", "7,\"londonBlock\":1.5")).contains("`config.londonBlock`"));
    assert!(message(&MINIMAL.replace("7", "7,\"londonBlock\":\"0x\"")).contains("`config.londonBlock`"));
    assert!(message(&MINIMAL.replace("7", "7,\"daoForkSupport\":1")).contains("`config.daoForkSupport`"));
    assert!(message(&MINIMAL.replace("{}", r#"{"0xaa":{"balance":"1"}}"#)).contains("`alloc`"));
    let account = |fields: &str| MINIMAL.replace("{}", &format!("{{\"{}\":{fields}}}", "aa".repeat(20)));
    assert!(message(&account(r#"{"balance":"x"}"#)).contains("aa.balance`"));
    assert!(message(&account(r#"{"code":"0x123"}"#)).contains("aa.code`"));
    assert!(message(&account(r#"{"storage":{"0x01":"zz"}}"#)).contains("aa.storage.0x01`"));
    assert!(message(&account(r#"{"storage":{"zz":"0x01"}}"#)).contains("aa.storage`"));
    assert!(message(&MINIMAL.replace("\"alloc\"", "\"coinbase\":\"0x01\",\"alloc\"")).contains("an address"));
    assert!(message(&MINIMAL.replace("\"alloc\"", "\"mixHash\":\"0x01\",\"alloc\"")).contains("32 bytes"));
}
