//! The inspector beside QEMU, which will open the images, and beside oslo.utils, with which Glance looks at them.
//! `docs/formats.md` lists every difference that is allowed for here.

use super::images::{Image, Maker};
use crate::harness::{keystone_python, qemu_img};
use saccade::inspect::{Format, HazardKind, Inspector, Report};
use serde_json::Value;
use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
};

/// The report on a file, read in chunks as an upload is.
fn inspect(file: &Path) -> Report {
    let mut inspector = Inspector::new();
    let mut file = File::open(file).unwrap();
    let mut chunk = vec![0; 256 << 10];
    loop {
        match file.read(&mut chunk).unwrap() {
            0 => return inspector.finish(),
            length => inspector.push(&chunk[..length]),
        }
    }
}

/// What `qemu-img info` says, as `-f` where it is given.
fn info(image: &Image, format: Option<&str>) -> Value {
    let mut arguments = vec!["info", "--output=json"];
    arguments.extend(format.map(|_| "-f"));
    arguments.extend(format);
    arguments.push("image");
    serde_json::from_str(&qemu_img(image.file.parent().unwrap(), &arguments)).unwrap()
}

/// QEMU's name of what the inspector sees.
fn qemu_name(report: &Report) -> &'static str {
    let version_1 = report
        .details
        .iter()
        .any(|detail| detail.name == "version" && detail.value == "1");
    match report.format {
        Format::Qcow2 if version_1 => "qcow",
        Format::Vhd => "vpc",
        Format::Ploop => "parallels",
        format => format.name(),
    }
}

fn name(reference: Option<&saccade::inspect::Reference>) -> Option<String> {
    reference.map(|reference| reference.name.clone().unwrap_or_default())
}

#[test]
fn agrees_with_qemu_and_glance_on_every_image_that_qemu_makes() {
    let directory = tempfile::tempdir().unwrap();
    // Making them takes longer than looking at them.
    let images = Maker::new(directory.path()).all();
    assert!(images.len() >= 150, "{} images", images.len());
    agrees_with_qemu(&images);
    agrees_with_glance(&images);
}

fn agrees_with_qemu(images: &[Image]) {
    let mut differences = Vec::new();
    for image in images {
        let (report, qemu) = (inspect(&image.file), info(image, None));
        let mut same = |what: &str, ours: Option<String>, theirs: Option<String>| {
            if ours != theirs {
                differences.push(format!("{}: {what}: {ours:?}, QEMU {theirs:?}", image.made_with));
            }
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        same(
            "format",
            Some(qemu_name(&report).to_owned()),
            text(&qemu["format"]),
        );
        same(
            "backing file",
            name(report.backing_file.as_ref()),
            text(&qemu["backing-filename"]),
        );
        let specific = &qemu["format-specific"]["data"];
        same(
            "data file",
            name(report.data_file.as_ref()),
            text(&specific["data-file"]),
        );

        // An empty disk has no size in Glance; QEMU opens whole sectors.
        let size = report.virtual_size.unwrap_or_default();
        let size = if report.format == Format::Raw {
            size.next_multiple_of(512)
        } else {
            size
        };
        same(
            "virtual size",
            Some(size.to_string()),
            Some(qemu["virtual-size"].to_string()),
        );

        if report.format == Format::Vmdk {
            same(
                "createType",
                report.subformat.clone(),
                text(&specific["create-type"]),
            );
            let extents = specific["extents"].as_array().unwrap().len();
            same(
                "extents",
                Some(report.extents.len().to_string()),
                Some(extents.to_string()),
            );
        }
        let fixed = image.made_with.starts_with("vpc") && image.made_with.contains("subformat=fixed");
        let declared = fixed.then(|| info(image, Some("vpc"))["virtual-size"].to_string());
        same(
            "fixed VHD",
            report.fixed_vhd.map(|size| size.to_string()),
            declared,
        );

        let harmless = report.backing_file.is_none()
            && report.data_file.is_none()
            && !matches!(qemu_name(&report), "qed" | "qcow")
            && !image.made_with.contains("extended_l2=on")
            && !["Flat", "twoGb"]
                .iter()
                .any(|kind| image.made_with.contains(kind));
        same(
            "safe",
            Some(report.is_safe().to_string()),
            Some(harmless.to_string()),
        );
        let warnings = Some(report.warnings.join("; ")).filter(|warnings| !warnings.is_empty());
        let expected = image.made_with.contains("encrypt.format=aes") || !report.is_safe();
        same("warnings", warnings.filter(|_| !expected), None);
    }
    assert!(
        differences.is_empty(),
        "of {}:\n{}",
        images.len(),
        differences.join("\n")
    );
}

/// What oslo.utils says of files, in the order of their names.
fn oslo(images: &[Image]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/oslo.py");
    let mut child = Command::new(keystone_python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for image in images {
        writeln!(input, "{}", image.file.display()).unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What the two do not agree on, and why that is right.
fn explained(report: &Report, theirs: &Value) -> bool {
    let refused_for = |kind| report.hazards.iter().any(|hazard| hazard.kind == kind);
    match report.format {
        // It takes the parent for a harmless line of text.
        Format::Vmdk => theirs["safe"] == true && refused_for(HazardKind::ParentReference),
        // It has no inspector for it: raw data.
        Format::Ploop => theirs["format"] == "raw" && theirs["safe"] == true,
        _ => false,
    }
}

fn agrees_with_glance(images: &[Image]) {
    let answers = oslo(images);
    assert_eq!(answers.len(), images.len());
    let mut differences = Vec::new();
    let mut stricter = 0;
    for (image, theirs) in images.iter().zip(answers) {
        let report = inspect(&image.file);
        let size = theirs["virtual_size"].as_u64().filter(|&size| size > 0);
        // Of what is refused, sizes are never recorded.
        let same = theirs["format"] == report.format.name()
            && theirs["safe"] == report.is_safe()
            && (size == report.virtual_size || !report.is_safe());
        if same {
        } else if explained(&report, &theirs) {
            stricter += 1;
        } else {
            differences.push(format!("{}: {theirs}, and here\n{report}", image.made_with));
        }
    }
    assert!(
        differences.is_empty(),
        "of {}:\n{}",
        images.len(),
        differences.join("\n\n")
    );
    assert!(
        stricter > 0,
        "nothing is left to explain: remove the explanations"
    );
}
