use super::*;
use clap::CommandFactory;

struct Outcome {
    exit: Exit,
    output: String,
    errors: String,
}

fn run_with(arguments: &[&str], mut input: &[u8]) -> Outcome {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let arguments = std::iter::once("saccade")
        .chain(arguments.iter().copied())
        .map(OsString::from);
    let exit = dispatch(
        arguments,
        &mut Streams {
            input: &mut input,
            output: &mut output,
            errors: &mut errors,
        },
    );
    Outcome {
        exit,
        output: String::from_utf8(output).unwrap(),
        errors: String::from_utf8(errors).unwrap(),
    }
}

/// The header of a qcow2 image of 1 GiB, with the offset and length of a backing file's name.
fn qcow2(backing: Option<&str>) -> Vec<u8> {
    let mut image = vec![0; 65536];
    image[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
    if let Some(name) = backing {
        image[8..16].copy_from_slice(&512u64.to_be_bytes());
        image[16..20].copy_from_slice(&u32::try_from(name.len()).unwrap().to_be_bytes());
        image[512..512 + name.len()].copy_from_slice(name.as_bytes());
    }
    image[20..24].copy_from_slice(&16u32.to_be_bytes());
    image[24..32].copy_from_slice(&(1u64 << 30).to_be_bytes());
    image[36..40].copy_from_slice(&2u32.to_be_bytes());
    image[40..48].copy_from_slice(&65536u64.to_be_bytes());
    image[48..56].copy_from_slice(&131_072u64.to_be_bytes());
    image[56..60].copy_from_slice(&1u32.to_be_bytes());
    image
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_safe_image_is_described_for_people() {
    let outcome = run_with(&["inspect", "-"], &qcow2(None));
    assert_eq!(outcome.exit, Exit::Success, "{}", outcome.output);
    assert!(
        outcome.output.contains("format:        qcow2\n"),
        "{}",
        outcome.output
    );
    assert!(outcome.output.ends_with('\n'));
    assert_eq!(outcome.errors, "");
}

#[test]
fn an_unsafe_image_has_an_exit_code_of_its_own() {
    let outcome = run_with(&["inspect", "-", "--json"], &qcow2(Some("/etc/passwd")));
    assert_eq!(outcome.exit, Exit::Unsafe);
    let report: serde_json::Value = serde_json::from_str(&outcome.output).unwrap();
    assert_eq!(report["format"], "qcow2");
    assert_eq!(report["safe"], false);
    assert_eq!(report["backing_file"], "/etc/passwd");
}

#[test]
fn a_file_is_read_as_a_pipe_is() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // Longer than a chunk.
    let mut image = qcow2(None);
    image.resize(3 << 20, 0);
    std::fs::write(file.path(), &image).unwrap();
    let from_file = run_with(&["inspect", file.path().to_str().unwrap()], b"");
    let from_pipe = run_with(&["inspect", "-"], &image);
    assert_eq!(from_file.output, from_pipe.output);
    assert!(
        from_file.output.contains("bytes:         3145728\n"),
        "{}",
        from_file.output
    );
}

#[test]
fn says_whether_an_upload_would_be_accepted() {
    let accepted = run_with(&["inspect", "-", "--disk-format", "qcow2"], &qcow2(None));
    assert_eq!(accepted.exit, Exit::Success);
    let line = "accepted:      yes, as qcow2, with a virtual size of 1073741824 bytes\n";
    assert!(accepted.output.ends_with(line), "{}", accepted.output);

    // Safe, and yet not what it is said to be.
    let refused = run_with(&["inspect", "-", "--disk-format", "vmdk"], &qcow2(None));
    assert_eq!(refused.exit, Exit::Unsafe);
    assert!(
        refused
            .output
            .contains("accepted:      no: the data is qcow2, but disk_format is vmdk"),
        "{}",
        refused.output
    );

    let arguments = ["inspect", "-", "--json", "--disk-format", "raw"];
    let refused = run_with(&arguments, &qcow2(Some("/etc/passwd")));
    assert_eq!(refused.exit, Exit::Unsafe);
    let answer: serde_json::Value = serde_json::from_str(&refused.output).unwrap();
    assert_eq!(
        (&answer["disk_format"], &answer["accepted"]),
        (&"raw".into(), &false.into())
    );
    assert!(answer["refusal"].as_str().unwrap().contains("backing_file"));
}

#[test]
fn looks_into_an_archive_that_is_declared_as_one() {
    let arguments = [
        "inspect",
        "-",
        "--disk-format",
        "vmdk",
        "--container-format",
        "ova",
    ];
    let outcome = run_with(&arguments, b"no archive");
    assert_eq!(outcome.exit, Exit::Unsafe);
    assert!(outcome.output.contains("bad_archive"), "{}", outcome.output);
    let alone = run_with(&["inspect", "-", "--container-format", "ova"], b"");
    assert_eq!(alone.exit, Exit::Usage);
}

#[test]
fn the_help_of_inspect_says_what_its_exit_codes_mean() {
    let help = run_with(&["inspect", "--help"], b"");
    assert_eq!(help.exit, Exit::Success);
    for line in [
        "0   the image is safe",
        "1   it cannot",
        "3   it is not safe",
        "64  wrong",
    ] {
        assert!(help.output.contains(line), "{}", help.output);
    }
}

#[test]
fn an_image_that_cannot_be_read_is_a_failure() {
    let outcome = run_with(&["inspect", "/nowhere/image"], b"");
    assert_eq!(outcome.exit, Exit::Failure);
    assert!(
        outcome
            .errors
            .starts_with("saccade: cannot read /nowhere/image: "),
        "{}",
        outcome.errors
    );
}

#[test]
fn a_closed_standard_output_is_a_failure_and_no_panic() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut errors = Vec::new();
    let mut streams = Streams {
        input: &mut io::empty(),
        output: &mut Closed,
        errors: &mut errors,
    };
    let exit = dispatch(["saccade", "inspect", "-"].map(OsString::from), &mut streams);
    assert_eq!(exit, Exit::Failure);
    assert!(String::from_utf8(errors).unwrap().contains("standard output"));
}

#[test]
fn config_check_shows_what_differs_from_the_default() {
    let outcome = run_with(
        &[
            "config",
            "check",
            "--data-dir",
            "/nowhere",
            "--bind",
            "127.0.0.1:1",
        ],
        b"",
    );
    assert_eq!(outcome.exit, Exit::Success, "{}", outcome.errors);
    assert!(
        outcome.output.contains("--data-dir = \"/nowhere\"") && outcome.output.contains("--bind"),
        "{}",
        outcome.output
    );
}

#[test]
fn a_wrong_configuration_has_an_exit_code_of_its_own() {
    for command in [&["serve"][..], &["config", "check"]] {
        let arguments = [command, &["--data-dir", "/nowhere", "--bind", "here"]].concat();
        let outcome = run_with(&arguments, b"");
        assert_eq!(outcome.exit, Exit::Config);
        assert!(
            outcome.errors.contains("One thing stops the start:") && outcome.errors.contains("--bind"),
            "{}",
            outcome.errors
        );
        assert_eq!(outcome.output, "");
    }
}

#[test]
fn wrong_arguments_are_explained() {
    for arguments in [&["flee"][..], &["inspect"], &["serve", "--daemon"], &[]] {
        let outcome = run_with(arguments, b"");
        assert_eq!(outcome.exit, Exit::Usage, "{arguments:?}");
        assert!(outcome.errors.contains("Usage: saccade"), "{}", outcome.errors);
        assert_eq!(outcome.output, "");
    }
}

#[test]
fn help_and_version_are_answers_and_no_errors() {
    let help = run_with(&["--help"], b"");
    assert_eq!(help.exit, Exit::Success);
    for part in ["serve", "config", "inspect", "Examples:", "SACCADE_LOG"] {
        assert!(help.output.contains(part), "{part} in {}", help.output);
    }
    let version = run_with(&["--version"], b"");
    assert_eq!(version.output, format!("saccade {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn users_and_projects_are_kept_in_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let ask = |arguments: &[&str], input: &[u8]| {
        let outcome = run_with(&[arguments, &["--data-dir", dir]].concat(), input);
        assert_eq!(outcome.exit, Exit::Success, "{arguments:?}: {}", outcome.errors);
        outcome.output
    };
    let too_early = run_with(&["project", "list", "--data-dir", dir], b"");
    assert_eq!(too_early.exit, Exit::Failure);
    assert!(too_early.errors.contains("start it once"), "{}", too_early.errors);
    // As a daemon's first start makes it.
    std::fs::create_dir(std::path::Path::new(dir).join("identity")).unwrap();
    ask(&["project", "add", "demo"], b"");
    assert!(ask(&["project", "list"], b"").contains("demo"));
    let added = ask(
        &["user", "add", "alice", "--project", "demo", "--role", "reader"],
        b"",
    );
    assert!(
        added.contains("password  ") && added.contains("demo:reader"),
        "{added}"
    );
    ask(&["user", "grant", "alice", "demo", "member"], b"");
    ask(&["user", "set", "alice", "disabled"], b"");
    let told = ask(
        &["user", "password", "alice", "--password-stdin"],
        b"correct horse battery\n",
    );
    assert!(!told.contains("correct horse"), "{told}");
    assert!(ask(&["user", "list"], b"").contains("alice"));
    ask(&["user", "remove", "alice"], b"");
    assert!(!ask(&["user", "list"], b"").contains("alice"));
    let again = run_with(&["user", "remove", "alice", "--data-dir", dir], b"");
    assert_eq!(again.exit, Exit::Failure);
    assert!(again.errors.contains("alice"), "{}", again.errors);
}

#[test]
fn users_that_are_kept_elsewhere_are_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("glance-api.conf");
    let keystone = "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_type = password\n\
                    auth_url = http://controller:5000\nuser_id = u\npassword = s3cret\nproject_id = p\n";
    for (text, whose) in [
        (keystone, "Keystone at http://controller:5000"),
        ("[saccade]\nidentity = trusted-headers\n", "the proxy in front"),
        (
            "[saccade]\nidentity = none-everyone-is-admin\n",
            "everyone is an administrator",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        for command in [&["user", "list"][..], &["project", "add", "demo"]] {
            let place = ["--config-file", path, "--data-dir", "/nowhere"];
            let outcome = run_with(&[command, &place].concat(), b"");
            assert_eq!(outcome.exit, Exit::Config);
            assert!(outcome.errors.contains(whose), "{}", outcome.errors);
            assert!(!outcome.errors.contains("s3cret"), "{}", outcome.errors);
        }
    }
}

#[test]
fn an_empty_password_is_no_random_one() {
    let arguments = [
        "user",
        "add",
        "alice",
        "--password-stdin",
        "--data-dir",
        "/nowhere",
    ];
    let outcome = run_with(&arguments, b"\nsecond line");
    assert_eq!(outcome.exit, Exit::Failure);
    assert!(
        outcome.errors.contains("the first line is empty"),
        "{}",
        outcome.errors
    );
}

#[test]
fn roles_are_those_that_exist() {
    let arguments = [
        "user",
        "grant",
        "alice",
        "demo",
        "owner",
        "--data-dir",
        "/nowhere",
    ];
    let outcome = run_with(&arguments, b"");
    assert_eq!(outcome.exit, Exit::Usage);
    assert!(outcome.errors.contains("member"), "{}", outcome.errors);
}

#[test]
fn a_store_that_cannot_be_opened_is_found_by_config_check_and_no_secret_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("glance-api.conf");
    let text = "[saccade]\nidentity = local\n[glance_store]\nstores = s3\ndefault_store = s3\ns3_store_host = h?x\n\
                s3_store_bucket = glance\ns3_store_access_key = AKEXAMPLE\ns3_store_secret_key = verysecret\n";
    std::fs::write(&file, text).unwrap();
    let check = || run_with(&["config", "check", "--config-file", file.to_str().unwrap()], b"");
    let outcome = check();
    assert_eq!(outcome.exit, Exit::Config, "{}", outcome.output);
    assert!(
        outcome.errors.contains("s3_store_host holds more than a host"),
        "{}",
        outcome.errors
    );
    std::fs::write(&file, text.replace("h?x", "https://h")).unwrap();
    let good = check();
    assert_eq!(good.exit, Exit::Success, "{}", good.errors);
    let shown = format!(
        "{}{}{}{}",
        outcome.output, outcome.errors, good.output, good.errors
    );
    assert!(
        !shown.contains("verysecret") && !shown.contains("AKEXAMPLE"),
        "{shown}"
    );
}

#[test]
fn a_swift_store_whose_account_is_incomplete_is_found_by_config_check() {
    let dir = tempfile::tempdir().unwrap();
    let (file, references) = (dir.path().join("glance-api.conf"), dir.path().join("swift.conf"));
    let check = |options: &str| {
        let text = format!(
            "[saccade]\nidentity = local\n[glance_store]\nstores = swift\ndefault_store = swift\n{options}"
        );
        std::fs::write(&file, text).unwrap();
        run_with(&["config", "check", "--config-file", file.to_str().unwrap()], b"")
    };
    let account = "swift_store_auth_address = http://keystone:5000\nswift_store_user = service:glance\n";
    let by_reference = format!("swift_store_config_file = {}\n", references.display());
    let mut shown = String::new();
    for (options, part) in [
        (String::new(), "swift_store_auth_address is missing"),
        (account.to_owned(), "swift_store_key is missing"),
        (
            format!("{account}swift_store_key = verysecret\nswift_store_container = a/b\n"),
            "swift_store_container",
        ),
        (by_reference.clone(), "swift_store_config_file cannot be read"),
        (
            format!("{by_reference}swift_store_multi_tenant = yes\n"),
            "swift_store_multi_tenant",
        ),
    ] {
        let outcome = check(&options);
        assert_eq!(outcome.exit, Exit::Config, "{part}: {}", outcome.output);
        assert!(outcome.errors.contains(part), "{}", outcome.errors);
        shown += &format!("{}{}", outcome.output, outcome.errors);
    }
    let text = "[ref1]\nuser = service:glance\nkey = verysecret\nauth_address = http://keystone:5000\n";
    std::fs::write(&references, text.replace("user", "users")).unwrap();
    let outcome = check(&by_reference);
    assert!(
        outcome
            .errors
            .contains("reference ref1 of swift_store_config_file has no user"),
        "{}",
        outcome.errors
    );
    std::fs::write(&references, text).unwrap();
    for options in [by_reference, format!("{account}swift_store_key = verysecret\n")] {
        let good = check(&options);
        assert_eq!(good.exit, Exit::Success, "{}", good.errors);
        shown += &format!("{}{}", good.output, good.errors);
    }
    assert!(!shown.contains("verysecret"), "{shown}");
}
