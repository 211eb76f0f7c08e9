//! The limits of the process, which workers inherit.

use rustix::process::{Resource, getrlimit};

use super::finding::Finding;

/// A limit that is too tight, in whatever it counts.
struct Rule {
    check: &'static str,
    resource: Resource,
    enough: u64,
    what: &'static str,
    because: &'static str,
    remedy: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        check: "limit.files",
        resource: Resource::Nofile,
        enough: 256,
        what: "open files",
        because: "a worker takes about ten, and each large array one",
        remedy: "`ulimit -n 4096`, or `LimitNOFILE=` of the service",
    },
    Rule {
        check: "limit.memory",
        resource: Resource::As,
        enough: u64::MAX,
        what: "bytes of address space",
        because: "numeric libraries reserve far more than they use",
        remedy: "`ulimit -v unlimited`; to limit workers, use `Pool::memory_limit`",
    },
    Rule {
        check: "limit.processes",
        resource: Resource::Nproc,
        enough: 64,
        what: "processes and threads",
        because: "numeric libraries start a thread for each core, in each worker",
        remedy: "`ulimit -u 4096`, or `TasksMax=` of the service",
    },
    Rule {
        check: "limit.file-size",
        resource: Resource::Fsize,
        enough: 1 << 30,
        what: "bytes in a file",
        because: "shared memory counts as a file: larger arrays kill the program",
        remedy: "`ulimit -f unlimited`",
    },
    Rule {
        check: "limit.cpu-time",
        resource: Resource::Cpu,
        enough: u64::MAX,
        what: "seconds of CPU time",
        because: "workers are killed when they have used it",
        remedy: "`ulimit -t unlimited`",
    },
];

/// Looks at each limit.
pub(super) fn check(findings: &mut Vec<Finding>) {
    let before = findings.len();
    for rule in RULES {
        if let Some(limit) = getrlimit(rule.resource).current.filter(|limit| *limit < rule.enough) {
            let Rule { check, what, because, remedy, .. } = rule;
            let message = format!("no more than {limit} {what}: {because}");
            findings.push(Finding::warning(check, message, *remedy));
        }
    }
    if findings.len() == before {
        findings.push(Finding::ok("limits", "none that is too tight"));
    }
}
