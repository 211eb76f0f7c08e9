//! What the kernel says about a process. Linux only: elsewhere there is nothing to read.

use std::fs;
use std::io;
use std::time::Duration;

/// Memory of a process that is in RAM, in KiB.
///
/// # Errors
/// The process is gone, or the system has no `/proc`.
pub fn rss_kb(pid: u32) -> io::Result<u64> {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Like [`rss_kb`], but pages that several processes share are divided between them.
///
/// # Errors
/// As for [`rss_kb`]; also where the file may not be read.
pub fn pss_kb(pid: u32) -> io::Result<u64> {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// How long a process has run on a core so far: its main thread.
///
/// # Errors
/// The process is gone, or the system has no `/proc`.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    // The first number is that, in nanoseconds; see sched-stats in the documentation of Linux.
    let path = format!("/proc/{pid}/schedstat");
    let text = fs::read_to_string(&path)?;
    let time = text.split_whitespace().next().and_then(|number| number.parse().ok());
    let time = time.ok_or_else(|| io::Error::other(format!("no time in {path}")))?;
    Ok(Duration::from_nanos(time))
}

/// Number of descriptors that this process has open, the one that counts them included.
///
/// # Errors
/// The system has no `/proc`.
pub fn open_descriptors() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

/// Number of threads of this process.
///
/// # Errors
/// The system has no `/proc`.
pub fn threads() -> io::Result<u64> {
    field("/proc/self/status", "Threads:")
}

/// The processes whose parent is this one, those included that nobody has waited for.
///
/// # Errors
/// The system has no `/proc`.
pub fn children() -> io::Result<Vec<u32>> {
    let parent = u64::from(std::process::id());
    let pids = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // A process may end between the listing and the look at it.
    Ok(pids
        .filter(|pid| field(&format!("/proc/{pid}/status"), "PPid:").ok() == Some(parent))
        .collect())
}

/// The number after a name in a file of `/proc`.
fn field(path: &str, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no {name} in {path}")))
}
