//! The rules, one family a file.

mod avatar;
mod compose;
mod container;
mod environment;
mod files;
mod manifest;
mod ports;
mod version;
mod wizard;

use crate::Package;

/// One thing that must hold.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Names the rule in reports.
    pub name: &'static str,
    /// What is wrong with a package, a sentence each; nothing if the rule holds.
    judge: fn(&Package) -> Vec<String>,
}

impl Rule {
    const fn new(name: &'static str, judge: fn(&Package) -> Vec<String>) -> Self {
        Self { name, judge }
    }

    /// What is wrong with a package, a sentence each; nothing if the rule holds.
    #[must_use]
    pub fn broken(&self, package: &Package) -> Vec<String> {
        (self.judge)(package)
    }
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// What is wrong.
    pub text: String,
}

/// All rules.
pub fn rules() -> impl Iterator<Item = Rule> {
    let families: [&[Rule]; 9] = [
        files::RULES,
        avatar::RULES,
        manifest::RULES,
        compose::RULES,
        ports::RULES,
        environment::RULES,
        wizard::RULES,
        version::RULES,
        container::RULES,
    ];
    families.into_iter().flatten().copied()
}

/// Holds a package against all rules.
#[must_use]
pub fn check(package: &Package) -> Vec<Finding> {
    let findings =
        |rule: Rule| rule.broken(package).into_iter().map(move |text| Finding { rule: rule.name, text });
    rules().flat_map(findings).collect()
}

/// The sentence if the condition does not hold.
fn unless(holds: bool, text: impl FnOnce() -> String) -> Vec<String> {
    if holds { Vec::new() } else { vec![text()] }
}
