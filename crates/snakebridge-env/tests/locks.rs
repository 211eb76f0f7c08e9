//! Lock files.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::fs;

use common::{Cache, has, wanted};
use snakebridge_env::{EnvErrorKind, Environments, Installer, State};

#[test]
fn versions_are_locked_kept_and_checked() {
    let cache = Cache::new();
    let file = cache.path().join("snakebridge.lock");
    let with = |locked| Environments::new(cache.options().lock_file(&file).locked(locked)).unwrap();
    let error = with(true).get(&wanted(&["six<1.17"])).unwrap_err();
    assert_eq!(error.kind(), EnvErrorKind::Lock);
    assert!(error.to_string().ends_with("snakebridge.lock` does not exist"), "{error}");

    let first = with(false).get(&wanted(&["six<1.17"])).unwrap();
    assert!(first.packages.contains(&("six".to_owned(), "1.16.0".to_owned())), "{first:?}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("six==1.16.0") && text.contains("--hash=sha256:"), "{text}");
    cache.events();
    assert_eq!(with(true).get(&wanted(&["six<1.17"])).unwrap(), first);
    assert_eq!(cache.events(), [] as [&str; 0]);

    // What is declared has changed: an error where it must fit, else what will still do is kept.
    let error = with(true).get(&wanted(&["six"])).unwrap_err();
    assert!(error.to_string().ends_with("snakebridge.lock` lacks `six`"), "{error}");
    assert!(matches!(with(false).state(&wanted(&["six"])), Ok(State::Unlocked(_))));
    let second = with(false).get(&wanted(&["six"])).unwrap();
    assert!(second.packages.contains(&("six".to_owned(), "1.16.0".to_owned())), "{second:?}");
    let third = with(false).renew(&wanted(&["six"])).unwrap();
    assert!(!third.packages.contains(&("six".to_owned(), "1.16.0".to_owned())), "{third:?}");

    // A file of the package index that is not the one of the lock file is refused.
    let text = fs::read_to_string(&file).unwrap();
    let begin = text.find("--hash=sha256:").unwrap() + "--hash=sha256:".len();
    let wrong = "0".repeat(64);
    let mut changed = String::new();
    for part in text.split_inclusive("--hash=sha256:") {
        changed += match changed.is_empty() {
            true => part,
            false => &part[64..],
        };
        if part.ends_with("--hash=sha256:") {
            changed += &wrong;
        }
    }
    assert_ne!(text[begin..begin + 64], wrong);
    fs::write(&file, changed).unwrap();
    let error = with(true).get(&wanted(&["six"])).unwrap_err();
    assert_eq!(error.kind(), EnvErrorKind::Hash, "{error:#?}");
}

#[test]
fn venv_and_pip_do_where_uv_is_not_wanted() {
    let cache = Cache::new();
    let file = cache.path().join("snakebridge.lock");
    let options = cache.options().lock_file(&file).installer(Installer::Pip);
    let found = Environments::new(options).unwrap().get(&wanted(&["six"])).unwrap();
    assert_eq!(found.installer, "pip");
    assert!(found.packages.iter().any(|(name, _)| name == "six"), "{found:?}");
    assert!(has(&found, "six"));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("six==") && text.contains("--hash=sha256:"), "{text}");
    // What has made it makes no difference.
    let locked = Environments::new(cache.options().lock_file(&file).locked(true)).unwrap();
    assert_eq!(locked.get(&wanted(&["six"])).unwrap(), found);
}
