//! Every input of every corpus, once more, on stable.

use std::{fs, path::Path};

use causeway_fuzz::{TARGETS, Target};

#[test]
fn every_target_survives_its_corpus() {
    let mut broken = Vec::new();
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "corpus/{name} is empty");
        broken.extend(
            inputs
                .into_iter()
                .filter(|(_, bytes)| breaks(target, bytes))
                .map(|(file, _)| format!("corpus/{name}/{file}")),
        );
    }
    assert!(broken.is_empty(), "a promise breaks on {broken:?}");
}

#[test]
fn every_folder_has_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(root.join("corpus")).expect("the corpus is there") {
        let folder = entry.expect("a folder").file_name();
        assert!(TARGETS.iter().any(|(name, _)| folder == *name), "corpus/{folder:?} has no target");
    }
    for (name, _) in TARGETS {
        assert!(root.join(format!("fuzz_targets/{name}.rs")).is_file(), "no fuzzer for {name}");
    }
}

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("corpus/{name}: {error}"));
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (file, fs::read(&path).expect("a readable input"))
        })
        .collect();
    inputs.sort();
    inputs
}

fn breaks(target: Target, bytes: &[u8]) -> bool {
    std::panic::catch_unwind(|| target(bytes)).is_err()
}
