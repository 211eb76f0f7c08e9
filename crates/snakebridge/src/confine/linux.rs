//! The restrictions themselves, which a thread puts on itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};
use rustix::thread::{
    CapabilitySet, clear_ambient_capability_set, remove_capability_from_bounding_set,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::{Confine, ConfineSupport};

/// The first version whose rules for files have no gap: before it, files could be truncated.
const FILES: ABI = ABI::V3;
const PORTS: ABI = ABI::V4;
const SIGNALS: ABI = ABI::V6;

pub(super) fn support() -> ConfineSupport {
    let level = CompatLevel::HardRequirement;
    let has = |handled: Result<Ruleset, RulesetError>| handled.and_then(Ruleset::create).is_ok();
    let ruleset = || Ruleset::default().set_compatibility(level);
    ConfineSupport {
        files: has(ruleset().handle_access(AccessFs::from_all(FILES))),
        ports: has(ruleset().handle_access(AccessNet::from_all(PORTS))),
        signals: has(ruleset().scope(Scope::from_all(SIGNALS))),
        sockets: TargetArch::try_from(std::env::consts::ARCH).is_ok()
            && Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
    }
}

/// Restricts the calling thread, and all that it starts. `places` is what Python needs to read.
///
/// # Errors
/// What could not be done, for people. The thread may be restricted in part then.
pub(super) fn restrict(confine: &Confine, places: &[PathBuf]) -> Result<(), String> {
    drop_capabilities();
    // All of it needs this, and does it by itself; where all is missing it is still worth having.
    rustix::thread::set_no_new_privs(true).map_err(|error| format!("no_new_privs: {error}"))?;
    restrict_files_and_ports(confine, places).map_err(|error| format!("Landlock: {error}"))?;
    if !confine.network {
        let filtered = restrict_sockets(confine).map_err(|error| format!("seccomp: {error}"));
        if !confine.best_effort {
            filtered?;
        }
    }
    Ok(())
}

/// Takes from root what makes more of it than a user who may open all files: what is restricted is to be
/// so for root too. Others have nothing of that to begin with, and may not even drop it.
fn drop_capabilities() {
    let kept = CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::DAC_READ_SEARCH
        | CapabilitySet::NET_BIND_SERVICE;
    for number in 0..CAPABILITIES {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if !kept.contains(one) {
            let _ = remove_capability_from_bounding_set(one);
        }
    }
    let _ = clear_ambient_capability_set();
}

/// More than there are: what the kernel does not know is no harm.
const CAPABILITIES: u32 = 63;

fn restrict_files_and_ports(confine: &Confine, places: &[PathBuf]) -> Result<(), RulesetError> {
    let required = match confine.best_effort {
        true => CompatLevel::BestEffort,
        false => CompatLevel::HardRequirement,
    };
    let ruleset = Ruleset::default()
        .set_compatibility(required)
        .handle_access(AccessFs::from_all(FILES))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::IoctlDev)?
        .scope(Scope::Signal)?;
    let ruleset = match confine.unix_sockets || confine.network {
        true => ruleset,
        false => ruleset.scope(Scope::AbstractUnixSocket)?,
    };
    let ruleset = match confine.network {
        true => ruleset,
        // Without ports to grant, no socket can be made in the first place.
        false => ruleset.handle_access(AccessNet::from_all(PORTS))?,
    };
    let connect = confine.connect.iter().map(|port| NetPort::new(*port, AccessNet::ConnectTcp));
    let listen = confine.listen.iter().map(|port| NetPort::new(*port, AccessNet::BindTcp));
    let ports = connect.chain(listen).filter(|_| !confine.network);
    ruleset
        .create()?
        .add_rules(path_beneath_rules(places, AccessFs::from_read(FILES)))?
        .add_rules(path_beneath_rules(&confine.read, AccessFs::from_read(FILES)))?
        .add_rules(path_beneath_rules(DEVICES, writing()))?
        .add_rules(path_beneath_rules(&confine.write, writing()))?
        .add_rules(ports.map(Ok::<_, RulesetError>))?
        .restrict_self()?;
    Ok(())
}

/// Devices that do no harm, and that a program counts on.
const DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/full"];

/// All but running what was written, and making devices.
fn writing() -> BitFlags<AccessFs> {
    let not = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock;
    (AccessFs::from_all(FILES) | AccessFs::IoctlDev) & !not
}

/// Lets no sockets be made but those that are granted.
fn restrict_sockets(confine: &Confine) -> Result<(), seccompiler::Error> {
    let denied = SeccompAction::Errno(libc::EACCES as u32);
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(socket_rules(confine)?, SeccompAction::Allow, denied, arch)?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Which system calls are denied: one without rules always, the others where one of the rules fits.
fn socket_rules(confine: &Confine) -> Result<Rules, seccompiler::BackendError> {
    let mut rules = Rules::new();
    let (sockets, pairs) = (denied_sockets(confine)?, denied_pairs(confine)?);
    for bit in ABIS {
        rules.insert(libc::SYS_socket | bit, sockets.clone());
        rules.insert(libc::SYS_socketpair | bit, pairs.clone());
        // It makes sockets as well, and no filter sees them.
        rules.insert(libc::SYS_io_uring_setup | bit, Vec::new());
        // A socket that listens without an address is given a port, of which Landlock is not told.
        if !confine.connect.is_empty() && confine.listen.is_empty() {
            rules.insert(libc::SYS_listen | bit, Vec::new());
        }
        // To send with this flag is to connect, and Landlock does not look at the port then.
        for (number, flags) in SENDING {
            let connects = has_bits(*flags, libc::MSG_FASTOPEN)?;
            rules.insert(number | bit, vec![SeccompRule::new(vec![connects])?]);
        }
    }
    Ok(rules)
}

/// Each system call that sends to an address, with the place of its flags.
const SENDING: &[(i64, u8)] = &[
    (libc::SYS_sendto, 3),
    (libc::SYS_sendmsg, 2),
    (libc::SYS_sendmmsg, 3),
    // The second ABI has numbers of its own for the last two.
    #[cfg(target_arch = "x86_64")]
    (518, 2),
    #[cfg(target_arch = "x86_64")]
    (538, 3),
];

/// What is added to the numbers of system calls: on x86-64 there is a second one for each.
#[cfg(target_arch = "x86_64")]
const ABIS: [i64; 2] = [0, 0x4000_0000];
#[cfg(not(target_arch = "x86_64"))]
const ABIS: [i64; 1] = [0];

/// `socket(domain, type, protocol)`: what must not be made. Nothing may if the list is empty.
fn denied_sockets(confine: &Confine) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let has_tcp = confine.has_ports();
    let mut domains = Vec::new();
    if confine.unix_sockets {
        domains.push(libc::AF_UNIX);
    }
    if has_tcp || confine.udp {
        domains.extend(INTERNET);
    }
    if domains.is_empty() {
        return Ok(Vec::new());
    }
    let other_domain = domains.iter().map(|domain| is_not(DOMAIN, *domain));
    let mut rules = vec![SeccompRule::new(other_domain.collect::<Result<_, _>>()?)?];
    let kinds = [
        (libc::SOCK_STREAM, libc::IPPROTO_TCP, has_tcp),
        (libc::SOCK_DGRAM, libc::IPPROTO_UDP, confine.udp),
    ];
    for domain in INTERNET.into_iter().filter(|domain| domains.contains(domain)) {
        // Only these two kinds, and of these only the usual protocol: Landlock knows the ports of TCP
        // alone, not of those that are like it.
        for kind in 0..=KINDS {
            let mut conditions = vec![is(DOMAIN, domain)?, is_kind(kind)?];
            if let Some((_, protocol, true)) = kinds.iter().find(|(found, ..)| *found == kind) {
                conditions.extend([is_not(PROTOCOL, 0)?, is_not(PROTOCOL, *protocol)?]);
            }
            rules.push(SeccompRule::new(conditions)?);
        }
    }
    Ok(rules)
}

/// `socketpair(domain, type, ..)`: what must not be made. A half of a pair of streams stays with its other half; one of
/// another kind can send to any Unix socket there is, and pairs of other domains are nothing that Python needs.
fn denied_pairs(confine: &Confine) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let mut rules = vec![SeccompRule::new(vec![is_not(DOMAIN, libc::AF_UNIX)?])?];
    if !confine.unix_sockets {
        for kind in (0..=KINDS).filter(|kind| *kind != libc::SOCK_STREAM) {
            rules.push(SeccompRule::new(vec![is_kind(kind)?])?);
        }
    }
    Ok(rules)
}

const INTERNET: [i32; 2] = [libc::AF_INET, libc::AF_INET6];
/// Where the arguments of `socket` and `socketpair` stand.
const DOMAIN: u8 = 0;
const KIND: u8 = 1;
const PROTOCOL: u8 = 2;
/// The bits of the second argument that are the kind; the others are flags.
const KINDS: i32 = 15;

fn is(place: u8, value: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(place, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value as u64)
}

fn is_not(place: u8, value: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(place, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value as u64)
}

fn is_kind(kind: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    let compare = SeccompCmpOp::MaskedEq(KINDS as u64);
    SeccompCondition::new(KIND, SeccompCmpArgLen::Dword, compare, kind as u64)
}

fn has_bits(place: u8, bits: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    let compare = SeccompCmpOp::MaskedEq(bits as u64);
    SeccompCondition::new(place, SeccompCmpArgLen::Dword, compare, bits as u64)
}
