//! Versions of Python, and ranges of them.

use std::fmt;
use std::str::FromStr;

/// A version of two or three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "complete by nature: the parts of a version")]
pub struct Version {
    /// 3, for all that can be used.
    pub major: u32,
    /// The feature version.
    pub minor: u32,
    /// The bugfix version, if it matters.
    pub patch: Option<u32>,
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.').map(|part| match part.starts_with('+') {
            true => Err(()),
            false => part.parse().map_err(|_| ()),
        });
        let mut next = || parts.next().transpose();
        let (major, minor, patch) = (next()?.ok_or(())?, next()?.ok_or(())?, next()?);
        match parts.next() {
            None => Ok(Self { major, minor, patch }),
            Some(_) => Err(()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

impl Version {
    /// Whether a whole version is one of those that this one names.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
            && (self.patch.is_none() || self.patch == other.patch)
    }
}

/// A range of versions, written as Python packages write it: `>=3.10,<3.14`, `~=3.11`, `!=3.12.1`,
/// `==3.12.*`. All of its parts must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRange {
    bounds: Vec<Bound>,
    text: String,
}

/// What is no range of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRange {
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    operator: &'static str,
    /// One to three numbers; fewer mean that the rest is 0, or does not matter.
    numbers: Vec<u32>,
    /// `==3.12.*`
    is_prefix: bool,
}

/// Those of two characters come first, since others begin like them.
const OPERATORS: [&str; 7] = [">=", "<=", "==", "!=", "~=", ">", "<"];

impl VersionRange {
    /// Whether a whole version is in the range.
    #[must_use]
    pub fn contains(&self, version: &Version) -> bool {
        let whole = [version.major, version.minor, version.patch.unwrap_or_default()];
        self.bounds.iter().all(|bound| bound.contains(whole))
    }

    /// Whether some `major.minor.x` may be in the range.
    #[must_use]
    pub fn may_contain(&self, major: u32, minor: u32) -> bool {
        // Nobody excludes patches that high by name, and no bugfix version is above it.
        (0..100).any(|patch| self.contains(&Version { major, minor, patch: Some(patch) }))
    }
}

impl Bound {
    fn contains(&self, version: [u32; 3]) -> bool {
        let mut limit = [0; 3];
        limit[..self.numbers.len()].copy_from_slice(&self.numbers);
        let begins = |count: usize| version[..count] == limit[..count];
        match self.operator {
            ">=" => version >= limit,
            "<=" => version <= limit,
            ">" => version > limit,
            "<" => version < limit,
            "~=" => version >= limit && begins(self.numbers.len() - 1),
            operator => {
                let is_same = match self.is_prefix {
                    true => begins(self.numbers.len()),
                    false => version == limit,
                };
                is_same == (operator == "==")
            }
        }
    }
}

impl FromStr for VersionRange {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, BadRange> {
        let bounds: Option<Vec<Bound>> = text.split(',').map(|part| bound(part.trim())).collect();
        match bounds {
            Some(bounds) => Ok(Self { bounds, text: text.trim().to_owned() }),
            None => Err(BadRange { text: text.to_owned() }),
        }
    }
}

fn bound(text: &str) -> Option<Bound> {
    let operator = OPERATORS.into_iter().find(|operator| text.starts_with(operator))?;
    let version = text[operator.len()..].trim();
    let prefix = version.strip_suffix(".*");
    let numbers = prefix.unwrap_or(version).split('.').map(|number| {
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|_| is_plain)
    });
    let numbers: Vec<u32> = numbers.collect::<Option<_>>()?;
    let is_allowed = match (operator, prefix) {
        ("==" | "!=", Some(_)) => numbers.len() <= 2,
        (_, Some(_)) => false,
        ("~=", None) => numbers.len() >= 2,
        (_, None) => true,
    };
    let bound = Bound { operator, numbers, is_prefix: prefix.is_some() };
    (is_allowed && bound.numbers.len() <= 3).then_some(bound)
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for BadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        write!(f, "`{text}` is no range of versions, expected one such as `>=3.10,<3.14`")
    }
}

impl std::error::Error for BadRange {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (range, inside, outside) in [
            (">=3.10", vec!["3.10.0", "3.14.1"], vec!["3.9.18"]),
            (">=3.10, <3.13", vec!["3.12.9"], vec!["3.13.0", "3.9.1"]),
            ("~=3.11", vec!["3.11.0", "3.14.0"], vec!["3.10.9"]),
            ("~=3.11.2", vec!["3.11.2", "3.11.9"], vec!["3.11.1", "3.12.0"]),
            ("==3.12.*", vec!["3.12.0", "3.12.7"], vec!["3.11.0", "3.13.0"]),
            ("!=3.12.*,>3.10.0", vec!["3.10.1", "3.13.0"], vec!["3.12.4", "3.10.0"]),
            ("==3.12.1", vec!["3.12.1"], vec!["3.12.2"]),
            ("!=3.12.1", vec!["3.12.2"], vec!["3.12.1"]),
            ("<=3.11", vec!["3.11.0"], vec!["3.11.1"]),
        ] {
            let parsed: VersionRange = range.parse().unwrap();
            assert_eq!(parsed.to_string(), range);
            for version in inside {
                assert!(parsed.contains(&version.parse().unwrap()), "{range} has {version}");
            }
            for version in outside {
                assert!(!parsed.contains(&version.parse().unwrap()), "{range} lacks {version}");
            }
        }
    }

    #[test]
    fn what_is_no_range() {
        for text in ["", ">=", ">=3.x", "=3.10", ">=3.10 <4", ">=3.*", "~=3", "==1.2.3.4", ">=+3"] {
            let error = text.parse::<VersionRange>().unwrap_err().to_string();
            assert!(error.contains("no range of versions"), "{text}: {error}");
        }
    }

    #[test]
    fn feature_versions_of_a_range() {
        let range: VersionRange = ">=3.10.5,<3.12".parse().unwrap();
        let minors: Vec<u32> = (0..20).filter(|minor| range.may_contain(3, *minor)).collect();
        assert_eq!(minors, [10, 11]);
    }
}
