//! What goes wrong while environments are made ends in an error that says so, or mends itself.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use common::{Cache, has, script, wanted};
use snakebridge_env::{EnvError, EnvErrorKind, Environments, Installer, State};

fn assert_says(error: &EnvError, kind: EnvErrorKind, text: &str, hint: &str) {
    assert_eq!(error.kind(), kind, "{error:#?}");
    assert!(error.to_string().contains(text), "{error:#?}");
    assert!(error.hint().unwrap_or_default().contains(hint), "{error:#?}");
    assert!(!error.to_string().contains('\n'), "{error:#?}");
}

#[test]
fn packages_that_there_are_not() {
    let cache = Cache::new();
    let error = cache.get(&["snakebridge-test-no-such-package"]).unwrap_err();
    let kind = EnvErrorKind::NoSuchPackage;
    assert_says(&error, kind, "snakebridge-test-no-such-package", "check the name");
    let error = cache.get(&["six==99"]).unwrap_err();
    assert_says(&error, kind, "six==99", "check the name");
}

#[test]
fn packages_that_exclude_each_other() {
    let cache = Cache::new();
    let error = cache.get(&["requests==2.32.3", "idna<2"]).unwrap_err();
    assert_says(&error, EnvErrorKind::Conflict, "cannot be installed together", "other versions");
    assert!(error.said().unwrap().contains("idna"), "{error:#?}");
}

#[test]
fn requirements_that_are_none() {
    let cache = Cache::new();
    let error = cache.get(&["six", "-r requirements.txt"]).unwrap_err();
    assert_says(&error, EnvErrorKind::Requirement, "is an option", "index.url");
    let error = cache.get(&["six ==== 1"]).unwrap_err();
    assert_eq!(error.kind(), EnvErrorKind::Requirement, "{error:#?}");
}

#[test]
fn a_folder_that_cannot_be_written() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    let options = Cache::new().options().cache_dir(file.join("cache"));
    let error = Environments::new(options).unwrap().get(&wanted(&["six"])).unwrap_err();
    assert_says(&error, EnvErrorKind::Denied, "cannot make", "SNAKEBRIDGE_CACHE_DIR");
}

/// A file system of its own that is too small. Only the superuser can have one, and not everywhere.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=300k", "none"]).arg(folder.path());
        let is_done = mount.output().is_ok_and(|output| output.status.success());
        is_done.then_some(Self { folder })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

#[test]
fn a_disk_that_is_full() {
    let cache = Cache::new();
    let Some(disk) = SmallDisk::new() else { return };
    symlink(cache.path().join("tools"), disk.folder.path().join("tools")).unwrap();
    let options = cache.options().cache_dir(disk.folder.path());
    let error = Environments::new(options).unwrap().get(&wanted(&["requests"])).unwrap_err();
    assert_says(&error, EnvErrorKind::NoSpace, "no space left", "make room");
}

#[test]
fn a_process_that_takes_too_long() {
    let cache = Cache::new();
    // The lock is held by somebody who does not give it back.
    let environments = cache.environments();
    let State::Missing(folder) = environments.state(&wanted(&["six"])).unwrap() else { panic!() };
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let lock = folder
        .parent()
        .unwrap()
        .join(format!("{}.lock", folder.file_name().unwrap().to_str().unwrap()));
    let held = fs::File::create(&lock).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let options = cache.options().timeout(Duration::from_millis(200));
    let error = Environments::new(options).unwrap().get(&wanted(&["six"])).unwrap_err();
    assert_says(&error, EnvErrorKind::Timeout, "another process has held", "uv or pip may still");
    assert!(cache.events()[0].contains("waiting for another process"));
    drop(held);
}

#[test]
fn what_is_damaged_is_made_anew() {
    let cache = Cache::new();
    let found = cache.get(&["six"]).unwrap();
    assert_eq!(cache.count_made(), 1);
    assert_eq!(cache.get(&["six"]).unwrap(), found);
    assert_eq!(cache.events(), [] as [&str; 0]);

    let site = found
        .folder
        .join("lib")
        .join(format!("python{}/site-packages", found.version.rsplit_once('.').unwrap().0));
    let lose_module = || fs::remove_file(site.join("six.py")).unwrap();
    let lose_interpreter = || {
        fs::remove_file(&found.python).unwrap();
        symlink("/nowhere/python3", &found.python).unwrap();
    };
    let lose_marker = || fs::remove_file(found.folder.join("snakebridge.json")).unwrap();
    let damages: [(&str, &dyn Fn()); 3] = [
        ("`six.py` is gone from it", &lose_module),
        ("its interpreter is gone", &lose_interpreter),
        ("its making was interrupted", &lose_marker),
    ];
    for (damage, make) in damages {
        make();
        let state = cache.environments().state(&wanted(&["six"])).unwrap();
        assert!(
            matches!(&state, State::Damaged { damage: found, .. } if found == damage),
            "{state:?}"
        );
        let again = cache.get(&["six"]).unwrap();
        assert_eq!(again, found);
        assert!(has(&again, "six"));
        let events = cache.events();
        assert_eq!(events[0], format!("making the environment anew: {damage}"));
    }
}

#[test]
fn what_was_moved_is_made_anew() {
    let cache = Cache::new();
    let found = cache.get(&["six"]).unwrap();
    let moved = tempfile::tempdir().unwrap();
    fs::rename(cache.path().join("environments"), moved.path().join("environments")).unwrap();
    symlink(cache.path().join("tools"), moved.path().join("tools")).unwrap();
    cache.events();
    let options = cache.options().cache_dir(moved.path());
    let again = Environments::new(options).unwrap().get(&wanted(&["six"])).unwrap();
    assert_ne!(again.folder, found.folder);
    assert!(has(&again, "six"));
    let events = cache.events();
    assert!(events[0].contains("anew: it was moved here from"), "{events:?}");
}

#[test]
fn several_paths_to_one_cache_are_one() {
    let cache = Cache::new();
    let found = cache.get(&["six"]).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let link = temp.path().join("link");
    symlink(cache.path(), &link).unwrap();
    cache.events();
    let through_link = Environments::new(cache.options().cache_dir(link)).unwrap();
    assert_eq!(through_link.get(&wanted(&["six"])).unwrap(), found);
    assert_eq!(cache.events(), [] as [&str; 0]);
}

#[test]
fn without_network_what_is_there_is_used_and_what_is_not_is_an_error() {
    let cache = Cache::new();
    let found = cache.get(&["six"]).unwrap();
    let offline = Environments::new(cache.options().offline(true)).unwrap();
    assert_eq!(offline.get(&wanted(&["six"])).unwrap(), found);
    let error = offline.get(&wanted(&["snakebridge-test-no-such-package"])).unwrap_err();
    let expected = "the package index cannot be reached";
    assert_says(&error, EnvErrorKind::Network, expected, "`environment.offline`");
    let options = cache.options().offline(true).installer(Installer::Pip);
    let error = Environments::new(options).unwrap().get(&wanted(&["no-such-package"])).unwrap_err();
    assert_says(&error, EnvErrorKind::NoSuchPackage, "no-such-package", "`environment.offline`");
}

#[test]
fn a_python_that_there_is_not() {
    let cache = Cache::new();
    let mut far = wanted(&["six"]);
    far.python = Some(">=3.90".to_owned());
    let options = cache.options().python_download(false);
    let error = Environments::new(options).unwrap().get(&far).unwrap_err();
    assert_says(&error, EnvErrorKind::NoPython, "found no Python", "SNAKEBRIDGE_PYTHON");
    far.python = Some("/nowhere/python3".to_owned());
    let error = cache.environments().get(&far).unwrap_err();
    assert_says(&error, EnvErrorKind::NoPython, "`/nowhere/python3` (as given) does not exist", "");
}

#[test]
fn an_interpreter_that_was_removed_is_no_interpreter() {
    let temp = tempfile::tempdir().unwrap();
    let cache = Cache::new();
    let python = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let python = String::from_utf8(python.unwrap().stdout).unwrap();
    // A file that leads to another one, as that of a version manager does.
    let file = script(temp.path(), "python3.sh", &format!("exec {} \"$@\"", python.trim()));
    let mut named = wanted(&["six"]);
    named.python = Some(file.display().to_string());
    let found = cache.environments().get(&named).unwrap();
    assert_eq!(cache.get(&["six"]).unwrap(), found, "it is the same Python in the end");
    fs::remove_file(&file).unwrap();
    let error = cache.environments().get(&named).unwrap_err();
    assert_says(&error, EnvErrorKind::NoPython, "does not exist", "install Python");
}
