//! Guards: which modules and names may be called.

use crate::error::{Error, ErrorKind, Result};
use crate::value::{Dict, Value};

/// Which modules and names may be called.
///
/// A name stands for itself and for all that is in it: `json` for `json.loads` and `json.decoder.JSONDecoder`, but
/// not for `jsonschema`. What is denied is not allowed, whatever else is said. It is looked at in the worker before
/// anything is imported: a call of something else fails with
/// [`ErrorKind::NotAllowed`](crate::ErrorKind::NotAllowed). Without a guard, calls do not pay for this.
///
/// **It is a guard against mistakes, not against intentions.** It looks at what the program names: modules and
/// functions in calls, and members of refs to modules. What Python code does and imports by itself is its own
/// affair, and with a function like `builtins.eval` or `importlib.import_module` everything can be reached. What
/// workers must not be *able* to do is a matter of confinement (feature `confine`).
///
/// ```
/// use snakebridge::{Bridge, ErrorKind, Guard};
///
/// let py = Bridge::builder().guard(Guard::new().allow(["math", "os.path"]).deny(["os.path.exists"])).build()?;
/// let root: f64 = py.call("math", "sqrt", (16,)).wait()?;
/// assert_eq!(root, 4.0);
/// let error = py.exec("os", "remove", ("/etc/hosts",)).wait().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotAllowed);
/// let expected = "os.remove: the guard does not allow `os.remove`, only `math`, `os.path`";
/// assert_eq!(error.to_string(), expected);
/// # Ok::<(), snakebridge::Error>(())
/// ```
///
/// [Helpers](crate::Helpers) have a list of their own. With `Guard::new().allow(none)` for an empty list, they are all
/// that can be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it is a setting for a builder"]
pub struct Guard {
    allow: Option<Vec<String>>,
    deny: Vec<String>,
}

impl Guard {
    /// Everything may be called.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows only these names; none for an empty list. Can be called several times.
    pub fn allow(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let allow = self.allow.get_or_insert_default();
        allow.extend(names.into_iter().map(Into::into));
        self
    }

    /// Denies these names. Can be called several times.
    pub fn deny(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.deny.extend(names.into_iter().map(Into::into));
        self
    }

    /// None if it has nothing to do.
    pub(crate) fn check(&self) -> Result<Option<Self>> {
        let names = self.allow.iter().flatten().chain(&self.deny);
        names.into_iter().try_for_each(|name| check_rule("module or function", name))?;
        Ok((*self != Self::new()).then(|| self.clone()))
    }

    /// As the worker takes it.
    pub(crate) fn to_value(&self) -> Value {
        let allow = self.allow.clone().map_or(Value::None, Value::from);
        let deny = Value::from(self.deny.clone());
        Value::Dict(Dict::from([("allow", allow), ("deny", deny)]))
    }
}

/// Checks an entry of a list of dotted names.
pub(crate) fn check_rule(what: &str, name: &str) -> Result<()> {
    let is_name = |part: &str| {
        !part.is_empty() && !part.contains(|letter: char| letter.is_whitespace() || letter == '*')
    };
    match name.split('.').all(is_name) {
        true => Ok(()),
        false => {
            let message = format!("`{name}` is not the name of a {what}");
            Err(Error::new(ErrorKind::Config, message)
                .with_hint("write `a` or `a.b`; a name stands for all that is in it too"))
        }
    }
}
