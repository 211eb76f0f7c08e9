//! What files and variables declare, and the environments for it.

use snakebridge::env::config::{Config as Settings, Value, redacted};
use snakebridge::env::{EnvError, Environments, Install, Requirements, State};
use snakebridge::{Bridge, BridgeBuilder};

use super::super::{Options, setup};
use super::finding::Finding;
use crate::report::Failure;

/// What is looked at: the bridge of a program that has these settings, and says nothing else.
pub(super) struct Subject {
    /// With the Python that counts.
    pub(super) options: Options,
    /// None where they cannot be used, or not yet.
    settings: Option<Settings>,
}

impl Subject {
    pub(super) fn builder(&self) -> snakebridge::Result<BridgeBuilder> {
        let builder = Bridge::builder();
        Ok(match &self.settings {
            // The packages are in the Python of the options, which nothing is made for here.
            Some(settings) => builder.config(settings)?.install(Install::Never).workers(1),
            None => builder,
        })
    }

    /// Goes on without the settings; false if there are none.
    pub(super) fn leave_settings(&mut self) -> bool {
        let Some(settings) = self.settings.take() else { return false };
        if let Some(Value::List(folders)) = settings.value(None, "module-path") {
            self.options.path.extend(folders.iter().map(Into::into));
        }
        true
    }
}

/// Looks at the settings, and gives what a program would start with that has them.
pub(super) fn check(options: &Options, findings: &mut Vec<Finding>) -> Result<Subject, Failure> {
    let mut out = options.clone();
    let settings = match Settings::load() {
        Ok(settings) => settings,
        Err(error) => {
            let remedy =
                error.hint().unwrap_or("change it; the page on configuration lists all settings");
            findings.push(Finding::error("config", error.to_string(), remedy));
            return Ok(Subject { options: out, settings: None });
        }
    };
    variables(&settings, findings);
    let of_pool = options.of_pool(&settings)?;
    if let (None, Some(Value::Text(python))) = (&out.python, of_pool.value(None, "python")) {
        out.python = Some(python.clone());
    }
    let mut lacks_packages = false;
    let making = settings.options();
    let pools = std::iter::once(None).chain(settings.pools().into_iter().map(Some));
    for pool in pools {
        let Some(wanted) = setup::requirements(&settings, pool, options) else { continue };
        let looked = Environments::new(making.clone()).and_then(|all| all.state(&wanted));
        let python = state(&wanted, looked, findings);
        if pool == options.pool.as_deref() {
            lacks_packages = python.is_none();
            out.python = python.or(out.python);
        }
    }
    let mut subject = Subject { options: out, settings: Some(of_pool) };
    if lacks_packages {
        // Without them nothing can be said of modules to preload, for example.
        subject.leave_settings();
    }
    Ok(subject)
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
    let packages = redacted(&wanted.packages.join(", "));
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
