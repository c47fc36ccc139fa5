//! The memory that this process may take: what its cgroups allow, else what the machine has.

use std::{
    fs::File,
    io::Read as _,
    path::{Component, Path, PathBuf},
};

/// Bytes of memory that this process may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryBudget(u64);

/// Less is not believed: nothing could live in it, and everybody would be refused.
const LEAST: u64 = 16 * 1024 * 1024;

/// More is not believed: version 1 of cgroups says "no limit" by a number near 2^63.
const MOST: u64 = 1 << 50;

/// Directories between a cgroup and its root; the kernel's own default is unlimited.
const MAX_DEPTH: usize = 64;

/// Bytes read of one file; those of the kernel that are asked for here are smaller.
const MAX_FILE: u64 = 64 * 1024;

impl MemoryBudget {
    /// A budget of so many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The smallest limit of the cgroups that this process is in, or the machine's memory if that is smaller or
    /// there is no limit. `None` where nothing is known, as on other systems than Linux.
    ///
    /// It reads a few small files of the kernel.
    pub fn detect() -> Option<Self> {
        Self::found_by(&content)
    }

    /// Bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// `percent` of it.
    pub(crate) const fn share(self, percent: u64) -> u64 {
        self.0 / 100 * percent
    }

    /// The same with files as `read` has them.
    fn found_by(read: &dyn Fn(&Path) -> Option<String>) -> Option<Self> {
        let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
        let limits = limit_files(&groups).into_iter().filter_map(|file| limit(&read(&file)?));
        let machine = read(Path::new("/proc/meminfo")).and_then(|text| kilobytes(&text, "MemTotal:"));
        limits.chain(machine).filter(|bytes| (LEAST..=MOST).contains(bytes)).min().map(Self)
    }
}

/// Bytes of memory that the process has now; `None` where that cannot be told.
pub(crate) fn resident() -> Option<u64> {
    kilobytes(&content(Path::new("/proc/self/status"))?, "VmRSS:")
}

fn content(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_FILE).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The files that may limit a process of whom `/proc/self/cgroup` says this, in both versions of cgroups.
///
/// ```text
/// 0::/system.slice/causeway.service     version 2
/// 9:memory:/docker/4f1c…                version 1, one line for each set of controllers
/// ```
///
/// In a container the path may be that outside of it, where nothing can be read: the root is looked at in any case.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let mut group = PathBuf::from(root);
        files.push(group.join(file));
        let names = Path::new(path).components().filter_map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None, // nothing leads out of the root
        });
        for name in names.take(MAX_DEPTH) {
            group.push(name);
            files.push(group.join(file));
        }
    }
    files
}

/// What a limit's file says; `max` is no limit.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The value of a line as `MemTotal:       16316412 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// The budget of a machine of 1,000 MiB with these files.
    fn budget(files: &[(&str, &str)]) -> Option<u64> {
        let mut all = BTreeMap::from([("/proc/meminfo", "MemFree: 7 kB\nMemTotal:        1024000 kB\n")]);
        all.extend(files.iter().copied());
        let read = |path: &Path| all.get(path.to_str()?).map(|text| (*text).to_owned());
        MemoryBudget::found_by(&read).map(MemoryBudget::bytes)
    }

    #[test]
    fn the_smallest_limit_on_the_way_to_the_root_counts() {
        let group = ("/proc/self/cgroup", "0::/a.slice/b.service\n");
        let inner = "/sys/fs/cgroup/a.slice/b.service/memory.max";
        let outer = "/sys/fs/cgroup/a.slice/memory.max";
        let root = "/sys/fs/cgroup/memory.max";

        assert_eq!(budget(&[group, (inner, "536870912\n"), (outer, "max\n")]), Some(512 * MIB));
        assert_eq!(budget(&[group, (inner, "536870912\n"), (outer, "268435456\n")]), Some(256 * MIB));
        assert_eq!(budget(&[group, (inner, "max\n"), (outer, "max\n")]), Some(1_000 * MIB));
        assert_eq!(
            budget(&[group, (root, "134217728")]),
            Some(128 * MIB),
            "a container that sees itself as the root"
        );
        assert_eq!(budget(&[group, (inner, "99999999999\n")]), Some(1_000 * MIB), "more than there is");
    }

    #[test]
    fn the_first_version_is_read_too() {
        let groups =
            ("/proc/self/cgroup", "12:pids:/x\n9:cpu,memory:/docker/4f1c\n1:name=systemd:/x\n0::/x\n");
        let inner = "/sys/fs/cgroup/memory/docker/4f1c/memory.limit_in_bytes";
        let root = "/sys/fs/cgroup/memory/memory.limit_in_bytes";

        assert_eq!(budget(&[groups, (inner, "536870912\n")]), Some(512 * MIB));
        assert_eq!(budget(&[groups, (root, "268435456\n")]), Some(256 * MIB));
        assert_eq!(
            budget(&[groups, (inner, "9223372036854771712\n")]),
            Some(1_000 * MIB),
            "its way to say none"
        );
    }

    #[test]
    fn what_cannot_be_meant_is_passed_over() {
        let group = ("/proc/self/cgroup", "0::/a\n");
        for odd in ["", "\n", "0", "1", "4096", "-1", "1e9", "512M", "18446744073709551616", "max 7", "\0"] {
            assert_eq!(budget(&[group, ("/sys/fs/cgroup/a/memory.max", odd)]), Some(1_000 * MIB), "{odd:?}");
        }
        for odd in ["", "::", "0:", "0::", "x", "0::/../../etc", &"0::/a/../b".repeat(100), &"/".repeat(1000)]
        {
            assert_eq!(budget(&[("/proc/self/cgroup", odd)]), Some(1_000 * MIB), "{odd:?}");
        }
        for odd in ["", "MemTotal:", "MemTotal: kB", "MemTotal: 1 MB", "MemTotal: 18446744073709551615 kB"] {
            assert_eq!(budget(&[("/proc/meminfo", odd)]), None, "{odd:?}");
        }
        assert_eq!(limit_files("0::/../../etc/x"), limit_files("0::/etc/x"), "nothing leads out of the root");
        assert!(limit_files(&format!("0::{}", "/a".repeat(10_000))).len() <= MAX_DEPTH + 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_memory_and_this_process_takes_some() {
        let budget = MemoryBudget::detect().expect("on Linux it is known");
        let resident = resident().expect("on Linux it is known");

        assert!(budget.bytes() >= LEAST && resident > 100_000, "{budget:?}, {resident}");
    }
}
