//! What an environment must have.

use std::fmt::Write as _;

use snakebridge_worker::interpreter::Wanted;

use crate::error::{EnvError, EnvErrorKind};
use crate::interpreter::Interpreter;

/// What the environment of a pool must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requirements {
    /// The pool that wants them.
    pub pool: String,
    /// Which Python: as `SNAKEBRIDGE_PYTHON` has it. None: the first that works.
    pub python: Option<String>,
    /// The packages, as pip and uv take them.
    pub packages: Vec<String>,
    /// Where they are from.
    pub index: Index,
}

/// Where packages are from, where it is not left to the settings of uv and pip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Index {
    /// The package index.
    pub url: Option<String>,
    /// Others that are looked at too.
    pub extra: Vec<String>,
    /// Folders and pages with packages.
    pub find_links: Vec<String>,
    /// No index at all, only [`find_links`](Self::find_links).
    pub none: bool,
}

impl Requirements {
    /// These packages, for the default pool, on the first Python that works.
    pub fn new(packages: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let packages = packages.into_iter().map(Into::into).collect();
        Self { pool: "default".to_owned(), packages, ..Self::default() }
    }

    /// Whether the packages are written so that nothing else can be made of them.
    pub(crate) fn check(&self) -> Result<(), EnvError> {
        self.packages.iter().try_for_each(|package| check(package))
    }

    /// Which Python is wanted.
    pub(crate) fn wanted(&self) -> Result<Option<Wanted>, EnvError> {
        let wanted = self.python.as_deref().map(str::parse::<Wanted>).transpose();
        wanted.map_err(|error| EnvError::new(EnvErrorKind::Requirement, error.to_string()))
    }

    /// What the name of the environment is made of, and what it is compared by: two that are alike
    /// in this can share one.
    pub(crate) fn key(&self, python: &Interpreter, locked: Option<&str>) -> String {
        let mut out = format!("format {FORMAT}\npython {}\n", python.key());
        let Index { url, extra, find_links, none } = &self.index;
        let mut line = |name: &str, value: &str| {
            // Nothing can go wrong with writing to a string.
            let _ = writeln!(out, "{name} {value}");
        };
        // Addresses may have passwords in them, and the key is kept in a file.
        let secret =
            |text: &str| format!("{:016x}", snakebridge_worker::fingerprint(text.as_bytes()));
        url.iter().for_each(|url| line("index", &secret(url)));
        extra.iter().for_each(|url| line("extra", &secret(url)));
        find_links.iter().for_each(|link| line("links", &secret(link)));
        if *none {
            line("no-index", "");
        }
        let mut packages: Vec<&str> = self.packages.iter().map(|package| package.trim()).collect();
        packages.sort_unstable();
        packages.dedup();
        packages.iter().for_each(|package| match package.contains("://") {
            true => line("package", &secret(package)),
            false => line("package", package),
        });
        locked.iter().for_each(|lock| line("lock", &secret(lock)));
        out
    }
}

/// Changes with what environments are made like.
const FORMAT: u32 = 1;

fn check(package: &str) -> Result<(), EnvError> {
    let begins = |c: char| c.is_ascii_alphanumeric();
    let wrong = match package.trim() {
        "" => "is empty",
        text if text.starts_with('-') => "is an option",
        text if text.contains(['\n', '\r', '\0']) => "has more than one line",
        text if text.contains('#') && !text.contains('@') => "has a comment",
        text if text.ends_with('\\') => "ends with a backslash",
        text if is_path(text) => "is a path",
        text if !text.starts_with(begins) => "does not begin with the name of a package",
        _ => return Ok(()),
    };
    let shown = package.trim();
    let hint = match wrong {
        "is an option" => "index settings are `index.url`, `index.extra` and `index.find-links`",
        "is a path" => "a package in a file or folder is `name @ file:///folder/of/it`",
        _ => "",
    };
    Err(EnvError::new(
        EnvErrorKind::Requirement,
        format!("the package `{shown}` {wrong}, expected a requirement such as `numpy>=2`"),
    )
    .with_hint(hint))
}

fn is_path(text: &str) -> bool {
    text.starts_with(['.', '/', '~']) || (text.contains('/') && !text.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_requirement() {
        for good in [
            "numpy",
            " numpy>=2,<3 ",
            "pandas[performance,excel]~=2.2; python_version < '3.14'",
            "pkg @ file:///srv/pkg-1.0-py3-none-any.whl",
            "pkg @ git+https://example.org/pkg.git@main#subdirectory=a",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for (bad, reason) in [
            ("", "is empty"),
            ("-r other.txt", "is an option"),
            ("--index-url=x", "is an option"),
            ("a\n--index-url x", "more than one line"),
            ("numpy # fast", "has a comment"),
            ("./pkg", "is a path"),
            ("dist/pkg.whl", "is a path"),
            (">=2", "does not begin"),
        ] {
            let error = check(bad).unwrap_err().to_string();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }

    #[test]
    fn what_makes_a_difference() {
        let python = Interpreter::made_up("3.12.1");
        let key = |requirements: &Requirements| requirements.key(&python, None);
        let two = Requirements::new(["b", "a"]);
        assert_eq!(key(&two), key(&Requirements::new(["a", "b ", "a"])));
        assert_ne!(key(&two), key(&Requirements::new(["a"])));
        assert_ne!(key(&two), two.key(&python, Some("a==1")));
        assert_ne!(key(&two), two.key(&Interpreter::made_up("3.13.1"), None));
        assert_eq!(key(&two), two.key(&Interpreter::made_up("3.12.2"), None), "a bugfix version");
        let mut index = two.clone();
        index.index.url = Some("https://me:secret@example.org/simple".to_owned());
        assert_ne!(key(&two), key(&index));
        assert!(!key(&index).contains("secret"));
        let url = index.index.url.take();
        index.index.extra.extend(url);
        assert_ne!(key(&index), key(&two));
        let direct = Requirements::new(["pkg @ https://me:secret@example.org/pkg.whl"]);
        let other = Requirements::new(["pkg @ https://me:secret@example.org/pkg2.whl"]);
        assert!(!key(&direct).contains("secret"));
        assert_ne!(key(&direct), key(&other));
    }
}
