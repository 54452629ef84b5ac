//! Attempts to have callers let in unasked.

use super::{
    identity::NOBODY,
    tests::{INSTALL_GUIDE, Setup},
    *,
};
use proptest::prelude::*;

const CREDENTIALS: &str = "[keystone_authtoken]\nauth_url = http://controller:5000\nauth_type = password\n\
    username = glance\npassword = s3cret\nuser_domain_name = Default\nproject_name = service\n\
    project_domain_name = Default\n";

fn setup(text: &str) -> Setup {
    Setup::new().file("glance-api.conf", text)
}

fn flavor(flavor: &str) -> String {
    format!("[paste_deploy]\nflavor = {flavor}\n{CREDENTIALS}")
}

#[test]
fn every_flavor_of_keystone_asks_keystone_and_opens_the_port() {
    for name in ["keystone", "keystone+caching", "keystone+cachemanagement"] {
        let text = format!("[DEFAULT]\nimage_cache_dir = /c\n{}", flavor(name));
        let loaded = setup(&text).loaded();
        assert!(matches!(loaded.config.identity, Identity::Keystone(_)), "{name}");
        assert_eq!(loaded.config.server.bind.to_string(), "0.0.0.0:9292");
        assert_eq!(loaded.warnings, []);
    }
    let elsewhere = setup(&format!("[DEFAULT]\nbind_port = 19292\n{}", flavor("keystone")));
    assert_eq!(elsewhere.loaded().config.server.bind.to_string(), "0.0.0.0:19292");
}

#[test]
fn a_flavor_that_asks_nobody_is_refused_until_someone_is_named() {
    for text in [
        "# all defaults\n".to_owned(),
        flavor(""),
        flavor("caching"),
        flavor("cachemanagement"),
        flavor("trusted-auth"),
    ] {
        let setup = setup(&text);
        let error = setup.only_error();
        assert_eq!(
            error.option,
            Some(OptionName::new("saccade", "identity")),
            "{text}"
        );
        for part in ["flavor = keystone", "identity = local", "trusted-headers", NOBODY] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

#[test]
fn a_flavor_that_nobody_knows_is_refused_whoever_is_named() {
    for text in [flavor("Keystone"), flavor("keystone+audit"), flavor("none")] {
        for named in ["", "[saccade]\nidentity = local\n"] {
            let error = setup(&format!("{text}{named}")).only_error();
            assert_eq!(
                error.option,
                Some(OptionName::new("paste_deploy", "flavor")),
                "{text}"
            );
        }
    }
}

#[test]
fn keystone_can_be_named_where_the_flavor_asks_nobody() {
    let text = format!("[saccade]\nidentity = keystone\n{CREDENTIALS}");
    let loaded = setup(&text).loaded();
    assert!(matches!(loaded.config.identity, Identity::Keystone(_)));
    assert!(loaded.report.to_string().contains("[saccade] identity says so"));
    let errors = setup("[saccade]\nidentity = keystone\n").errors();
    assert!(errors.iter().all(|error| error.kind == ErrorKind::Conflict));
    assert!(errors.len() >= 5, "{errors:#?}");
}

#[test]
fn everyone_is_an_administrator_only_by_name_and_with_a_warning() {
    let by_name = format!("[saccade]\nidentity = {NOBODY}\n");
    for text in [by_name.clone(), format!("{by_name}{}", flavor("caching"))] {
        let loaded = setup(&text).loaded();
        assert_eq!(loaded.config.identity, Identity::NoneEveryoneIsAdmin);
        assert_eq!(loaded.config.server.bind.to_string(), "127.0.0.1:9292");
        let warning = loaded.warnings[0].to_string();
        assert!(
            warning.contains("127.0.0.1:9292") && warning.contains("every image"),
            "{warning}"
        );
    }
    let open = setup(&format!("{by_name}[DEFAULT]\nbind_host = 192.0.2.1\n")).loaded();
    assert!(open.warnings[0].to_string().contains("192.0.2.1:9292"));
    let error = setup(&format!("{by_name}{}", flavor("keystone"))).only_error();
    assert_eq!(error.kind, ErrorKind::Conflict);
}

#[test]
fn a_slip_in_the_name_of_an_identity_is_an_error() {
    for name in ["none", "Keystone", "noauth", ""] {
        let error = setup(&format!("[saccade]\nidentity = {name}\n{}", flavor("keystone"))).only_error();
        assert_eq!(
            error.option,
            Some(OptionName::new("saccade", "identity")),
            "{name:?}"
        );
    }
}

#[test]
fn an_incomplete_section_stops_the_start_and_all_that_is_missing_is_told() {
    let errors = Setup::new().env("OS_PASTE_DEPLOY__FLAVOR", "keystone").errors();
    let missing: Vec<String> = errors
        .iter()
        .filter_map(|error| error.option.as_ref())
        .map(|option| option.name.clone())
        .collect();
    assert_eq!(
        missing,
        [
            "auth_type",
            "username",
            "user_domain_name",
            "password",
            "project_name",
            "project_domain_name",
            "auth_url"
        ]
    );
    assert!(
        errors[0].to_string().contains("`auth_type = password`"),
        "{}",
        errors[0]
    );
}

#[test]
fn a_section_taken_for_credentials_or_a_store_hides_no_guarded_option() {
    for more in [
        "[keystone_authtoken]\nauth_section = database\n",
        "[DEFAULT]\nenabled_backends = database:file\n[glance_store]\ndefault_backend = database\n",
    ] {
        let text = format!("[saccade]\nidentity = local\n[database]\nconnection = mysql://db\n{more}");
        let errors = setup(&text).errors();
        assert!(
            errors
                .iter()
                .any(|error| error.option == Some(OptionName::new("database", "connection"))),
            "{errors:#?}"
        );
    }
}

#[test]
fn secrets_show_nowhere() {
    let text = format!(
        "{INSTALL_GUIDE}[keystone_authtoken]\npassword = s3cret-one\nmemcache_security_strategy = MAC\n\
         memcache_secret_key = s3cret-two\nmemcache_sasl_enabled = true\nmemcache_username = m\n\
         memcache_password = s3cret-three\n"
    );
    let loaded = setup(&text).loaded();
    let shown = format!("{loaded:?} {:#?} {}", loaded.config, loaded.report);
    assert!(!shown.contains("s3cret"), "{shown}");
    let broken = format!("{text}token_cache_time = $memcache_password\nauth_url = http://u:s3cret@h/\n");
    let errors = setup(&broken).errors();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(!format!("{errors:?} {}", explain(&errors)).contains("s3cret"));
}

/// Lines that change who the callers are, or try to.
fn line() -> impl Strategy<Value = String> {
    let flavors = prop_oneof!["", "keystone", "keystone\\+caching", "caching", "[a-z+]{0,12}"];
    prop_oneof![
        flavors
            .clone()
            .prop_map(|f| format!("[paste_deploy]\nflavor = {f}\n")),
        flavors.prop_map(|f| format!("[PASTE_deploy]\nflavor: {f}\n")),
        "\\[paste_deploy\\]\nconfig_file = [a-z/.-]{0,14}\n",
        Just(CREDENTIALS.to_owned()),
        "\\[keystone_authtoken\\]\n(auth_type|auth_url|password|auth_section|delay_auth_decision) = [a-z0-9:/]{0,9}\n",
        "\\[DEFAULT\\]\n(enabled_backends|auth_strategy|bind_host) = [a-z0-9.:_]{0,12}\n",
        "\\[saccade\\]\n(accept_unsupported|accept_paste_filters) = [a-z._,]{0,20}\n",
        "[a-z\\[\\] =]{0,8}\n",
    ]
}

proptest! {
    #[test]
    fn no_text_starts_without_keystone_unless_an_identity_is_named(
        lines in proptest::collection::vec(line(), 0..8),
        env in proptest::option::of("keystone|caching|"),
    ) {
        let mut setup = setup(&format!("[DEFAULT]\n{}", lines.concat()));
        if let Some(env) = env {
            setup = setup.env("OS_PASTE_DEPLOY__FLAVOR", &env);
        }
        match load(&setup.sources) {
            Ok(loaded) => prop_assert!(matches!(loaded.config.identity, Identity::Keystone(_)), "{lines:?}"),
            Err(errors) => prop_assert!(!errors.is_empty()),
        }
    }

    #[test]
    fn with_a_flavor_of_keystone_only_a_named_identity_stands_in_for_it(
        lines in proptest::collection::vec(line(), 0..6),
        named in proptest::option::of(prop_oneof![
            Just("local"), Just("trusted-headers"), Just("keystone"), Just(NOBODY), Just("x"),
        ]),
    ) {
        let last = "[paste_deploy]\nflavor = keystone\n";
        let named_line = named.map_or(String::new(), |name| format!("[saccade]\nidentity = {name}\n"));
        let setup = setup(&format!("{}{named_line}{last}", lines.concat()));
        if let Ok(loaded) = load(&setup.sources) {
            let expected = match loaded.config.identity {
                Identity::Keystone(_) => named.is_none() || named == Some("keystone"),
                Identity::Local { .. } => named == Some("local"),
                Identity::TrustedHeaders { .. } => named == Some("trusted-headers"),
                Identity::NoneEveryoneIsAdmin => false,
            };
            prop_assert!(expected, "{lines:?} {named:?}");
        }
    }
}
