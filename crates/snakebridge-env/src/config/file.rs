//! Reading settings from TOML.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, Key, Kind, Scope};
use super::value::{Raw, Value};
use super::{ConfigError, Entry, Origin};
use crate::similar::similar;

/// Where in `Cargo.toml` the settings are.
const IN_MANIFEST: [&str; 3] = ["package", "metadata", "snakebridge"];

/// The pool of calls that name none. A table of it would take the place of all that is said at the
/// top and in variables.
const DEFAULT_POOL: &str = "default";

/// Which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Settings, and nothing else.
    Own,
    /// `Cargo.toml`, which has them in a table.
    Manifest,
}

/// The settings of a file; none where a manifest has none.
pub(super) fn read(path: &Path, text: &str, form: Form) -> Result<Option<Vec<Entry>>, ConfigError> {
    let reader = Reader { path, text, folder: path.parent().unwrap_or_else(|| Path::new("")) };
    let parsed = DeTable::parse(text).map_err(|error| {
        reader.error(&error.span().unwrap_or_default(), error.message().replace('\n', ", "))
    })?;
    let mut table = parsed.get_ref();
    if form == Form::Manifest {
        for name in IN_MANIFEST {
            match table.get(name).map(Spanned::get_ref) {
                Some(DeValue::Table(inner)) => table = inner,
                _ => return Ok(None),
            }
        }
    }
    let mut out = Vec::new();
    reader.table(table, "", None, &mut out)?;
    Ok(Some(out))
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    folder: &'a Path,
}

impl Reader<'_> {
    /// Reads a table whose settings have names that begin with `prefix`.
    fn table(
        &self,
        table: &DeTable<'_>,
        prefix: &str,
        pool: Option<&str>,
        out: &mut Vec<Entry>,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let full = format!("{prefix}{}", name.get_ref());
            let inner = match value.get_ref() {
                DeValue::Table(inner) => Some(inner),
                _ => None,
            };
            let found = allowed(pool).find(|key| key.name == full);
            match (found, inner) {
                (Some(key), _) => {
                    out.push(self.entry(key, value, name.span(), pool)?);
                }
                (None, Some(inner)) if allowed(pool).any(|key| is_in(key, &full)) => {
                    self.table(inner, &format!("{full}."), pool, out)?;
                }
                (None, Some(pools)) if full == "pool" && pool.is_none() => {
                    self.pools(pools, out)?;
                }
                _ => return Err(self.unknown(&name.span(), &full, pool)),
            }
        }
        Ok(())
    }

    fn pools(&self, pools: &DeTable<'_>, out: &mut Vec<Entry>) -> Result<(), ConfigError> {
        for (name, value) in pools {
            match value.get_ref() {
                _ if name.get_ref() == DEFAULT_POOL => {
                    let message = format!("`pool.{DEFAULT_POOL}` cannot be declared");
                    let hint = "the settings of the default pool are those at the top, in no table";
                    return Err(self.error(&name.span(), message).with_hint(Some(hint.to_owned())));
                }
                DeValue::Table(settings) => {
                    out.push(Entry::pool(name.get_ref(), self.origin(&name.span())));
                    self.table(settings, "", Some(name.get_ref()), out)?;
                }
                _ => {
                    let message = format!("`pool.{}` is no table of settings", name.get_ref());
                    return Err(self.error(&name.span(), message));
                }
            }
        }
        Ok(())
    }

    fn entry(
        &self,
        key: &'static Key,
        value: &Spanned<DeValue<'_>>,
        place: Range<usize>,
        pool: Option<&str>,
    ) -> Result<Entry, ConfigError> {
        let read = Value::read(key.kind, &Raw::of(value.get_ref()), self.folder);
        let value = read.map_err(|wrong| {
            // Of a table the place is its heading, which is where the name is too.
            let is_table = matches!(key.kind, Kind::Map | Kind::Times);
            let place = if is_table { place.clone() } else { value.span() };
            self.error(&place, format!("`{}`: {wrong}", key.name))
        })?;
        Ok(Entry::set(key, value, pool, self.origin(&place)))
    }

    fn unknown(&self, place: &Range<usize>, name: &str, pool: Option<&str>) -> ConfigError {
        if pool.is_some() && KEYS.iter().any(|key| key.name == name || is_in(key, name)) {
            let message = format!("`{name}` is no setting of a pool, but of the whole bridge");
            return self.error(place, message);
        }
        let message = format!("there is no setting `{name}`");
        let tables = ["pool", "index", "helpers", "guard", "confine", "environment"];
        let names = allowed(pool).map(|key| key.name).chain(tables);
        let hint = similar(name, names).map(|known| format!("did you mean `{known}`?"));
        self.error(place, message).with_hint(hint)
    }

    fn error(&self, place: &Range<usize>, message: impl Into<String>) -> ConfigError {
        ConfigError::new(self.origin(place), message)
    }

    fn origin(&self, place: &Range<usize>) -> Origin {
        let before = self.text.get(..place.start).unwrap_or_default();
        Origin::File { path: self.path.to_owned(), line: before.matches('\n').count() + 1 }
    }
}

/// The settings that can be said here.
fn allowed(pool: Option<&str>) -> impl Iterator<Item = &'static Key> + use<> {
    let all = pool.is_none();
    KEYS.iter().filter(move |key| all || key.scope == Scope::EachPool)
}

fn is_in(key: &Key, table: &str) -> bool {
    key.name.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'))
}
