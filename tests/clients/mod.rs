//! The stock clients, as people install them: they log in with the files of the first start, and see what people see.

mod behind_haproxy;
mod glance;
mod metadefs;
mod openstack;
mod sdk;

use crate::harness::{Daemon, Output, Payload, qemu_img, run};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// Where `make clients` has put the client of that name.
///
/// # Panics
/// When it is not there: a test that needs it fails then, and is not skipped.
pub(crate) fn client(name: &str) -> PathBuf {
    let directory = std::env::var_os("SACCADE_CLIENTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin"),
        PathBuf::from,
    );
    let path = directory.join(name);
    assert!(
        path.exists(),
        "{} is missing: run `make clients`, or `make test`, which does (SACCADE_CLIENTS names another directory)",
        path.display()
    );
    path
}

/// A client in a shell that has read `openrc`, as the first of the three printed lines says. Without standard input:
/// `glance` would upload it.
fn with_openrc(daemon: &Daemon, words: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#". "$0" && exec "$@" <&-"#])
        .arg(daemon.data_dir().join("openrc"))
        .arg(client(words[0]))
        .args(&words[1..]);
    run(bare(&mut command, daemon))
}

/// `openstack` with `clouds.yaml`.
fn openstack(daemon: &Daemon, words: &[&str]) -> Output {
    openstack_as(daemon, &daemon.data_dir().join("clouds.yaml"), words)
}

/// `openstack` with this file, whose cloud is called as the daemon's own.
fn openstack_as(daemon: &Daemon, clouds: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(client("openstack"));
    command
        .args(words)
        .env("OS_CLOUD", "saccade")
        .env("OS_CLIENT_CONFIG_FILE", clouds);
    run(bare(&mut command, daemon))
}

/// No configuration of whoever runs the tests, and no proxy between here and the daemon.
pub(crate) fn bare<'c>(command: &'c mut Command, daemon: &Daemon) -> &'c mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_lowercase();
        if (text.starts_with("os_") && !["os_cloud", "os_client_config_file"].contains(&text.as_str()))
            || text.ends_with("_proxy")
        {
            command.env_remove(name);
        }
    }
    command
        .env("HOME", daemon.scratch())
        .env("COLUMNS", "200")
        .current_dir(daemon.scratch())
}

/// What a command printed with `-f json`.
pub(crate) fn json(output: Output) -> serde_json::Value {
    let text = output.success();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A file of random data, and the same disk in another format.
pub(crate) fn disk(directory: &Path, format: &str) -> PathBuf {
    let raw = directory.join("disk.raw");
    io::copy(&mut Payload::new(7, 24 << 20), &mut File::create(&raw).unwrap()).unwrap();
    if format == "raw" {
        return raw;
    }
    let file = directory.join(format!("disk.{format}"));
    let words = [
        "convert",
        "-f",
        "raw",
        "-O",
        format,
        raw.to_str().unwrap(),
        file.to_str().unwrap(),
    ];
    qemu_img(directory, &words);
    file
}
