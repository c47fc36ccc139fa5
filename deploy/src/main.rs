//! `causeway-deploy [ROOT]`: checks the files under `deploy/` of the workspace at ROOT, else of the workspace
//! that it was built from, and prints a line for each rule. Exit code 1 if one of them is broken.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use causeway_deploy::{Package, Source, check::rules};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("causeway-deploy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if no rule is broken.
fn run() -> anyhow::Result<bool> {
    let root = std::env::args_os().nth(1).map_or_else(built_from, |root| Ok(PathBuf::from(root)))?;
    let package = Package::parse(&Source::read(&root)?)?;
    let mut out = std::io::stdout().lock();
    let mut good = true;
    for rule in rules() {
        let broken = rule.broken(&package);
        if broken.is_empty() {
            writeln!(out, "ok   {}", rule.name)?;
        }
        for text in &broken {
            writeln!(out, "FAIL {}: {text}", rule.name)?;
        }
        good &= broken.is_empty();
    }
    Ok(good)
}

fn built_from() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("this crate lies at a root")?;
    Ok(root.to_owned())
}
