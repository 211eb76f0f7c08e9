use std::time::Duration;

use super::*;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    folder
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn error_of(toml: &str) -> ConfigError {
    Config::from_text("snakebridge.toml", toml).unwrap_err()
}

#[test]
fn the_order_of_precedence() {
    let folder = project(&[
        ("snakebridge.toml", "python = '3.11'\nworkers = 3\n"),
        (
            "Cargo.toml",
            "[package]\nname = 'a'\n[package.metadata.snakebridge]\n\
             python = '3.10'\nworkers = 2\nthreads = 1\n",
        ),
        ("src/main.rs", ""),
    ]);
    let current = folder.path().join("src");
    let variables = [("SNAKEBRIDGE_PYTHON", "3.12"), ("SNAKEBRIDGE_THREADS", "")];
    let config = Config::load_from(&Sources::new(&current, &variables)).unwrap();
    let settings = config.settings();
    let shown = |name: &str| {
        let setting = settings.iter().find(|setting| setting.key.name == name).unwrap();
        let value = setting.value.as_ref().map(ToString::to_string);
        let origin = setting.origin.to_string();
        (value.unwrap_or_default(), origin.replace(folder.path().to_str().unwrap(), ""))
    };
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(shown("python"), pair("\"3.12\"", "SNAKEBRIDGE_PYTHON"));
    assert_eq!(shown("workers"), pair("3", "/snakebridge.toml:2"));
    assert_eq!(shown("threads"), pair("1", "/Cargo.toml:6"));
    assert_eq!(shown("preload"), pair("", "default"));
    assert_eq!(config.files().len(), 2);
}

#[test]
fn pools_and_tables() {
    let config = Config::from_text(
        "/project/snakebridge.toml",
        "packages = ['numpy>=2']\nindex.url = 'https://example.org/simple'\n\
         timeout = '5m'\ncurrent-dir = 'data'\nprofile = { quick = 1, slow = 'never' }\n\
         [env]\nA = 'b'\n\
         [environment]\ninstaller = 'pip'\n\
         [pool.gpu]\npython = 'env/bin/python'\nmemory-limit = '2GiB'\n\
         [pool.gpu.index]\nfind-links = ['wheels', 'https://example.org/wheels']\n\
         [pool.empty]\n",
    )
    .unwrap();
    assert_eq!(config.pools(), ["empty", "gpu"]);
    let value = |pool, name| config.value(pool, name).cloned();
    assert_eq!(value(None, "index.url"), Some(text("https://example.org/simple")));
    assert_eq!(value(None, "timeout"), Some(Value::Time(Duration::from_secs(300))));
    assert_eq!(value(None, "env"), Some(Value::Map(vec![("A".into(), "b".into())])));
    let times = [("quick", Duration::from_secs(1)), ("slow", Duration::MAX)];
    let times = times.map(|(name, time)| (name.to_owned(), time)).into();
    assert_eq!(value(None, "profile"), Some(Value::Times(times)));
    assert_eq!(value(None, "current-dir"), Some(text("/project/data")));
    assert_eq!(value(Some("gpu"), "python"), Some(text("/project/env/bin/python")));
    assert_eq!(value(Some("gpu"), "memory-limit"), Some(Value::Count(2 << 30)));
    let links = ["/project/wheels", "https://example.org/wheels"].map(str::to_owned).into();
    assert_eq!(value(Some("gpu"), "index.find-links"), Some(Value::List(links)));
    assert_eq!(value(Some("gpu"), "packages"), None, "pools have nothing of each other");
}

#[test]
fn what_cannot_be_used() {
    for (toml, message, hint) in [
        (
            "workers = 1\npakages = []",
            "snakebridge.toml:2: there is no setting `pakages`",
            Some("did you mean `packages`?"),
        ),
        (
            "[index]\nurls = 'x'",
            "snakebridge.toml:2: there is no setting `index.urls`",
            Some("did you mean `index.url`?"),
        ),
        ("[colours]\na = 1", "snakebridge.toml:1: there is no setting `colours`", None),
        (
            "[pool.a]\ntimeout = 1",
            "snakebridge.toml:2: `timeout` is no setting of a pool, but of the whole bridge",
            None,
        ),
        ("pool.a = 1", "snakebridge.toml:1: `pool.a` is no table of settings", None),
        (
            "python = '3.12'\n[pool.default]\nworkers = 2",
            "snakebridge.toml:2: `pool.default` cannot be declared",
            Some("the settings of the default pool are those at the top, in no table"),
        ),
        (
            "packages = 'numpy'",
            "snakebridge.toml:1: `packages`: expected a list of texts, found the text `numpy`",
            None,
        ),
        (
            "\nworkers = -1",
            "snakebridge.toml:2: `workers`: expected a whole number, found the number -1",
            None,
        ),
        (
            "affinity = 'strict'",
            "snakebridge.toml:1: `affinity`: expected `\"hint\"` or `\"strict-queue\"` or \
             `\"strict-fail-fast\"`, found the text `strict`",
            None,
        ),
        (
            "python = '>=three'",
            "snakebridge.toml:1: `python`: `>=three` is no range of versions, expected one such \
             as `>=3.10,<3.14`",
            None,
        ),
    ] {
        let error = error_of(toml);
        assert_eq!((error.to_string().as_str(), error.hint()), (message, hint), "{toml}");
    }
    let error = error_of("workers = 1\nworkers = 2").to_string();
    assert!(error.starts_with("snakebridge.toml:2: duplicate key"), "{error}");
    let error = error_of("a = ").to_string();
    assert!(error.starts_with("snakebridge.toml:1: ") && !error.contains('\n'), "{error}");
}

#[test]
fn variables_that_cannot_be_used() {
    let folder = project(&[]);
    let load =
        |variables: &[(&str, &str)]| Config::load_from(&Sources::new(folder.path(), variables));
    let error = load(&[("SNAKEBRIDGE_WORKERS", "many")]).unwrap_err().to_string();
    assert_eq!(error, "SNAKEBRIDGE_WORKERS: expected a whole number, found the number many");
    let spin = |text| load(&[("SNAKEBRIDGE_SPIN", text)]).unwrap().value(None, "spin").cloned();
    for text in ["off", "auto", "200"] {
        assert_eq!(spin(text), Some(Value::Text(text.to_owned())));
    }
    let config = load(&[("SNAKEBRIDGE_WORKRES", "2"), ("SNAKEBRIDGE_CACHE_DIR", "/x")]).unwrap();
    assert_eq!(config.unknown_variables(), [("SNAKEBRIDGE_WORKRES".to_owned(), Some("workers"))]);
}

#[test]
fn which_files_count() {
    let folder = project(&[
        ("snakebridge.toml", "workers = 2"),
        ("other.toml", "workers = 3"),
        ("package/Cargo.toml", "[package.metadata.snakebridge]\nworkers = 4"),
        ("elsewhere/file", ""),
    ]);
    let workers = |current: &Path, variables: &[(&str, &str)]| {
        let config = Config::load_from(&Sources::new(current, variables)).unwrap();
        config.value(None, "workers").cloned()
    };
    let in_folder = |name: &str| folder.path().join(name);
    let root = folder.path();
    let package = in_folder("package");
    assert_eq!(workers(root, &[]), Some(Value::Count(2)));
    assert_eq!(workers(&in_folder("elsewhere"), &[]), Some(Value::Count(2)));
    assert_eq!(workers(root, &[(FILE_VARIABLE, "other.toml")]), Some(Value::Count(3)));
    assert_eq!(workers(root, &[(FILE_VARIABLE, "")]), None);
    assert_eq!(workers(&package, &[(FILE_VARIABLE, "")]), Some(Value::Count(4)));
    let of_cargo = [(FILE_VARIABLE, ""), (MANIFEST_FOLDER, package.to_str().unwrap())];
    assert_eq!(workers(root, &of_cargo), Some(Value::Count(4)));
    let missing = Sources::new(root, &[(FILE_VARIABLE, "missing.toml")]);
    let error = Config::load_from(&missing).unwrap_err().to_string();
    assert!(error.ends_with("missing.toml:1: does not exist"), "{error}");
}

#[test]
fn each_setting_has_one_name_and_one_variable() {
    for (place, key) in KEYS.iter().enumerate() {
        let same = |other: &&Key| other.name == key.name || other.variable() == key.variable();
        let before = KEYS[..place].iter().filter(|other| other.variable().is_some()).find(same);
        assert!(before.is_none(), "{} and {before:?}", key.name);
    }
}

#[test]
fn what_environments_are_made_of() {
    let folder = project(&[(
        "snakebridge.toml",
        "packages = ['six']\npython = '>=3.10'\nindex.url = 'https://example.org'\n\
         [environment]\ninstaller = 'pip'\npython-download = 'never'\ntimeout = 3\n\
         [pool.a]\npackages = ['idna']\n[pool.b]\npackages = ['x']\ninstall = 'never'\n[pool.c]\n",
    )]);
    let load = |variables: &[(&str, &str)]| {
        Config::load_from(&Sources::new(folder.path(), variables)).unwrap()
    };
    let config = load(&[("SNAKEBRIDGE_ENVIRONMENT_OFFLINE", "1"), ("CI", "true")]);
    let wanted = config.requirements(None).unwrap();
    assert_eq!((wanted.pool.as_str(), &*wanted.packages), ("default", &["six".to_owned()][..]));
    assert_eq!(wanted.python.as_deref(), Some(">=3.10"));
    assert_eq!(wanted.index.url.as_deref(), Some("https://example.org"));
    assert_eq!(config.requirements(Some("a")).unwrap().pool, "a");
    assert_eq!(config.requirements(Some("b")), None);
    assert_eq!(config.requirements(Some("c")), None);
    let options = config.options();
    assert_eq!(options.installer, crate::Installer::Pip);
    assert_eq!(options.timeout, Duration::from_secs(3));
    assert!(options.offline && !options.python_download);
    assert_eq!((options.lock_file, options.locked), (None, false), "there is no such file");

    let lock = folder.path().join("snakebridge.lock");
    let needed = load(&[("SNAKEBRIDGE_ENVIRONMENT_LOCKED", "1")]).options();
    assert_eq!((needed.lock_file.as_ref(), needed.locked), (Some(&lock), true));
    fs::write(&lock, "version = 1").unwrap();
    let options = |variables: &[(&str, &str)]| load(variables).options();
    assert_eq!(options(&[]).lock_file.as_ref(), Some(&lock));
    assert!(!options(&[]).locked);
    assert!(options(&[("CI", "true")]).locked);
    assert!(!options(&[("CI", "false")]).locked);
    assert!(!options(&[("CI", "1"), ("SNAKEBRIDGE_ENVIRONMENT_LOCKED", "0")]).locked);
}

#[test]
fn one_pool_alone() {
    let text = "workers = 2\ntimeout = '1m'\npackages = ['six']\n[pool.gpu]\nthreads = 3\npackages = ['idna']\n";
    let config = Config::from_text("/project/snakebridge.toml", text).unwrap();
    let default = config.of_pool(None).unwrap();
    assert_eq!(
        (default.value(None, "workers"), default.pools().len()),
        (Some(&Value::Count(2)), 0)
    );
    let gpu = config.of_pool(Some("gpu")).unwrap();
    assert_eq!(gpu.value(None, "threads"), Some(&Value::Count(3)));
    assert_eq!(gpu.value(None, "workers"), None);
    assert!(gpu.value(None, "timeout").is_some(), "that of the bridge");
    assert!(gpu.pools().is_empty());
    let wanted = gpu.requirements(None).unwrap();
    assert_eq!((wanted.pool.as_str(), &*wanted.packages), ("gpu", &["idna".to_owned()][..]));
    assert_eq!(default.requirements(None).unwrap().pool, "default");
    assert!(config.of_pool(Some("cpu")).is_none());
}

#[test]
fn rules_of_all_pools_count_for_one_alone() {
    let config = Config::from_text(
        "/project/snakebridge.toml",
        "threads = 2\nguard.allow = ['math']\nconfine.udp = true\nconfine.read = ['data']\n\
         helpers.enabled = false\n[pool.gpu]\nconfine.udp = false\n",
    )
    .unwrap();
    let gpu = config.of_pool(Some("gpu")).unwrap();
    assert_eq!(gpu.value(None, "guard.allow"), Some(&Value::List(vec!["math".to_owned()])));
    assert_eq!(gpu.value(None, "helpers.enabled"), Some(&Value::Bool(false)));
    // A table of its own counts as a whole.
    assert_eq!(gpu.value(None, "confine.udp"), Some(&Value::Bool(false)));
    assert_eq!(gpu.value(None, "confine.read"), None);
    assert_eq!(gpu.value(None, "threads"), None);
}
