//! Helpers: functions of the project's own Python files.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::error::{Error, ErrorKind, Result};
use crate::guard::check_rule;
use crate::value::{Dict, Value};

/// Which Python files of the project hold helpers, and which of these may be called.
///
/// A file `prices.py` offers its public functions and classes: `prices.total`. One that says itself what it
/// offers has a dict of names to functions, or a function that gives one: `__snakebridge_helpers__`,
/// `snakebridge_helpers` or `HELPERS`. Files whose names begin with `_` offer nothing, and are there for
/// the others: `from . import _shared`.
///
/// A file is loaded when a helper of it is wanted, or when a name is in none of the files that it may be
/// in. One that cannot be loaded harms only those who call its own helpers.
///
/// ```no_run
/// use snakebridge::{Bridge, Helpers};
///
/// let helpers = Helpers::new().path("scripts/helpers").allow(["prices", "reports.monthly"]);
/// let py = Bridge::builder().helpers(helpers).build()?;
/// let total: f64 = py.helper("prices.total", ([10, 20],)).wait()?;
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "they are settings for a builder"]
pub struct Helpers {
    paths: Vec<PathBuf>,
    allow: Option<Vec<String>>,
    reload: bool,
    enabled: bool,
}

/// Where helpers are if nobody says it, below the current folder.
const DEFAULT_FOLDER: &str = "python/helpers";

impl Helpers {
    /// The files in `python/helpers`, in the current folder or the nearest one above that has it.
    pub fn new() -> Self {
        Self { paths: Vec::new(), allow: None, reload: cfg!(debug_assertions), enabled: true }
    }

    /// Adds a folder whose `.py` files hold helpers, or one such file. Can be called several times; a
    /// file takes the place of one with the same name that came before. Relative to the current folder.
    /// With this, `python/helpers` is only looked at if it is named.
    pub fn path(mut self, path: impl AsRef<Path>) -> Self {
        self.paths.push(path.as_ref().to_owned());
        self
    }

    /// Allows only these helpers: names, `prices.total`, and whole files, `prices`; none for an empty
    /// list. Default: all. Can be called several times. A call of another one fails with
    /// [`ErrorKind::NotAllowed`](crate::ErrorKind::NotAllowed), and loads no file.
    pub fn allow(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let allow = self.allow.get_or_insert_default();
        allow.extend(names.into_iter().map(Into::into));
        self
    }

    /// Whether the files are looked at before each call of a helper, and all of them loaded anew when
    /// one has changed, has come, or is gone. Default: in debug builds.
    pub fn reload(mut self, wanted: bool) -> Self {
        self.reload = wanted;
        self
    }

    /// Whether there are helpers at all. Default: yes.
    pub fn enabled(mut self, wanted: bool) -> Self {
        self.enabled = wanted;
        self
    }

    pub(crate) fn check(&self) -> Result<Option<HelperSettings>> {
        if !self.enabled {
            return Ok(None);
        }
        self.allow.iter().flatten().try_for_each(|name| check_rule("helper", name))?;
        let paths = match &self.paths[..] {
            // Nobody has asked for it, so that nothing is wrong if it cannot be.
            [] => default_folder().iter().filter_map(|folder| text(folder).ok()).collect(),
            paths => paths.iter().map(|path| existing(path)).collect::<Result<_>>()?,
        };
        Ok(Some(HelperSettings { paths, allow: self.allow.clone(), reload: self.reload }))
    }
}

impl Default for Helpers {
    fn default() -> Self {
        Self::new()
    }
}

/// The same, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HelperSettings {
    paths: Vec<String>,
    allow: Option<Vec<String>>,
    reload: bool,
}

impl HelperSettings {
    /// The folders and files.
    #[cfg(feature = "confine")]
    pub(crate) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// As the worker takes them.
    pub(crate) fn to_value(&self) -> Value {
        let allow = self.allow.clone().map_or(Value::None, Value::from);
        Value::Dict(Dict::from([
            ("paths", Value::from(self.paths.clone())),
            ("allow", allow),
            ("reload", Value::from(self.reload)),
        ]))
    }
}

/// The helpers that there are: the result of [`Bridge::helpers`](crate::Bridge::helpers).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HelperIndex {
    /// All that may be called, by name.
    pub helpers: Vec<HelperInfo>,
    /// The files that cannot be loaded.
    pub broken: Vec<BrokenHelperFile>,
}

/// A helper; `Display` is its signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HelperInfo {
    /// By which it is called: `prices.total`.
    pub name: String,
    /// None if Python cannot tell.
    pub parameters: Option<Vec<HelperParameter>>,
    /// Its docstring, as far as 8000 characters go.
    pub doc: String,
    /// Whether it is to be [`awaited`](crate::Call::awaited), or gives its items asynchronously.
    pub is_async: bool,
}

/// A parameter of a helper.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HelperParameter {
    /// Its name.
    pub name: String,
    /// `positional_only`, `positional_or_keyword`, `var_positional`, `keyword_only` or `var_keyword`.
    pub kind: String,
    /// Its default, as Python shows it.
    pub default: Option<String>,
    /// Its type, as Python shows it.
    pub annotation: Option<String>,
}

/// A file of helpers that cannot be loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokenHelperFile {
    /// Its path.
    pub file: String,
    /// Why, in a line.
    pub error: String,
}

impl fmt::Display for HelperInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_async {
            f.write_str("async ")?;
        }
        let Some(parameters) = &self.parameters else { return write!(f, "{}(...)", self.name) };
        write!(f, "{}(", self.name)?;
        let is = |place: usize, kind: &str| parameters.get(place).is_some_and(|it| it.kind == kind);
        let mut has_star = false;
        for (place, parameter) in parameters.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            has_star |= is(place, "var_positional");
            if is(place, "keyword_only") && !has_star {
                f.write_str("*, ")?;
                has_star = true;
            }
            write!(f, "{parameter}")?;
            if is(place, "positional_only") && !is(place + 1, "positional_only") {
                f.write_str(", /")?;
            }
        }
        f.write_str(")")
    }
}

impl fmt::Display for HelperParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind.as_str() {
            "var_positional" => "*",
            "var_keyword" => "**",
            _ => "",
        })?;
        f.write_str(&self.name)?;
        if let Some(annotation) = &self.annotation {
            write!(f, ": {annotation}")?;
        }
        match (&self.default, &self.annotation) {
            (Some(default), Some(_)) => write!(f, " = {default}"),
            (Some(default), None) => write!(f, "={default}"),
            (None, _) => Ok(()),
        }
    }
}

/// Reads a struct from a dict with these keys. The library has no use for serde's macros but here.
macro_rules! from_dict {
    ($name:ident: $($field:ident),+) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;

                impl<'de> Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a dict")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut out = $name::default();
                        while let Some(key) = map.next_key::<String>()? {
                            match key.as_str() {
                                $(stringify!($field) => out.$field = map.next_value()?,)+
                                _ => drop(map.next_value::<IgnoredAny>()?),
                            }
                        }
                        Ok(out)
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }
    };
}

from_dict!(HelperIndex: helpers, broken);
from_dict!(HelperInfo: name, parameters, doc, is_async);
from_dict!(HelperParameter: name, kind, default, annotation);
from_dict!(BrokenHelperFile: file, error);

/// The default folder where it is, else where it would be.
fn default_folder() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let mut above = here.ancestors().map(|folder| folder.join(DEFAULT_FOLDER));
    above.find(|folder| folder.is_dir()).or_else(|| Some(here.join(DEFAULT_FOLDER)))
}

fn existing(path: &Path) -> Result<String> {
    let is_file = path.is_file() && path.extension().is_some_and(|end| end == "py");
    if !is_file && !path.is_dir() {
        let message = format!("`{}` is no folder, and no Python file", path.display());
        return Err(Error::new(ErrorKind::Config, message)
            .with_hint("make it, or leave it out of `Helpers::path`"));
    }
    let absolute = std::path::absolute(path)
        .map_err(|error| Error::new(ErrorKind::Config, format!("`{}`: {error}", path.display())))?;
    text(&absolute)
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let message = format!("`{}` has a name that is not UTF-8", path.display());
        Error::new(ErrorKind::Config, message)
    })
}
