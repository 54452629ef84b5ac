use std::path::Path;

use super::{PropertyOperation as Op, PropertyProtection, RuleFormat};
use crate::{
    identity::{Caller, Scope, Service},
    image::{Image, ImageId, Timestamp},
    policy::{Policy, PolicyFile, PolicyFiles},
};

fn caller(roles: &[&str]) -> Caller {
    Caller {
        user_id: "user".into(),
        user_name: None,
        user_domain_id: None,
        project_id: Some("us".into()),
        project_name: None,
        project_domain_id: None,
        scope: Scope::Project,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        domain_id: None,
        service: None,
        is_admin_project: true,
    }
}

fn parse(text: &str, format: RuleFormat) -> Result<(PropertyProtection, Vec<String>), String> {
    PropertyProtection::parse(Path::new("pp.conf"), text, format).map_err(|error| error.to_string())
}

fn roles(text: &str) -> PropertyProtection {
    parse(text, RuleFormat::Roles).unwrap().0
}

/// What a caller of these roles may do with the property: letters of the operations, in the file's order.
fn may(protection: &PropertyProtection, held: &[&str], name: &str) -> String {
    let (policy, caller) = (Policy::with_defaults(), caller(held));
    let access = protection.access(&policy, &caller);
    [
        (Op::Create, 'c'),
        (Op::Read, 'r'),
        (Op::Update, 'u'),
        (Op::Delete, 'd'),
    ]
    .into_iter()
    .filter(|(operation, _)| access.may(*operation, name))
    .map(|(_, letter)| letter)
    .collect()
}

/// A section whose four operations are given.
fn section(pattern: &str, [create, read, update, delete]: [&str; 4]) -> String {
    format!("[{pattern}]\ncreate = {create}\nread = {read}\nupdate = {update}\ndelete = {delete}\n")
}

#[test]
fn without_a_file_everybody_may_do_everything() {
    assert_eq!(may(&PropertyProtection::none(), &[], "x"), "crud");
}

#[test]
fn the_first_section_that_is_found_decides_and_without_one_nobody_may() {
    let text = section("^x_billing", ["admin", "admin,Billing", "admin", "!"])
        + &section("^x_", ["@", "@", "member", "member"]);
    let protection = roles(&text);
    assert_eq!(may(&protection, &["member"], "x_billing_code"), "");
    assert_eq!(may(&protection, &["billing"], "x_billing_code"), "r");
    assert_eq!(may(&protection, &["admin"], "x_billing_code"), "cru");
    assert_eq!(may(&protection, &["member"], "x_other"), "crud");
    assert_eq!(may(&protection, &["reader"], "x_other"), "cr");
    assert_eq!(may(&protection, &["admin"], "os_type"), "");
}

#[test]
fn a_pattern_is_searched_for_anywhere_in_the_name() {
    let protection = roles(&section("license", ["@", "@", "@", "@"]));
    assert_eq!(may(&protection, &[], "os_license_key"), "crud");
    assert_eq!(may(&protection, &[], "os_key"), "");
}

#[test]
fn the_services_own_properties_are_open_whatever_the_file_says() {
    let text = section("os_glance.*", ["!", "!", "!", "!"]) + &section(".*", ["!", "!", "!", "!"]);
    let (protection, warnings) = parse(&text, RuleFormat::Roles).unwrap();
    assert_eq!(may(&protection, &[], "os_glance_failed_import"), "crud");
    assert_eq!(may(&protection, &[], "my_os_glance"), "");
    assert_eq!(
        warnings,
        ["pp.conf:1: [os_glance.*] has no effect: the service's own properties are not protected"]
    );
}

#[test]
fn roles_of_the_calling_service_count() {
    let protection = roles(&section("x", ["nova", "@", "!", "!"]));
    let policy = Policy::with_defaults();
    let mut caller = caller(&["member"]);
    assert!(!protection.access(&policy, &caller).may(Op::Create, "x"));
    caller.service = Some(Service {
        roles: vec!["nova".to_owned()],
        ..Service::default()
    });
    assert!(protection.access(&policy, &caller).may(Op::Create, "x"));
}

#[test]
fn what_may_not_be_read_is_not_shown() {
    let text = section("secret", ["!", "admin", "!", "!"]) + &section(".*", ["@", "@", "@", "@"]);
    let protection = roles(&text);
    let mut image = Image::new(ImageId::random(), Timestamp::now());
    for name in ["secret_1", "open", "os_glance_x"] {
        image.properties.insert(name.to_owned(), "v".to_owned());
    }
    let policy = Policy::with_defaults();
    let names = |held: &[&str]| {
        let caller = caller(held);
        let shown = protection.access(&policy, &caller).shown(image.clone());
        shown.properties.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names(&["member"]), ["open", "os_glance_x"]);
    assert_eq!(names(&["admin"]), ["open", "os_glance_x", "secret_1"]);
}

#[test]
fn the_file_is_read_as_pythons_configparser_reads_it() {
    let text = "# a comment\n[DEFAULT]\ndelete = !\n\n[^a]\n; another\nCREATE: admin,\n   member\nread=@\nUpdate = admin # x\n\
                [^b[cd]$]\ncreate = @\nread = @\nupdate = @\n";
    let protection = roles(text);
    assert_eq!(may(&protection, &["member"], "a1"), "cr");
    assert_eq!(
        may(&protection, &["admin"], "a1"),
        "cr",
        "comments within a line are part of it"
    );
    assert_eq!(may(&protection, &[], "bd"), "cru");
    assert_eq!(may(&protection, &[], "bdd"), "");
}

#[test]
fn an_operation_left_empty_is_nobodys_and_warned_of() {
    let (protection, warnings) = parse(&section("x", ["", "@", "@", "@"]), RuleFormat::Roles).unwrap();
    assert_eq!(may(&protection, &["admin"], "x"), "rud");
    assert_eq!(warnings, ["pp.conf:2: [x] create is empty: nobody may"]);
    let (_, warnings) = parse("", RuleFormat::Roles).unwrap();
    assert_eq!(warnings.len(), 1);
}

#[test]
fn what_cannot_be_understood_stops_the_start_and_is_told_with_its_line() {
    let all = ["@", "@", "@", "@"];
    for (text, said) in [
        (
            "create = @\n".to_owned(),
            "pp.conf:1: an option stands before the first section",
        ),
        (
            "[x\n".to_owned(),
            "pp.conf:1: a section is its pattern in square brackets",
        ),
        ("[]\n".to_owned(), "pp.conf:1: a section is its pattern"),
        (
            "[x]\nread\n".to_owned(),
            "pp.conf:2: neither a section nor an option",
        ),
        (
            "[x]\n= @\n".to_owned(),
            "pp.conf:2: there is no option before the value",
        ),
        (
            "[x]\nread = @\nread = !\n".to_owned(),
            "pp.conf:3: the option is there twice",
        ),
        (
            section("x", all) + &section("x", all),
            "pp.conf:6: [x] is there twice",
        ),
        (
            "[x]\ncreate = @\nread = @\nupdate = @\n".to_owned(),
            "pp.conf:1: [x] delete is missing",
        ),
        (
            section("x", ["@", "@, !", "@", "@"]),
            "pp.conf:3: [x] read cannot be permitted to everybody (@) and to nobody (!)",
        ),
        (
            section("x", ["@", "%(y)s", "@", "@"]),
            "pp.conf:3: [x] read contains %",
        ),
        (
            section("x(", all),
            "pp.conf:1: [x(] is not a regular expression that can be used here: unclosed group",
        ),
        (
            section("^(?!x)", all),
            "pp.conf:1: [^(?!x)] is not a regular expression that can be used here: look-around",
        ),
        (
            section(r"(a)\1", all),
            r"pp.conf:1: [(a)\1] is not a regular expression that can be used here: backreferences",
        ),
        (section("[+--]", all), "-- within [] means something else"),
    ] {
        let error = parse(&text, RuleFormat::Roles).unwrap_err();
        assert!(error.contains(said), "{text:?}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn patterns_mean_what_they_mean_in_python() {
    for (pattern, found, not_found) in [
        (r"^x_\w+$", "x_a\n", "x_a\nb"),
        (r"^x\Z", "x", "x\n"),
        (r"^[[a]$", "[", "b"),
        (r"^[a&&b]$", "&", "c"),
        (r"^[]x]$", "]", "y"),
        (r"^[^]x]$", "y", "]"),
        (r"^\<x\>$", "<x>", "x"),
        (r"(?i)^ABC", "abcd", "xabc"),
        (r"^[[:alpha:]]$", "a]", "b"),
    ] {
        let protection = roles(&section(pattern, ["@", "@", "@", "@"]));
        assert_eq!(may(&protection, &[], found), "crud", "{pattern} {found:?}");
        assert_eq!(may(&protection, &[], not_found), "", "{pattern} {not_found:?}");
    }
}

/// The defaults with a policy file, as the daemon loads it for this protection.
fn policy(text: &str, protection: &PropertyProtection) -> (Policy, Vec<crate::policy::Warning>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.yaml");
    std::fs::write(&path, text).unwrap();
    Policy::load(&PolicyFiles {
        file: PolicyFile::Required(path),
        asked: protection.rules(),
        ..PolicyFiles::default()
    })
    .unwrap()
}

#[test]
fn rules_of_the_policy_file_decide_where_the_file_names_them() {
    let text = section("^x_", ["Billing", "@", "Billing", "!"]);
    let (protection, _) = parse(&text, RuleFormat::Policies).unwrap();
    assert_eq!(protection.rules(), ["Billing"]);
    let (policy, warnings) = policy("Billing: role:billing or user_id:root\n", &protection);
    assert_eq!(warnings, [], "the rule is not taken for unused");
    protection.check(&policy).unwrap();
    let may = |roles: &[&str], operation| {
        let caller = caller(roles);
        protection.access(&policy, &caller).may(operation, "x_a")
    };
    assert!(may(&["billing"], Op::Create) && may(&["billing"], Op::Update));
    assert!(!may(&["admin"], Op::Create) && may(&["admin"], Op::Read) && !may(&["admin"], Op::Delete));
}

#[test]
fn a_rule_that_is_not_defined_stops_the_start_and_never_permits() {
    let (protection, _) = parse(&section("x", ["@", "typo", "@", "@"]), RuleFormat::Policies).unwrap();
    let (policy, _) = policy("default: '@'\n", &protection);
    let error = protection.check(&policy).unwrap_err();
    assert_eq!(
        error.to_string(),
        "property protection, pp.conf:1: [x] read names the rule typo, which no policy file defines"
    );
    let caller = caller(&["admin"]);
    assert!(!protection.access(&policy, &caller).may(Op::Read, "x"));
}

#[test]
fn several_rules_for_one_operation_are_refused() {
    let error = parse(&section("x", ["@", "a,b", "@", "@"]), RuleFormat::Policies).unwrap_err();
    assert!(
        error.ends_with("read names several rules: combine them in the policy file"),
        "{error}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = PropertyProtection::load(Path::new("/nonexistent/pp.conf"), RuleFormat::Roles).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the property protection file /nonexistent/pp.conf"
    );
}

#[test]
fn the_sample_file_is_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/property-protection.conf");
    let (protection, warnings) = PropertyProtection::load(&path, RuleFormat::Roles).unwrap();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(may(&protection, &["member"], "x_billing_code"), "");
    assert_eq!(may(&protection, &["member"], "x_origin"), "cr");
    assert_eq!(may(&protection, &["member"], "hw_disk_bus"), "crud");
}
