//! What a process has used, from `/proc`.

use std::fs;

use anyhow::Context;

/// The unit of `/proc/PID/stat` on every Linux that we run on (`USER_HZ`).
const TICKS: f64 = 100.0;

/// User and system time of these processes together, in seconds.
pub(crate) fn cpu_seconds(pids: &[u32]) -> anyhow::Result<f64> {
    let mut ticks = 0;
    for pid in pids {
        let text =
            fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
        // The name, in parentheses, may hold anything. Behind it, user and system time are the fields 12 and 13.
        let (_, fields) = text.rsplit_once(')').context("a name in parentheses")?;
        let mut fields = fields.split_whitespace().skip(11);
        for _ in 0..2 {
            ticks += fields.next().context("a field for CPU time")?.parse::<u64>()?;
        }
    }
    Ok(ticks as f64 / TICKS)
}

/// Resident memory of a process, in KiB.
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
    let value = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    Ok(value.context("its resident memory")?.parse()?)
}
