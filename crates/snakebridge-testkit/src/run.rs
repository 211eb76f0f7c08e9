//! Running cases against the library.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use snakebridge::{Affinity, Args, Bridge, Call, CallOptions, Helpers, Output, Pool, Ref, Value};

use crate::callback::callback;
use crate::case::{Case, Step, Suite};
use crate::check::{Outcome, check};
use crate::value::{Env, decode, same};

/// Which cases to run, and how.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "filled by the command line")]
pub struct Settings {
    /// Only the case with this id.
    pub only: Option<String>,
    /// Only the cases of this area.
    pub area: Option<String>,
    /// The interpreter of the workers; the one that is found first by default.
    pub python: Option<String>,
}

/// What came of the cases of a file.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Ids of the cases that hold.
    pub passed: Vec<String>,
    /// Ids of those that do not, and why.
    pub failed: Vec<(String, String)>,
    /// Ids of those that could not be run, and why.
    pub skipped: Vec<(String, String)>,
}

/// Runs the cases of a file.
///
/// # Errors
/// The bridge could not be started.
pub fn run(suite: &Suite, settings: &Settings) -> Result<Report, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    for (name, source) in &suite.fixtures {
        std::fs::write(folder.path().join(format!("{name}.py")), source)?;
    }
    let helpers = folder.path().join("helpers");
    std::fs::create_dir(&helpers)?;
    for (name, source) in &suite.helpers {
        std::fs::write(helpers.join(format!("{name}.py")), source)?;
    }
    let py = bridge(suite, settings, folder.path(), &helpers)?;
    let version = py.ready()?.version;
    let mut report = Report::default();
    let mut modules = BTreeMap::new();
    for case in suite.cases.iter().filter(|case| wanted(case, settings)) {
        let id = case.id.clone();
        match missing(case, &py, &version, &mut modules) {
            Some(reason) => report.skipped.push((id, reason)),
            None => match run_case(&py, case) {
                Ok(()) => report.passed.push(id),
                Err(problem) => report.failed.push((id, problem)),
            },
        }
    }
    Ok(report)
}

fn wanted(case: &Case, settings: &Settings) -> bool {
    settings.only.as_ref().is_none_or(|only| *only == case.id)
        && settings.area.as_ref().is_none_or(|area| *area == case.area)
}

/// One bridge for all cases of a file, with the pools that any of them names.
fn bridge(
    suite: &Suite,
    settings: &Settings,
    folder: &std::path::Path,
    helpers: &std::path::Path,
) -> snakebridge::Result<Bridge> {
    let pool = || {
        let pool = Pool::new().module_path(folder);
        match &settings.python {
            Some(python) => pool.python(python),
            None => pool,
        }
    };
    let mut names: Vec<&String> = suite.cases.iter().flat_map(|case| &case.pools).collect();
    names.sort();
    names.dedup();
    let builder = Bridge::builder().output(Output::Discard).pool("default", pool());
    let builder = builder.helpers(Helpers::new().path(helpers));
    let others = names.into_iter().filter(|name| *name != "default");
    others.fold(builder, |builder, name| builder.pool(name, pool())).build()
}

/// What the case needs and this Python does not have.
fn missing(
    case: &Case,
    py: &Bridge,
    version: &str,
    modules: &mut BTreeMap<String, bool>,
) -> Option<String> {
    if let Some(need) = &case.needs {
        return Some(format!("needs {need}"));
    }
    let numbers = |text: &str| text.split('.').filter_map(|part| part.parse().ok()).collect();
    if let Some(least) = &case.min_python {
        let (least, found): (Vec<u32>, Vec<u32>) = (numbers(least), numbers(version));
        if found < least {
            return Some(format!("needs Python {}", case.min_python.as_deref().unwrap_or("")));
        }
    }
    let name = case.requires.iter().find(|name| {
        let found = modules.entry((*name).clone()).or_insert_with(|| {
            let spec = py.call::<Value>("importlib.util", "find_spec", (name,)).wait();
            spec.is_ok_and(|spec| !spec.is_none())
        });
        !*found
    })?;
    Some(format!("needs the module {name}"))
}

fn run_case(py: &Bridge, case: &Case) -> Result<(), String> {
    let mut run = Run { py, env: Env::new(), session: None, defaults: Map::new() };
    let outcome = run.steps(&case.steps);
    drop(run);
    py.release_auto_session();
    // Whatever the case did, the next one must find a bridge that works.
    let alive = py.call::<f64>("math", "sqrt", (4,)).wait().is_ok_and(|root| root == 2.0);
    match (outcome, alive) {
        (Ok(()), false) => Err("the bridge does not work after the case".to_owned()),
        (outcome, _) => outcome,
    }
}

/// What leaves the body of a `with`.
type Failure = Box<dyn std::error::Error>;

struct Run<'a> {
    py: &'a Bridge,
    env: Env,
    /// That of the innermost `with_session`.
    session: Option<String>,
    defaults: Map<String, Json>,
}

impl Run<'_> {
    fn steps(&mut self, steps: &[Step]) -> Result<(), String> {
        for (place, step) in steps.iter().enumerate() {
            self.step(step).map_err(|why| format!("step {} ({}): {why}", place + 1, step.op))?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let outcome = self.execute(step)?;
        match (&step.expect, &outcome) {
            (Some(expect), _) => check(expect, &outcome, &mut self.env)?,
            (None, Outcome::Value(_)) => {}
            (None, _) => return Err(format!("unexpected {outcome}")),
        }
        // A `with` has bound what was entered.
        if let (Some(name), Outcome::Value(value), false) = (&step.bind, outcome, step.op == "with")
        {
            self.env.insert(name.clone(), value);
        }
        Ok(())
    }

    fn execute(&mut self, step: &Step) -> Result<Outcome, String> {
        match step.op.as_str() {
            "call" | "get" | "helper" | "method" | "invoke" | "attr" | "set_attr" => {
                self.call(step)
            }
            "stream" | "stream_call" => self.stream(step),
            "next" => self.next(step),
            "with" => self.with(step),
            "with_session" | "with_runtime" => self.scope(step),
            _ => self.host(step),
        }
    }

    fn call(&self, step: &Step) -> Result<Outcome, String> {
        let py = self.handle();
        let target = step.on.as_ref().map(|name| self.bound(name)).transpose()?;
        let object = target.and_then(Value::as_python_ref);
        let (module, name) = (step.text(&step.module), step.text(&step.name));
        let call: Call<Value> = match (step.op.as_str(), object, target) {
            ("call", ..) => py.call(module, step.text(&step.function), self.args(step)?),
            ("helper", ..) => py.helper(name, self.args(step)?),
            ("get", ..) => py.get(module, name),
            ("method", Some(object), _) => object.method(name, self.args(step)?),
            ("method", None, Some(value)) => py.method(value, name, self.args(step)?),
            ("invoke", Some(object), _) => object.call(self.args(step)?),
            ("attr", Some(object), _) => object.attr(name),
            ("attr", None, Some(value)) => py.attr(value, name),
            ("set_attr", Some(object), _) => return self.set_attr(step, object),
            _ => return Err("there is nothing to act on".to_owned()),
        };
        let call = call.options(&self.options(step)?);
        let call = if step.result.as_deref() == Some("ref") { call.by_ref() } else { call };
        Ok(if step.bang { finish_loud(call) } else { finish(call.wait()) })
    }

    /// `with`: the steps of its body, the first error among those that are to leave it.
    fn with(&mut self, step: &Step) -> Result<Outcome, String> {
        let manager = self.ref_at(step.text(&step.on))?.clone();
        let mut problem = None;
        let done = manager.with(|entered: Value| -> Result<(), Failure> {
            if let Some(name) = &step.bind {
                self.env.insert(name.clone(), entered);
            }
            for inner in &step.body {
                match self.step_of_body(inner) {
                    Ok(None) => {}
                    Ok(Some(error)) => return Err(Failure::from(error)),
                    Err(why) => problem = problem.take().or(Some(why)),
                }
            }
            step.host_error.clone().map_or(Ok(()), |text| Err(text.into()))
        });
        match (problem, done) {
            (Some(problem), _) => Err(problem),
            (None, Ok(_)) => Ok(Outcome::Value(Value::None)),
            (None, Err(error)) => Ok(match error.downcast() {
                Ok(error) => Outcome::Error(error),
                Err(other) => Outcome::Panic(other.to_string()),
            }),
        }
    }

    /// Carries out a step; gives its error if that is to leave the body.
    fn step_of_body(&mut self, step: &Step) -> Result<Option<snakebridge::Error>, String> {
        if !step.raise {
            return self.step(step).map(|()| None);
        }
        let outcome = self.execute(step)?;
        if let Some(expect) = &step.expect {
            check(expect, &outcome, &mut self.env)?;
        }
        match outcome {
            Outcome::Error(error) => Ok(Some(*error)),
            other => Err(format!("expected an error, got {other}")),
        }
    }

    /// Collects items: all, or so many, and then no more than that may have been taken.
    fn stream(&self, step: &Step) -> Result<Outcome, String> {
        let items = match step.op.as_str() {
            "stream" => self.ref_at(step.text(&step.on))?.iter::<Value>(),
            _ => {
                let (module, function) = (step.text(&step.module), step.text(&step.function));
                let call = self.handle().call::<Value>(module, function, self.args(step)?);
                call.options(&self.options(step)?).iter()
            }
        };
        let items: snakebridge::Result<Vec<Value>> = match step.take {
            Some(count) => items.one_by_one().take(count as usize).collect(),
            None => items.collect(),
        };
        Ok(finish(items.map(Value::from)))
    }

    /// `next(iterator)`.
    fn next(&self, step: &Step) -> Result<Outcome, String> {
        let iterator = self.ref_at(step.text(&step.on))?;
        let outcome = finish(self.handle().call("builtins", "next", (iterator,)).wait());
        Ok(match outcome {
            Outcome::Error(error)
                if error.python().is_some_and(|error| error.type_name() == "StopIteration") =>
            {
                Outcome::End
            }
            outcome => outcome,
        })
    }

    fn set_attr(&self, step: &Step, object: &Ref) -> Result<Outcome, String> {
        let value = step.value.as_ref().ok_or("there is no value")?;
        let value = decode(value, &self.env)?;
        let call = object.set_attr(step.text(&step.name), value).options(&self.options(step)?);
        Ok(finish(call.wait().map(|()| Value::None)))
    }

    fn args(&self, step: &Step) -> Result<Args, String> {
        let mut args = Args::new();
        for arg in &step.args {
            args = match callback(self.py, arg)? {
                Some(callback) => args.arg(callback),
                None => args.arg(decode(arg, &self.env)?),
            };
        }
        for (name, arg) in &step.kwargs {
            args = match callback(self.py, arg)? {
                Some(callback) => args.kwarg(name, callback),
                None => args.kwarg(name, decode(arg, &self.env)?),
            };
        }
        Ok(args)
    }

    /// The handle whose session is that of the innermost scope.
    fn handle(&self) -> Bridge {
        match &self.session {
            Some(id) => self.py.with(CallOptions::new().session(id)),
            None => self.py.clone(),
        }
    }

    /// The options of a step, over those of the scopes around it.
    fn options(&self, step: &Step) -> Result<CallOptions, String> {
        let mut merged = self.defaults.clone();
        merged.extend(step.options.clone());
        let mut options = CallOptions::new();
        for (name, value) in &merged {
            options = match (name.as_str(), value) {
                ("session_id", Json::String(id)) => options.session(id),
                ("timeout_ms", Json::String(text)) if text == "infinity" => options.no_timeout(),
                ("timeout_ms", Json::Number(_)) => {
                    let millis = value.as_u64().ok_or("a timeout is no number")?;
                    options.timeout(Duration::from_millis(millis))
                }
                ("affinity", Json::String(name)) => options.affinity(match name.as_str() {
                    "hint" => Affinity::Hint,
                    "strict_queue" => Affinity::StrictQueue,
                    "strict_fail_fast" => Affinity::StrictFailFast,
                    other => return Err(format!("unknown affinity `{other}`")),
                }),
                ("pool", Json::String(name)) => options.pool(name),
                ("timeout_profile", Json::String(name)) => options.profile(name),
                ("idempotent", Json::Bool(yes)) => options.idempotent(*yes),
                _ => return Err(format!("unknown option `{name}`: {value}")),
            };
        }
        Ok(options)
    }

    fn scope(&mut self, step: &Step) -> Result<Outcome, String> {
        let saved = (self.session.clone(), self.defaults.clone());
        match &step.session_id {
            Some(id) => self.session = decode(id, &self.env)?.as_str().map(str::to_owned),
            None => self.defaults.extend(step.options.clone()),
        }
        let outcome = self.steps(&step.body);
        (self.session, self.defaults) = saved;
        outcome.map(|()| Outcome::Value(Value::None))
    }

    /// Operations of the host alone.
    fn host(&mut self, step: &Step) -> Result<Outcome, String> {
        let text = |json: &Option<Json>, env: &Env| {
            let value = decode(json.as_ref().ok_or("a field is missing")?, env)?;
            value.as_str().map(str::to_owned).ok_or_else(|| "a field is no text".to_owned())
        };
        let value = match step.op.as_str() {
            "release" => {
                let target = self.bound(step.text(&step.on))?;
                target.as_python_ref().map(Ref::release);
                Value::None
            }
            "release_session" => {
                self.py.release_session(&text(&step.session_id, &self.env)?);
                Value::None
            }
            "release_auto_session" => {
                self.py.release_auto_session();
                Value::None
            }
            "put_defaults" => {
                self.defaults = step.options.clone();
                Value::None
            }
            "current_session" => match step.options.get("session_id").and_then(Json::as_str) {
                Some(id) => id.into(),
                None => return Ok(finish(self.handle().current_session().map(Value::from))),
            },
            "same_session" => {
                let ids: Result<Vec<_>, String> =
                    step.of.iter().map(|name| self.ref_at(name)).collect();
                ids?.windows(2).all(|pair| pair[0].session_id() == pair[1].session_id()).into()
            }
            "is_ref" => {
                decode(step.value.as_ref().ok_or("there is no value")?, &self.env)?.is_ref().into()
            }
            "host" => self.compute(step)?,
            other => return Err(format!("unknown operation `{other}`")),
        };
        Ok(Outcome::Value(value))
    }

    fn compute(&self, step: &Step) -> Result<Value, String> {
        let of: Result<Vec<&Value>, String> = step.of.iter().map(|name| self.bound(name)).collect();
        match (step.text(&step.host_function), &of?[..]) {
            ("equal", [a, b]) => Ok(same(a, b).into()),
            ("len", [Value::Str(text)]) => Ok(Value::from(text.chars().count() as u64)),
            ("len", [Value::Bytes(data)]) => Ok(Value::from(data.len() as u64)),
            ("len", [Value::Dict(dict)]) => Ok(Value::from(dict.len() as u64)),
            ("len", [items]) => {
                let items = items.as_items().ok_or("it has no length")?;
                Ok(Value::from(items.len() as u64))
            }
            ("sum", [items]) => {
                let items = items.as_items().ok_or("it has no items")?;
                let numbers: Option<Vec<i64>> = items.iter().map(Value::as_i64).collect();
                Ok(numbers.ok_or("an item is no integer")?.iter().sum::<i64>().into())
            }
            (other, _) => Err(format!("unknown host function `{other}`")),
        }
    }

    fn bound(&self, name: &str) -> Result<&Value, String> {
        self.env.get(name).ok_or_else(|| format!("nothing is bound to `{name}`"))
    }

    fn ref_at(&self, name: &str) -> Result<&Ref, String> {
        self.bound(name)?.as_python_ref().ok_or_else(|| format!("`{name}` is no ref"))
    }
}

fn finish(result: snakebridge::Result<Value>) -> Outcome {
    match result {
        Ok(value) => Outcome::Value(value),
        Err(error) => Outcome::Error(Box::new(error)),
    }
}

/// Uses the terminal that panics.
fn finish_loud(call: Call<Value>) -> Outcome {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| call.unwrap()));
    std::panic::set_hook(hook);
    match outcome {
        Ok(value) => Outcome::Value(value),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            Outcome::Panic(text)
        }
    }
}
