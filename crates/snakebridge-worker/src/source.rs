//! The source of the worker, inside the binary.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../python/snakebridge_worker/", $name)))),*]
    };
}

/// Name and text of each file of the package.
pub(crate) const FILES: &[(&str, &str)] = files![
    "__init__.py",
    "adapters.py",
    "arrays.py",
    "async_lanes.py",
    "background.py",
    "callbacks.py",
    "codec.py",
    "columns.py",
    "contexts.py",
    "control.py",
    "coroutines.py",
    "encode.py",
    "errors.py",
    "events.py",
    "fork_safety.py",
    "fork_server.py",
    "frames.py",
    "guard.py",
    "helpers.py",
    "lane.py",
    "lazy.py",
    "mailbox.py",
    "main.py",
    "markers.py",
    "news.py",
    "operations.py",
    "pipelines.py",
    "regions.py",
    "rules.py",
    "scalars.py",
    "sessions.py",
    "streams.py",
    "tables.py",
];

/// Name of the package.
pub(crate) const PACKAGE: &str = "snakebridge_worker";

/// A number that changes with every change of the source. It names the folder; what is in the
/// folder is compared byte by byte, so the number need not withstand an attack.
pub(crate) const fn hash() -> u64 {
    let mut state = FNV_START;
    let mut file = 0;
    while file < FILES.len() {
        state = fnv(state, FILES[file].0.as_bytes());
        state = fnv(state, FILES[file].1.as_bytes());
        file += 1;
    }
    state
}

/// A number for some bytes, the same in all versions and on all machines: for names of files whose
/// content tells what they are about, since two texts can have the same number.
#[must_use]
pub const fn fingerprint(bytes: &[u8]) -> u64 {
    fnv(FNV_START, bytes)
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

const fn fnv(mut state: u64, bytes: &[u8]) -> u64 {
    let mut at = 0;
    while at < bytes.len() {
        state = (state ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_package_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/python/snakebridge_worker");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".py"))
            .collect();
        found.sort();
        let listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, listed);
    }
}
