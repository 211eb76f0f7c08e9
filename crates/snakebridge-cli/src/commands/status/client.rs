//! Finding the bridges of this machine, and asking them.

use serde_json::Value;

use super::{Bridge, say};
use crate::color::WARNING;
use crate::report::Failure;

/// What the bridges say.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// As it was sent.
    pub(super) answers: Vec<Value>,
    /// Programs that did not answer, and why.
    silent: Vec<(u32, String)>,
}

impl Seen {
    pub(super) fn bridges(&self) -> Vec<Bridge> {
        // One of another version may describe itself in another way.
        self.answers
            .iter()
            .filter_map(|answer| serde_json::from_value(answer.clone()).ok())
            .collect()
    }

    pub(super) fn complain(&self) {
        for (pid, why) in &self.silent {
            say(&format!("{WARNING}warning:{WARNING:#} the program with pid {pid} {why}"));
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn look() -> Result<Seen, Failure> {
    Err(Failure::other("bridges can be seen from outside on Linux only"))
}

/// Asks all bridges of the user; those of all users, for root.
#[cfg(target_os = "linux")]
pub(super) fn look() -> Result<Seen, Failure> {
    let list = std::fs::read_to_string("/proc/net/unix")
        .map_err(|error| Failure::other(format!("cannot list sockets: /proc/net/unix: {error}")))?;
    let user = rustix::process::getuid();
    let mut seen = Seen::default();
    let mut places: Vec<Place> = list.lines().filter_map(Place::parse).collect();
    places.sort();
    places.dedup();
    for place in places.iter().filter(|place| user.is_root() || place.user == user.as_raw()) {
        match place.ask() {
            Ok(Some(answer)) => seen.answers.push(answer),
            // It has just ended, or the name is not what it seems.
            Ok(None) => {}
            Err(why) => seen.silent.push((place.process, why)),
        }
    }
    Ok(seen)
}

/// Where a bridge listens.
#[cfg(target_os = "linux")]
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    user: u32,
    process: u32,
    bridge: u32,
}

#[cfg(target_os = "linux")]
impl Place {
    /// Of a line of `/proc/net/unix`, if it is the name of a bridge.
    fn parse(line: &str) -> Option<Self> {
        let name = line.split_ascii_whitespace().nth(7)?.strip_prefix("@snakebridge/")?;
        let mut parts = name.split('/').map(str::parse);
        let mut next = || parts.next()?.ok();
        Some(Self { user: next()?, process: next()?, bridge: next()? })
    }

    /// What the bridge says; an error if it is there and says nothing.
    fn ask(&self) -> Result<Option<Value>, String> {
        use std::io::{ErrorKind, Read as _};
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::{SocketAddr, UnixStream};

        let Self { user, process, bridge } = self;
        let name = format!("snakebridge/{user}/{process}/{bridge}");
        let connected = SocketAddr::from_abstract_name(name).and_then(|name| {
            let stream = UnixStream::connect_addr(&name)?;
            stream.set_read_timeout(Some(LIMIT))?;
            Ok(stream)
        });
        let Ok(stream) = connected else { return Ok(None) };
        // Everybody can take such a name.
        if rustix::net::sockopt::socket_peercred(&stream).map(|peer| peer.uid.as_raw()) != Ok(*user)
        {
            return Ok(None);
        }
        let mut answer = String::new();
        match stream.take(MOST).read_to_string(&mut answer) {
            Ok(0) => Ok(None),
            Ok(_) => serde_json::from_str(&answer)
                .map(Some)
                .map_err(|_| "answers with what cannot be read".to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err("does not answer: it may be stopped".to_owned())
            }
            // It has ended in this moment.
            Err(_) => Ok(None),
        }
    }
}

/// A supervisor answers within a millisecond; on a busy machine, a few more.
#[cfg(target_os = "linux")]
const LIMIT: std::time::Duration = std::time::Duration::from_secs(1);

/// Most bytes of an answer.
#[cfg(target_os = "linux")]
const MOST: u64 = 16 << 20;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn names_of_bridges() {
        let line =
            "0000000000000000: 00000002 00000000 00010000 0001 01 12345 @snakebridge/1000/4711/2";
        assert_eq!(Place::parse(line), Some(Place { user: 1000, process: 4711, bridge: 2 }));
        for other in [
            "Num       RefCount Protocol Flags    Type St Inode Path",
            "0000000000000000: 00000003 00000000 00000000 0001 03 12345",
            "0000000000000000: 00000002 00000000 00010000 0001 01 12345 @snakebridge/x",
            "0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/snakebridge/1/2/3",
        ] {
            assert_eq!(Place::parse(other), None, "{other}");
        }
    }
}
