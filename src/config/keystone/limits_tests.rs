use super::*;
use crate::config::{
    Limits,
    error::{ErrorKind, OptionName},
    settings::ByteSize,
    tests::Setup,
};

const COMPLETE: &str = "auth_type = password\nauth_url = http://k:5000\nusername = glance\nuser_domain_name = Default\n\
                        password = s3cret\nsystem_scope = all\nendpoint_service_type = image\nendpoint_region_name = R1\n";

fn setup(default: &str, oslo_limit: &str) -> Setup {
    let text = format!("[saccade]\nidentity = local\n[DEFAULT]\n{default}\n[oslo_limit]\n{oslo_limit}");
    Setup::new().file("glance-api.conf", &text)
}

fn unified(oslo_limit: &str) -> UnifiedLimits {
    let loaded = setup("use_keystone_limits = true", oslo_limit).loaded();
    assert_eq!(loaded.warnings, []);
    match loaded.config.limits {
        Limits::Keystone(limits) => *limits,
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_of_keystone_are_asked_for_with_a_login_of_their_own() {
    let limits = unified(COMPLETE);
    assert_eq!(limits.auth_url, "http://k:5000");
    assert_eq!((limits.interface, limits.region_name), (Interface::Public, None));
    assert!(matches!(
        limits.credentials,
        Credentials::Password {
            scope: LoginScope::System,
            ..
        }
    ));
    assert_eq!(
        limits.endpoint,
        LimitsEndpoint::OfService {
            service_type: Some("image".into()),
            service_name: None,
            region: Some("R1".into()),
            interface: Interface::Public,
        }
    );
    let more = "valid_interfaces = internal,public\nregion_name = R2\ntimeout = 2.5\nconnect_retries = 4\nendpoint_id = e\n";
    let limits = unified(&format!("{COMPLETE}{more}"));
    assert_eq!(limits.interface, Interface::Internal);
    assert_eq!(limits.region_name.as_deref(), Some("R2"));
    assert_eq!(
        (limits.request_timeout, limits.max_retries),
        (Duration::from_millis(2500), 4)
    );
    assert_eq!(limits.endpoint, LimitsEndpoint::Id("e".into()));
}

#[test]
fn all_that_is_missing_is_told_at_once() {
    let errors = setup("use_keystone_limits = true", "").errors();
    let names: Vec<_> = errors
        .iter()
        .filter_map(|error| Some(error.option.as_ref()?.name.as_str()))
        .collect();
    for name in ["auth_type", "auth_url", "username", "password", "endpoint_id"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(errors.iter().all(|error| error.kind == ErrorKind::Conflict));
    assert!(
        errors[0].to_string().contains("use_keystone_limits needs it"),
        "{}",
        errors[0]
    );
}

#[test]
fn a_login_that_sees_only_its_own_project_is_warned_of() {
    let project = COMPLETE.replace(
        "system_scope = all",
        "project_name = service\nproject_domain_name = Default",
    );
    let loaded = setup("use_keystone_limits = true", &project).loaded();
    assert_eq!(
        loaded.warnings[0].option,
        Some(OptionName::new("oslo_limit", "system_scope"))
    );
}

#[test]
fn the_section_means_nothing_while_keystone_keeps_no_limits() {
    let loaded = setup("user_storage_quota = 5GB", COMPLETE).loaded();
    assert_eq!(
        loaded.config.limits,
        Limits::Configured(Some(ByteSize::from_bytes(5 << 30)))
    );
    let both = setup("use_keystone_limits = true\nuser_storage_quota = 5GB", COMPLETE).loaded();
    assert!(matches!(both.config.limits, Limits::Keystone(_)));
    assert!(both.warnings[0].to_string().contains("does not hold"));
}

#[test]
fn a_storage_quota_is_read_as_glance_reads_it() {
    for (text, bytes) in [
        ("0", None),
        ("0TB", None),
        ("1000", Some(1000)),
        ("7B", Some(7)),
        ("2KB", Some(2048)),
        ("3MB", Some(3 << 20)),
        ("1TB", Some(1 << 40)),
    ] {
        let limits = setup(&format!("user_storage_quota = {text}"), "").config().limits;
        assert_eq!(
            limits,
            Limits::Configured(bytes.map(ByteSize::from_bytes)),
            "{text}"
        );
    }
    for text in ["", "GB", "5 GB", "5gb", "5GiB", "-1", "1.5GB", "99999999TB"] {
        let error = setup(&format!("user_storage_quota = {text}"), "").only_error();
        assert_eq!(error.kind, ErrorKind::Value, "{text}");
    }
}
