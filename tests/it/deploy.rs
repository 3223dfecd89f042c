//! The files of deploy/, against what reads them.

use std::path::{Path, PathBuf};
use std::process::Command;

use herald::config::{Config, Layers};

use crate::support::folder;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

#[test]
fn the_example_configuration_shows_every_setting_with_its_default() {
    let text = std::fs::read_to_string(deploy("herald.toml")).expect("a file");
    Layers::read(Some(&text), [], &[]).expect("it can be used as it is");
    // Each commented line that sets something, set.
    let set: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let shown = Layers::read(Some(&set), [], &[]).expect("every line is a setting");
    let described = |layers: &Layers| layers.describe().expect("valid");
    let values = |text: &str| text.lines().map(|l| l.split(" # ").next().unwrap_or(l).to_owned()).collect::<Vec<_>>();
    let defaults = Layers::read(None, [], &[]).expect("defaults");
    assert_eq!(values(&described(&shown)), values(&described(&defaults)), "the defaults");
    let left_out: Vec<_> = described(&shown).lines().filter(|l| l.ends_with("# default")).map(str::to_owned).collect();
    assert!(left_out.is_empty(), "not shown: {left_out:?}");
    assert_eq!(shown.config().expect("valid").listen, Config::default().listen);
}

#[test]
fn systemd_takes_the_unit() {
    let unit = std::fs::read_to_string(deploy("herald.service")).expect("a file");
    assert!(unit.contains("ExecStart=/usr/local/bin/herald serve --config"));
    // The check looks for the program, which is not installed here.
    let unit = unit.replace("/usr/local/bin/herald", env!("CARGO_BIN_EXE_herald"));
    let folder = folder();
    let path = folder.path().join("herald.service");
    std::fs::write(&path, unit).expect("written");
    let output = Command::new("systemd-analyze").arg("verify").arg(&path).output().expect("installed by `make test`");
    let told = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    assert!(output.status.success() && !told.contains("herald.service"), "{told}");
}
