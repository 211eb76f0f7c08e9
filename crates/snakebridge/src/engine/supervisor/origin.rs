//! How the process of a worker came to be, which decides how its end is learnt of.

use std::process::Child;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

#[derive(Debug)]
pub(super) enum Origin {
    /// The host has started it.
    Child(Child),
    /// The fork server of its pool was asked for it.
    Forked {
        /// What the fork server was told to name it by.
        number: u64,
        /// None until the fork server has answered.
        pid: Option<Pid>,
    },
}

impl Origin {
    pub(super) fn pid(&self) -> Option<Pid> {
        match self {
            Self::Child(child) => pid_of(child),
            Self::Forked { pid, .. } => *pid,
        }
    }

    pub(super) fn is_forked(&self) -> bool {
        matches!(self, Self::Forked { .. })
    }
}

pub(super) fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

pub(super) fn child_has_ended(child: &Child) -> bool {
    let Some(pid) = pid_of(child) else { return true };
    // It is not taken note of yet: as long as it is not, its id is nobody else's, and what it has
    // started can be killed.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // An error means that someone else in this program has waited for the process.
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}
