//! What workers put out, as events of `tracing`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use snakebridge::{Bridge, Output};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

type Fields = BTreeMap<String, String>;

#[derive(Clone, Default)]
struct Collect(Arc<Mutex<Vec<(String, Level, Fields)>>>);

struct Visitor(Fields);

impl Visit for Visitor {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Collect {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut visitor = Visitor(Fields::new());
        event.record(&mut visitor);
        let metadata = event.metadata();
        let seen = (metadata.target().to_owned(), *metadata.level(), visitor.0);
        self.0.lock().unwrap().push(seen);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn targets_levels_and_fields() {
    let seen = Collect::default();
    // The events come on a thread of the bridge, so the subscriber is that of the whole program.
    tracing::subscriber::set_global_default(seen.clone()).unwrap();
    let py = Bridge::builder().output(Output::Tracing).build().unwrap();
    let session = py.session().id("mine").open().unwrap();
    let code = "import logging, sys, warnings\n\
        print('one\\ntwo', end='')\n\
        sys.stderr.write('aside\\n')\n\
        log = logging.getLogger('some.logger')\n\
        log.setLevel(1)\n\
        for level in (5, 10, 20, 30, 40, 50): log.log(level, 'at %d', level)\n\
        warnings.warn('old')\n";
    session.exec("builtins", "exec", (code,)).wait().unwrap();
    drop((session, py));
    let seen = seen.0.lock().unwrap();
    let of = |target: &str| -> Vec<(Level, Fields)> {
        let target = format!("snakebridge::{target}");
        let found = seen.iter().filter(|(found, ..)| *found == target);
        found.map(|(_, level, fields)| (*level, fields.clone())).collect()
    };
    let lines: Vec<String> = of("stdout").iter().map(|(_, f)| f["message"].clone()).collect();
    assert_eq!(lines, ["one", "two"]);
    assert_eq!(of("stderr")[0].1["message"], "aside");
    let logs = of("log");
    let levels: Vec<Level> = logs.iter().map(|(level, _)| *level).collect();
    let expected =
        [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR, Level::ERROR];
    assert_eq!(levels, expected);
    let fields = &logs[3].1;
    for (name, value) in [
        ("message", "at 30"),
        ("worker", "0"),
        ("logger", "some.logger"),
        ("call", "builtins.exec"),
        ("session", "mine"),
        ("python.level", "WARNING"),
        ("python.file", "<string>"),
        ("python.line", "6"),
    ] {
        assert_eq!(fields[name], value, "{name}");
    }
    let (level, fields) = &of("warning")[0];
    assert_eq!(*level, Level::WARN);
    assert_eq!((fields["message"].as_str(), fields["category"].as_str()), ("old", "UserWarning"));
}
