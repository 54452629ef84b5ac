//! Disk images, made by qemu-img as users make them.

use super::run;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// `qemu-img ARGUMENTS` in a directory.
pub(crate) fn qemu_img(directory: &Path, arguments: &[&str]) -> String {
    run(Command::new("qemu-img").args(arguments).current_dir(directory)).success()
}

/// A qcow2 that names another file as its content: whoever opens it reads that file.
pub(crate) fn unsafe_qcow2(directory: &Path) -> Vec<u8> {
    let passwd = "/etc/passwd";
    let file: PathBuf = directory.join("unsafe.qcow2");
    let name = file.to_str().unwrap();
    qemu_img(
        directory,
        &[
            "create", "-q", "-f", "qcow2", "-u", "-b", passwd, "-F", "raw", name, "1M",
        ],
    );
    fs::read(file).unwrap()
}

/// A vmdk whose extent lies in another file.
pub(crate) fn unsafe_vmdk(directory: &Path) -> Vec<u8> {
    let file = directory.join("unsafe.vmdk");
    let name = file.to_str().unwrap();
    qemu_img(
        directory,
        &[
            "create",
            "-q",
            "-f",
            "vmdk",
            "-o",
            "subformat=monolithicFlat",
            name,
            "1M",
        ],
    );
    fs::read(file).unwrap()
}
