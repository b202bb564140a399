//! What memory a run has taken.

use anyhow::{Context as _, Result, ensure};
use bartizan_host::Thread;

/// The memory of this process that is resident, in bytes.
///
/// # Errors
/// Where `/proc` does not tell.
pub fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS in /proc/self/status")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().context("VmRSS is not a number")?;
    Ok(kib.saturating_mul(1024))
}

/// The linear memory of all VMs together.
#[must_use]
pub fn linear(of: &[(Thread, usize)]) -> usize {
    of.iter().map(|(_, bytes)| bytes).sum()
}

/// Fails if the linear memory of a VM has grown by more than this.
///
/// # Errors
/// With the VM and by how much.
pub fn check_linear(before: &[(Thread, usize)], after: &[(Thread, usize)], slack: usize) -> Result<()> {
    ensure!(!before.is_empty() && before.len() == after.len(), "there is no memory to compare");
    for ((thread, before), (_, after)) in before.iter().zip(after) {
        ensure!(
            *after <= before.saturating_add(slack),
            "the memory of {thread} has grown from {before} to {after} bytes"
        );
    }
    Ok(())
}

/// Bytes as MiB.
#[must_use]
pub fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
