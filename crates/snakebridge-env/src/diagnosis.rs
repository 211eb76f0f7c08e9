//! What uv and pip mean when they fail.

use crate::error::EnvErrorKind;

/// What went wrong, and the line that says it best.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    pub(crate) kind: EnvErrorKind,
    pub(crate) line: String,
}

/// Words that tell the kind of a failure, the most telling ones first: pip says that there is no such
/// package also where it cannot reach the index, and uv what depends on what whatever the reason is.
const SIGNS: &[(EnvErrorKind, &[&str])] = &[
    (EnvErrorKind::NoSpace, &["No space left on device", "os error 28", "Disk quota exceeded"]),
    (EnvErrorKind::Hash, &["Hash mismatch", "DO NOT MATCH THE HASHES", "--require-hashes"]),
    (
        EnvErrorKind::Credentials,
        &[
            "valid authentication credentials",
            "Credentials not correct",
            "401 Unauthorized",
            "403 Forbidden",
            "401 Client Error",
            "403 Client Error",
            "HTTP error 401",
            "HTTP error 403",
        ],
    ),
    (
        EnvErrorKind::Network,
        &[
            "error sending request",
            "Failed to fetch",
            "Could not connect",
            "tcp connect error",
            "dns error",
            "Failed to establish a new connection",
            "NewConnectionError",
            "Connection refused",
            "ConnectTimeoutError",
            "ReadTimeoutError",
            "Temporary failure in name resolution",
            "ProxyError",
            "SSLError",
            "CERTIFICATE_VERIFY_FAILED",
            "Network connectivity is disabled",
            "network was disabled",
        ],
    ),
    (
        EnvErrorKind::NoSuchPackage,
        &[
            "does not satisfy Python",
            "was not found in the package registry",
            "was not found in the provided package locations",
            "there are no versions of",
            "there is no version of",
        ],
    ),
    (
        EnvErrorKind::Conflict,
        &["ResolutionImpossible", "conflicting dependencies", "are incompatible", " depends on "],
    ),
    (
        EnvErrorKind::NoSuchPackage,
        &[
            "No matching distribution found",
            "has no wheels with a matching",
            "has no usable wheels",
            "has no publicly available wheels",
            "requires a different Python",
            "requires Python",
        ],
    ),
    (
        EnvErrorKind::Build,
        &[
            "Failed to build",
            "Failed building wheel",
            "metadata-generation-failed",
            "subprocess-exited-with-error",
        ],
    ),
    (
        EnvErrorKind::Denied,
        &["Permission denied", "Read-only file system", "os error 13", "os error 30"],
    ),
    (
        EnvErrorKind::Requirement,
        &[
            "Invalid requirement",
            "Couldn't parse requirement",
            "Failed to parse",
            "Expected one of",
        ],
    ),
    // A resolver that found no versions, and does not say why in words from above.
    (EnvErrorKind::Conflict, &["No solution found when resolving"]),
];

/// Reads what a tool has printed.
pub(crate) fn diagnose(lines: &[String]) -> Diagnosis {
    let text = unwrapped(lines);
    for (kind, signs) in SIGNS {
        let told = text.iter().find(|line| signs.iter().any(|sign| line.contains(sign)));
        if let Some(line) = told {
            let line = best(&text, *kind).unwrap_or(line);
            return Diagnosis { kind: *kind, line: shown(line) };
        }
    }
    let line = text.iter().rfind(|line| is_error(line)).or_else(|| text.last());
    let line = line.map_or_else(|| "nothing was said".to_owned(), |line| shown(line));
    Diagnosis { kind: EnvErrorKind::Other, line }
}

/// The line that tells people most.
fn best(text: &[String], kind: EnvErrorKind) -> Option<&String> {
    let telling: &[&str] = match kind {
        // What cannot be installed together is said by uv after "Because", by pip before.
        EnvErrorKind::Conflict => &["Because", "Cannot install"],
        EnvErrorKind::NoSuchPackage => &["Because", "No matching distribution"],
        EnvErrorKind::Network => &["Failed to fetch", "Could not connect", "Caused by"],
        _ => return None,
    };
    telling.iter().find_map(|sign| text.iter().find(|line| line.contains(sign)))
}

fn is_error(line: &str) -> bool {
    ["error", "ERROR", "Error"].iter().any(|word| line.contains(word))
}

/// uv draws a tree around what it says, and breaks the lines.
fn unwrapped(lines: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in lines {
        let text = line.trim_matches(|c: char| c.is_whitespace() || "×╰─▶├│".contains(c));
        let cause = ["cause: ", "Caused by: "].iter().find_map(|word| text.strip_prefix(word));
        let begins = line.contains("▶") || !line.starts_with("  ") || cause.is_some();
        match out.last_mut() {
            _ if text.is_empty() => {}
            Some(last) if !begins => {
                last.push(' ');
                last.push_str(text);
            }
            _ => out.push(cause.unwrap_or(text).to_owned()),
        }
    }
    out
}

fn shown(line: &str) -> String {
    let mut words = ["ERROR: ", "error: ", "hint: "].iter();
    let line = words.find_map(|word| line.strip_prefix(word)).unwrap_or(line);
    let line = line.trim_end_matches('.');
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

/// More is in what the tool has said as a whole.
const LONGEST: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_uv_and_pip_say() {
        use EnvErrorKind::*;
        for (kind, line, said) in [
            (
                Conflict,
                "Because requests==2.32.3 depends on urllib3>=1.21.1,<3 and you require \
                 requests==2.32.3, we can conclude that you require urllib3>=1.21.1,<3. And because \
                 you require urllib3<1, we can conclude that your requirements are unsatisfiable",
                "error: No solution found when resolving dependencies\n  cause: Because \
                 requests==2.32.3 depends on urllib3>=1.21.1,<3 and you require requests==2.32.3, we \
                 can conclude that you require urllib3>=1.21.1,<3.\n         And because you require \
                 urllib3<1, we can conclude that your requirements are unsatisfiable.",
            ),
            (
                Conflict,
                "Cannot install requests==2.32.3 and urllib3<1 because these package versions have \
                 conflicting dependencies",
                "Collecting urllib3<1\nERROR: Cannot install requests==2.32.3 and urllib3<1 because \
                 these package versions have conflicting dependencies.\n\nThe conflict is caused \
                 by:\n    The user requested urllib3<1\nERROR: ResolutionImpossible: for help visit",
            ),
            (
                NoSuchPackage,
                "Because nosuch was not found in the package registry and you require nosuch, we can \
                 conclude that your requirements are unsatisfiable",
                "  × No solution found when resolving dependencies:\n  ╰─▶ Because nosuch was not \
                 found in the package registry and you\n      require nosuch, we can conclude that \
                 your requirements are\n      unsatisfiable.",
            ),
            (
                NoSuchPackage,
                "Because the requested Python version (>=3.9) does not satisfy Python>=3.11 and \
                 numpy==2.3.0 depends on Python>=3.11, we can conclude that numpy==2.3.0 cannot be used",
                "  × No solution found when resolving dependencies:\n  ╰─▶ Because the requested Python \
                 version (>=3.9) does not satisfy Python>=3.11\n      and numpy==2.3.0 depends on \
                 Python>=3.11, we can conclude that numpy==2.3.0\n      cannot be used.",
            ),
            (
                NoSuchPackage,
                "Because there is no version of urllib3==99 and ours==1.0 depends on urllib3==99, we can \
                 conclude that ours==1.0 cannot be used",
                "  × No solution found when resolving dependencies:\n  ╰─▶ Because there is no version \
                 of urllib3==99 and ours==1.0 depends on\n      urllib3==99, we can conclude that \
                 ours==1.0 cannot be used.",
            ),
            (
                Credentials,
                "An index URL (https://example.org/simple/) could not be queried due to a lack of \
                 valid authentication credentials (401 Unauthorized)",
                "  × No solution found when resolving dependencies:\n  ╰─▶ Because six was not found in \
                 the package registry and you require six, we\n      can conclude that your requirements \
                 are unsatisfiable.\n\nhint: An index URL (https://example.org/simple/) could not be \
                 queried due to a lack of valid authentication credentials (401 Unauthorized).",
            ),
            (
                Credentials,
                "WARNING: 401 Error, Credentials not correct for https://example.org/simple/six/",
                "WARNING: 401 Error, Credentials not correct for https://example.org/simple/six/\n\
                 ERROR: No matching distribution found for six",
            ),
            (
                NoSuchPackage,
                "No matching distribution found for six==99",
                "ERROR: Could not find a version that satisfies the requirement six==99 (from \
                 versions: 1.0)\nERROR: No matching distribution found for six==99",
            ),
            (
                Network,
                "Failed to fetch: http://127.0.0.1:9/simple/six/",
                "error: Failed to fetch: http://127.0.0.1:9/simple/six/\n  cause: error sending \
                 request\n  cause: Connection refused (os error 111)",
            ),
            (
                Network,
                "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'",
                "WARNING: Retrying (Retry(total=0)) after connection broken by \
                 'NewConnectionError'\nERROR: No matching distribution found for six",
            ),
            (
                Network,
                "Packages were unavailable because the network was disabled",
                "error: No solution found when resolving dependencies\n  cause: Because idna was not \
                 found in the cache and you require idna==3.7, we can conclude.\n\nhint: Packages \
                 were unavailable because the network was disabled.",
            ),
            (
                NoSpace,
                "failed to copy file from a to b: No space left on device (os error 28)",
                "error: Failed to install: requests\n  cause: Failed to copy to `x`\n  cause: failed \
                 to copy file from a to b: No space left on device (os error 28)",
            ),
            (
                Hash,
                "Hash mismatch for `six==1.16.0`",
                "error: Failed to download `six==1.16.0`\n  cause: Hash mismatch for `six==1.16.0`\n",
            ),
            (
                Denied,
                "Failed to create: Permission denied (os error 13)",
                "error: Failed to create: Permission denied (os error 13)",
            ),
            (Other, "error: it broke", "fine\nerror: it broke\nbye"),
            (Other, "nothing was said", ""),
        ] {
            let lines: Vec<String> = said.lines().map(str::to_owned).collect();
            let mut found = diagnose(&lines);
            if kind == Network {
                // Which of several lines is chosen matters less than that it is one of them.
                found.line.truncate(line.len());
            }
            let line = line.strip_prefix("error: ").unwrap_or(line).to_owned();
            assert_eq!(found, Diagnosis { kind, line }, "{said}");
        }
    }
}
