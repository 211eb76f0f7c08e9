//! What files and variables declare, and the environments for it.

use snakebridge::env::config::{Config as Settings, Origin, Value};
use snakebridge::env::{EnvError, Environments, Requirements, State};

use super::super::{Options, setup};
use super::finding::Finding;

/// Looks at the settings, and gives the options with which a program would start that has them.
pub(super) fn check(options: &Options, findings: &mut Vec<Finding>) -> Options {
    let mut out = options.clone();
    let settings = match Settings::load() {
        Ok(settings) => settings,
        Err(error) => {
            let remedy =
                error.hint().unwrap_or("change it; the page on configuration lists all settings");
            findings.push(Finding::error("config", error.to_string(), remedy));
            return out;
        }
    };
    variables(&settings, findings);
    if let Some(Value::List(folders)) = settings.value(options.pool.as_deref(), "module-path") {
        out.path.extend(folders.iter().map(Into::into));
    }
    python(&settings, &mut out);
    let making = settings.options();
    let pools = std::iter::once(None).chain(settings.pools().into_iter().map(Some));
    for pool in pools {
        let Some(wanted) = setup::requirements(&settings, pool, options) else { continue };
        let looked = Environments::new(making.clone()).and_then(|all| all.state(&wanted));
        let python = state(&wanted, looked, findings);
        if pool == options.pool.as_deref() {
            out.python = python.or(out.python);
        }
    }
    out
}

/// The Python that is named there, unless it is the variable that the search looks at by itself.
fn python(settings: &Settings, options: &mut Options) {
    let pool = options.pool.as_deref();
    let mut said = settings.said(pool).filter(|(key, ..)| key.name == "python");
    if let (None, Some((_, Value::Text(python), Origin::File { .. }))) =
        (&options.python, said.next())
    {
        options.python = Some(python.clone());
    }
}

fn variables(settings: &Settings, findings: &mut Vec<Finding>) {
    for (name, meant) in settings.unknown_variables() {
        let message = format!("{name} is the variable of no setting");
        let remedy = match meant {
            Some(meant) => format!("is `{meant}` meant? `snakebridge config` shows what counts"),
            None => "unset it; `snakebridge config` shows what counts".to_owned(),
        };
        findings.push(Finding::warning("config", message, remedy));
    }
    let files: Vec<_> = settings.files().iter().map(|file| file.display().to_string()).collect();
    if !files.is_empty() {
        findings.push(Finding::ok("config", files.join(", ")));
    }
}

/// Says how it is with the environment of a pool; gives its Python, if it is whole.
fn state(
    wanted: &Requirements,
    looked: Result<State, EnvError>,
    findings: &mut Vec<Finding>,
) -> Option<String> {
    let pool = &wanted.pool;
    let packages = wanted.packages.join(", ");
    let (finding, python) = match looked {
        Ok(State::Ready(environment)) => {
            let message = format!("pool `{pool}` has {packages}: {}", environment.folder.display());
            let python = environment.python.to_string_lossy().into_owned();
            (Finding::ok("packages", message), Some(python))
        }
        Ok(State::Damaged { damage, .. }) => {
            let message = format!("the environment of pool `{pool}` is damaged: {damage}");
            (Finding::warning("packages", message, "make it anew: `snakebridge setup`"), None)
        }
        Ok(_) => {
            let message = format!("there is no environment with {packages} yet, for pool `{pool}`");
            let remedy = "`snakebridge setup` makes it; so does the next start of the program";
            (Finding::warning("packages", message, remedy), None)
        }
        Err(error) => {
            let message = format!("pool `{pool}` cannot have {packages}: {error}");
            let remedy = error.hint().unwrap_or("change what is declared").to_owned();
            (Finding::error("packages", message, remedy), None)
        }
    };
    findings.push(finding);
    python
}
