//! openstacksdk, the library below Ansible, Ironic and more.

use super::{bare, client, disk};
use crate::harness::{Daemon, run};
use std::process::Command;

#[test]
fn a_python_program_does_all_it_wants_with_an_image() {
    let daemon = Daemon::fresh();
    let file = disk(&daemon.scratch(), "qcow2");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/sdk.py");
    let mut command = Command::new(client("python"));
    command
        .args(["-W", "ignore", program])
        .arg(file)
        .env("OS_CLIENT_CONFIG_FILE", daemon.data_dir().join("clouds.yaml"));
    assert_eq!(run(bare(&mut command, &daemon)).success(), "all done\n");
}
