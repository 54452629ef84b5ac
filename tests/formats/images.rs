//! Every kind of image that `qemu-img` makes, with every option that changes its header.

use crate::harness::qemu_img;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// One image.
#[derive(Debug)]
pub(super) struct Image {
    /// What it was made with.
    pub(super) made_with: String,
    /// Its file, in a directory of its own: images may name others beside them.
    pub(super) file: PathBuf,
}

/// Makes images, each in a directory of its own.
pub(super) struct Maker<'a> {
    directory: &'a Path,
    images: Vec<Image>,
}

/// An object that encrypted images take their key from.
const SECRET: [&str; 2] = ["--object", "secret,id=key,data=passphrase"];

impl<'a> Maker<'a> {
    pub(super) fn new(directory: &'a Path) -> Self {
        Self {
            directory,
            images: Vec::new(),
        }
    }

    /// Everything.
    pub(super) fn all(mut self) -> Vec<Image> {
        self.qcow2();
        self.vmdk();
        self.virtual_pc();
        self.hyper_v();
        self.the_rest();
        self.changed();
        self.converted();
        self.images
    }

    /// An empty directory, and the image to be made in it.
    fn place(&mut self, made_with: String) -> PathBuf {
        let directory = self.directory.join(self.images.len().to_string());
        fs::create_dir(&directory).unwrap();
        self.images.push(Image {
            made_with,
            file: directory.join("image"),
        });
        directory
    }

    /// `qemu-img create -f FORMAT -o OPTIONS image SIZE`.
    fn create(&mut self, format: &str, options: &str, size: &str) -> PathBuf {
        let directory = self.place(format!("{format} {options} {size}"));
        let mut arguments = vec!["create", "-q"];
        if options.contains("key-secret") {
            arguments.extend(SECRET);
        }
        arguments.extend(["-f", format]);
        if !options.is_empty() {
            arguments.extend(["-o", options]);
        }
        arguments.extend(["image", size]);
        qemu_img(&directory, &arguments);
        directory
    }

    /// An image on top of another, which need not be there.
    fn backed(&mut self, format: &str, base: &str, base_format: &str) {
        let directory = self.place(format!("{format} on {base}"));
        if base == "base" {
            qemu_img(&directory, &["create", "-q", "-f", base_format, base, "3M"]);
            let arguments = [
                "create",
                "-q",
                "-f",
                format,
                "-b",
                base,
                "-F",
                base_format,
                "image",
            ];
            qemu_img(&directory, &arguments);
        } else {
            let arguments = [
                "create",
                "-q",
                "-f",
                format,
                "-u",
                "-b",
                base,
                "-F",
                base_format,
                "image",
                "3M",
            ];
            qemu_img(&directory, &arguments);
        }
    }

    fn qcow2(&mut self) {
        for compat in ["0.10", "1.1"] {
            for cluster in ["512", "4k", "64k", "1M", "2M"] {
                for size in ["0", "1M", "513k", "7G"] {
                    let options = format!("compat={compat},cluster_size={cluster}");
                    self.create("qcow2", &options, size);
                }
            }
        }
        for bits in ["1", "2", "4", "8", "16", "32", "64"] {
            self.create("qcow2", &format!("refcount_bits={bits}"), "5M");
        }
        for cluster in ["16k", "64k", "2M"] {
            self.create("qcow2", &format!("extended_l2=on,cluster_size={cluster}"), "5M");
        }
        for options in [
            "lazy_refcounts=on",
            "compression_type=zlib",
            "compression_type=zstd",
            "preallocation=metadata",
            "preallocation=falloc",
            "preallocation=full",
            "data_file=elsewhere.raw",
            "data_file=elsewhere.raw,data_file_raw=on",
            "encrypt.format=aes,encrypt.key-secret=key",
            "compat=0.10,encrypt.format=aes,encrypt.key-secret=key",
            "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10",
            "compat=0.10,encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10",
            "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10,encrypt.cipher-alg=aes-128",
        ] {
            self.create("qcow2", options, "2M");
        }
        self.create("qcow2", "", "60T");
        for (base, format) in [
            ("base", "raw"),
            ("base", "qcow2"),
            ("/etc/passwd", "raw"),
            ("nbd://127.0.0.1:10809/x", "raw"),
            ("json:{\"driver\":\"null-co\"}", "raw"),
            ("n\u{e4}me with spaces", "qcow2"),
        ] {
            self.backed("qcow2", base, format);
        }
    }

    fn vmdk(&mut self) {
        for kind in [
            "monolithicSparse",
            "monolithicFlat",
            "twoGbMaxExtentSparse",
            "twoGbMaxExtentFlat",
            "streamOptimized",
        ] {
            for size in ["1M", "513k", "5G"] {
                self.create("vmdk", &format!("subformat={kind}"), size);
            }
            for options in ["compat6=on", "hwversion=13", "zeroed_grain=on", "toolsversion=9"] {
                // Grains are what a flat file does not have.
                if !(options.starts_with("zeroed") && kind.ends_with("Flat")) {
                    self.create("vmdk", &format!("subformat={kind},{options}"), "2M");
                }
            }
        }
        for adapter in ["ide", "lsilogic", "buslogic", "legacyESX"] {
            self.create("vmdk", &format!("adapter_type={adapter}"), "2M");
        }
        self.backed("vmdk", "base", "vmdk");
    }

    fn virtual_pc(&mut self) {
        for kind in ["dynamic", "fixed"] {
            for force in ["on", "off"] {
                for size in ["1M", "513k", "33M"] {
                    self.create("vpc", &format!("subformat={kind},force_size={force}"), size);
                }
            }
        }
        for size in ["127G", "500G", "2039G"] {
            self.create("vpc", "subformat=dynamic,force_size=on", size);
        }
    }

    fn hyper_v(&mut self) {
        for kind in ["dynamic", "fixed"] {
            for size in ["1M", "513k", "9M"] {
                self.create("vhdx", &format!("subformat={kind}"), size);
            }
        }
        for options in [
            "log_size=1M",
            "log_size=4M",
            "log_size=32M",
            "block_size=1M",
            "block_size=8M",
            "block_size=256M",
            "block_state_zero=off",
            "log_size=9M,block_size=2M",
        ] {
            self.create("vhdx", options, "20M");
        }
        for size in ["7G", "60T"] {
            self.create("vhdx", "", size);
        }
    }

    fn the_rest(&mut self) {
        for options in ["static=on", "static=off"] {
            for size in ["512", "1M", "513k", "30M"] {
                self.create("vdi", options, size);
            }
        }
        self.create("vdi", "", "7G");
        for options in ["", "table_size=2", "cluster_size=128k"] {
            for size in ["1M", "700M"] {
                self.create("qed", options, size);
            }
        }
        self.backed("qed", "base", "qed");
        for size in ["1M", "7G"] {
            self.create("qcow", "", size);
        }
        self.create("qcow", "encrypt.format=aes,encrypt.key-secret=key", "1M");
        self.backed("qcow", "base", "raw");
        for options in ["", "cluster_size=64k", "cluster_size=1M"] {
            for size in ["1M", "7G"] {
                self.create("parallels", options, size);
            }
        }
        for size in ["0", "512", "513", "1M", "33M"] {
            self.create("raw", "", size);
        }
        for options in [
            "cipher-alg=aes-128",
            "cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256",
            "cipher-alg=serpent-256",
            "hash-alg=sha512",
        ] {
            self.create("luks", &format!("{options},key-secret=key,iter-time=10"), "1M");
        }
    }

    /// Images that were worked on.
    fn changed(&mut self) {
        for (format, options) in [("qcow2", "compat=0.10"), ("qcow2", ""), ("qed", "")] {
            let directory = self.create(format, options, "3M");
            qemu_img(&directory, &["resize", "-q", "-f", format, "image", "+5M"]);
        }
        let directory = self.create("qcow2", "", "3M");
        for name in ["a", "b"] {
            qemu_img(&directory, &["snapshot", "-c", name, "image"]);
        }
        let directory = self.create("qcow2", "", "3M");
        for name in ["a", "b"] {
            qemu_img(&directory, &["bitmap", "--add", "image", name]);
        }
        for compat in ["compat=0.10", "compat=1.1"] {
            let directory = self.create("qcow2", "", "3M");
            qemu_img(&directory, &["amend", "-f", "qcow2", "-o", compat, "image"]);
        }
        let directory = self.create("qcow2", "", "3M");
        qemu_img(&directory, &["create", "-q", "-f", "raw", "later", "3M"]);
        qemu_img(&directory, &["rebase", "-u", "-b", "later", "-F", "raw", "image"]);
        let directory = self.create("qcow2", "", "3M");
        qemu_img(&directory, &["rebase", "-u", "-b", "later", "-F", "raw", "image"]);
        qemu_img(&directory, &["rebase", "-u", "-b", "", "image"]);
    }

    /// Images with data in them.
    fn converted(&mut self) {
        for (format, options) in [
            ("qcow2", "compat=0.10"),
            ("qcow2", "compression_type=zstd"),
            ("vmdk", "subformat=monolithicSparse"),
            ("vmdk", "subformat=streamOptimized"),
            ("vpc", "subformat=dynamic"),
            ("vpc", "subformat=fixed,force_size=on"),
            ("vhdx", "subformat=dynamic"),
            ("vdi", "static=on"),
            ("vdi", "static=off"),
            ("qed", "cluster_size=64k"),
            ("parallels", "cluster_size=1M"),
            ("qcow", ""),
            ("raw", ""),
        ] {
            let directory = self.place(format!("{format} {options}, with data"));
            let data: Vec<u8> = (0..3_u32 << 18).flat_map(|i| (i * 7).to_le_bytes()).collect();
            fs::write(directory.join("data"), data).unwrap();
            let mut arguments = vec!["convert", "-f", "raw", "-O", format];
            if !options.is_empty() {
                arguments.extend(["-o", options]);
            }
            if format == "qcow2" {
                arguments.push("-c");
            }
            arguments.extend(["data", "image"]);
            qemu_img(&directory, &arguments);
        }
    }
}
