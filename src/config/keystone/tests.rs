use super::*;
use crate::config::{
    Config,
    error::{ErrorKind, OptionName},
    settings::Identity,
    tests::{INSTALL_GUIDE, Setup},
};
use std::collections::BTreeMap;

/// Options of the section over a base that is complete; an empty value takes one away.
fn setup(changes: &[(&str, &str)]) -> Setup {
    let mut options = BTreeMap::from([
        ("auth_url", "http://controller:5000"),
        ("auth_type", "password"),
        ("username", "glance"),
        ("password", "s3cret"),
        ("user_domain_name", "Default"),
        ("project_name", "service"),
        ("project_domain_name", "Default"),
    ]);
    options.extend(changes.iter().copied());
    let mut text = "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\n".to_owned();
    for (name, value) in options {
        text.push_str(&format!("{name} = {value}\n"));
    }
    Setup::new().file("glance-api.conf", &text)
}

fn keystone(config: &Config) -> Keystone {
    match &config.identity {
        Identity::Keystone(keystone) => Keystone::clone(keystone),
        other => panic!("{other:?}"),
    }
}

fn with(changes: &[(&str, &str)]) -> Keystone {
    keystone(&setup(changes).loaded().config)
}

/// The names of the options that are to blame, in the order told.
fn blamed(changes: &[(&str, &str)]) -> Vec<String> {
    let errors = setup(changes).errors();
    errors
        .iter()
        .filter_map(|error| error.option.as_ref())
        .map(|option| option.name.clone())
        .collect()
}

fn named(name: &str) -> DomainReference {
    DomainReference::Name(name.to_owned())
}

fn by_id(id: &str) -> DomainReference {
    DomainReference::Id(id.to_owned())
}

fn glance_user(domain: DomainReference) -> UserReference {
    UserReference::Name {
        name: "glance".to_owned(),
        domain,
    }
}

fn service_project(domain: DomainReference) -> LoginScope {
    LoginScope::ProjectName {
        name: "service".to_owned(),
        domain,
    }
}

fn scope(changes: &[(&str, &str)]) -> LoginScope {
    match with(changes).credentials {
        Credentials::Password { scope, .. } => scope,
        other => panic!("{other:?}"),
    }
}

fn user(changes: &[(&str, &str)]) -> UserReference {
    match with(changes).credentials {
        Credentials::Password { user, .. } => user,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_install_guide_is_mapped_with_defaults_of_keystonemiddleware() {
    let loaded = Setup::new().file("glance-api.conf", INSTALL_GUIDE).loaded();
    let seconds = Duration::from_secs;
    let expected = Keystone {
        auth_url: "http://controller:5000".to_owned(),
        credentials: Credentials::Password {
            user: glance_user(named("Default")),
            password: Secret::new("GLANCE_PASS".to_owned()),
            scope: service_project(named("Default")),
        },
        www_authenticate_uri: Some("http://controller:5000".to_owned()),
        interface: Interface::Internal,
        region_name: None,
        tls: Tls {
            cafile: None,
            client: None,
            verification: Verification::Full,
        },
        request_timeout: seconds(10),
        max_retries: 3,
        include_service_catalog: true,
        service_token_roles: vec!["service".to_owned()],
        service_token_roles_required: true,
        service_type: None,
        token_bind: TokenBind::Permissive,
        token_cache_time: Some(seconds(300)),
        memcached: Some(Memcached {
            servers: vec!["controller:11211".to_owned()],
            protection: Protection::None,
            socket_timeout: seconds(3),
            dead_retry: seconds(300),
            pool_maxsize: 10,
            pool_conn_get_timeout: seconds(10),
            pool_unused_timeout: seconds(60),
            tls: None,
            sasl: None,
        }),
    };
    assert_eq!(keystone(&loaded.config), expected);
}

#[test]
fn spelling_out_the_defaults_changes_nothing() {
    let catalogue = crate::config::glance_options::Catalogue::new([]);
    let defaults: Vec<(&str, &str)> = catalogue
        .specs()
        .filter(|spec| spec.group == SECTION)
        .filter_map(|spec| Some((spec.name, spec.default?)))
        .collect();
    assert!(defaults.len() > 10);
    assert_eq!(with(&defaults), with(&[]));
}

#[test]
fn what_kolla_writes_is_mapped() {
    let text = "[DEFAULT]\nlog_file = /var/log/kolla/glance/glance-api.log\nbind_host = 10.0.0.5\nbind_port = 9292\n\
        workers = 5\nenabled_backends = file:file\ncinder_catalog_info = volume:cinder:internalURL\n\
        transport_url = rabbit://openstack:x@10.0.0.5:5672//\n\
        [keystone_authtoken]\nservice_type = image\nwww_authenticate_uri = http://10.0.0.9:5000\n\
        auth_url = http://10.0.0.9:5000\nauth_type = password\nproject_domain_id = default\n\
        user_domain_id = default\nproject_name = service\nusername = glance\npassword = pw\n\
        cafile = /etc/ssl/certs/ca-certificates.crt\nregion_name = RegionOne\n\n\
        memcache_security_strategy = ENCRYPT\nmemcache_secret_key = key\n\
        memcached_servers = 10.0.0.5:11211,inet6:[fd00::6]:11211\n\
        [paste_deploy]\nflavor = keystone\n[glance_store]\ndefault_backend = \"file\"\n\
        [file]\nfilesystem_store_datadir = /var/lib/glance/images/\n\
        [os_glance_tasks_store]\nfilesystem_store_datadir = /var/lib/glance/tasks_work_dir\n\
        [os_glance_staging_store]\nfilesystem_store_datadir = /var/lib/glance/staging\n\
        [oslo_middleware]\nenable_proxy_headers_parsing = True\n\
        [oslo_messaging_notifications]\ndriver = noop\n";
    let loaded = Setup::new().file("glance-api.conf", text).loaded();
    let keystone = keystone(&loaded.config);
    // Glance does not read it from there either.
    let unknown: Vec<_> = loaded
        .warnings
        .iter()
        .flat_map(|warning| &warning.option)
        .collect();
    assert_eq!(unknown, [&OptionName::new("DEFAULT", "cinder_catalog_info")]);
    assert_eq!(keystone.service_type.as_deref(), Some("image"));
    assert_eq!(keystone.region_name.as_deref(), Some("RegionOne"));
    let memcached = keystone.memcached.unwrap();
    assert_eq!(memcached.servers, ["10.0.0.5:11211", "inet6:[fd00::6]:11211"]);
    assert_eq!(
        memcached.protection,
        Protection::Encrypt(Secret::new("key".to_owned()))
    );
}

#[test]
fn what_openstack_helm_devstack_and_puppet_write_is_taken() {
    // `<None>`-like leftovers of templates are empty values.
    let helm = [
        ("auth_version", "v3"),
        ("memcache_security_strategy", "ENCRYPT"),
        ("memcache_secret_key", "key"),
        ("service_token_roles", "service"),
        ("service_token_roles_required", "true"),
        ("service_type", "image"),
        ("region_name", ""),
    ];
    assert_eq!(with(&helm).service_type.as_deref(), Some("image"));
    let devstack = [
        ("interface", "public"),
        ("cafile", "/opt/stack/data/ca-bundle.pem"),
        ("memcached_servers", "localhost:11211"),
        ("identity_uri", "http://10.0.0.1/identity"),
        ("auth_url", "http://10.0.0.1/identity"),
    ];
    assert_eq!(with(&devstack).interface, Interface::Public);
    let puppet = [
        ("project_name", "services"),
        ("auth_url", "https://[fd00:fd00::5]:5000"),
        ("delay_auth_decision", "true"),
        ("cache", "swift.cache"),
        ("memcache_use_advanced_pool", "True"),
        ("http_connect_timeout", "60"),
        ("include_service_catalog", "false"),
    ];
    let puppet = with(&puppet);
    assert_eq!(puppet.request_timeout, Duration::from_secs(60));
    assert!(!puppet.include_service_catalog);
}

#[test]
fn each_option_that_is_missing_is_told_with_a_line_to_write() {
    for (name, example) in [
        ("auth_url", "auth_url = http://controller:5000"),
        ("auth_type", "auth_type = password"),
        ("username", "username = glance"),
        ("password", "password = GLANCE_PASS"),
        ("user_domain_name", "user_domain_name = Default"),
        ("project_name", "project_name = service"),
        ("project_domain_name", "project_domain_name = Default"),
    ] {
        let error = setup(&[(name, "")]).only_error();
        assert_eq!(error.option, Some(OptionName::new(SECTION, name)));
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert!(error.to_string().contains(example), "{error}");
    }
    assert_eq!(
        blamed(&[
            ("username", ""),
            ("password", ""),
            ("project_name", ""),
            ("auth_url", "")
        ]),
        ["username", "password", "project_name", "auth_url"]
    );
    assert_eq!(
        blamed(&[("auth_type", "v3applicationcredential")]),
        ["application_credential_secret", "application_credential_id"]
    );
}

#[test]
fn former_names_hold_and_are_reported() {
    for (present, former, value) in [
        ("auth_type", "auth_plugin", "v3password"),
        ("username", "user-name", "image"),
        ("username", "user_name", "image"),
        ("project_name", "tenant_name", "services"),
        ("project_name", "tenant-name", "services"),
        ("project_id", "tenant_id", "p1"),
        ("project_id", "tenant-id", "p1"),
        ("www_authenticate_uri", "auth_uri", "http://a:5000/v3"),
        ("memcached_servers", "memcache_servers", "m:11211"),
    ] {
        let mut text = INSTALL_GUIDE
            .lines()
            .filter(|line| !line.starts_with(&format!("{present} =")));
        let rest = text.by_ref().collect::<Vec<_>>().join("\n");
        let load = |name: &str| {
            let option = format!("\n[keystone_authtoken]\n{name} = {value}\n");
            let setup = Setup::new().file("glance-api.conf", &format!("{rest}{option}"));
            (setup.config(), setup.loaded())
        };
        let ((old_config, old), (new_config, new)) = (load(former), load(present));
        assert_eq!(old_config, new_config, "{former}");
        assert!(new.warnings.is_empty());
        let warning = old.warnings[0].to_string();
        assert!(
            warning.contains(&format!("former name of [keystone_authtoken] {present}")),
            "{warning}"
        );
    }
}

#[test]
fn credentials_come_from_the_section_that_is_named() {
    let shared = "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_section = $where\npassword = other\n\
        memcached_servers = m:1\n[service_auth]\nauth_type = password\nauth_url = http://k:5000\nuser_name = image\n\
        password = s3cret\nuser_domain_id = default\ntenant_name = service\nproject_domain_id = default\n";
    let setup = Setup::new().file("glance-api.conf", &shared.replace("$where", "service_auth"));
    let loaded = setup.loaded();
    let keystone = keystone(&loaded.config);
    assert_eq!(keystone.auth_url, "http://k:5000");
    assert_eq!(keystone.memcached.unwrap().servers, ["m:1"]);
    let Credentials::Password {
        user,
        password,
        scope,
    } = keystone.credentials
    else {
        panic!("no password")
    };
    let image = UserReference::Name {
        name: "image".to_owned(),
        domain: by_id("default"),
    };
    assert_eq!((user, scope), (image, service_project(by_id("default"))));
    assert_eq!(password.expose(), "s3cret");
    let report = loaded.report.to_string();
    assert!(report.contains("the service does not log in with it"), "{report}");
    let errors = Setup::new()
        .file("glance-api.conf", &shared.replace("$where", "nowhere"))
        .errors();
    assert!(
        errors
            .iter()
            .all(|e| e.option.as_ref().unwrap().group == "nowhere"),
        "{errors:#?}"
    );
}

#[test]
fn the_environment_may_hold_the_password() {
    let setup = setup(&[("password", "")]).env("OS_KEYSTONE_AUTHTOKEN__PASSWORD", "from-env");
    let Credentials::Password { password, .. } = keystone(&setup.loaded().config).credentials else {
        panic!("no password")
    };
    assert_eq!(password.expose(), "from-env");
    assert!(!setup.loaded().report.to_string().contains("from-env"));
}

#[test]
fn users_and_domains_are_found_as_keystoneauth_finds_them() {
    let none = ("user_domain_name", "");
    assert_eq!(user(&[]), glance_user(named("Default")));
    assert_eq!(user(&[("user_domain_id", "d")]), glance_user(by_id("d")));
    assert_eq!(user(&[none, ("default_domain_id", "d")]), glance_user(by_id("d")));
    assert_eq!(
        user(&[none, ("default_domain_name", "D")]),
        glance_user(named("D"))
    );
    assert_eq!(
        user(&[none, ("username", ""), ("user_id", "u")]),
        UserReference::Id("u".to_owned())
    );
}

#[test]
fn a_token_is_for_one_thing() {
    let bare = [("project_name", ""), ("project_domain_name", "")];
    let only = |name, value| scope(&[bare[0], bare[1], (name, value)]);
    assert_eq!(only("project_id", "p"), LoginScope::ProjectId("p".to_owned()));
    assert_eq!(only("domain_id", "d"), LoginScope::Domain(by_id("d")));
    assert_eq!(only("domain_name", "D"), LoginScope::Domain(named("D")));
    assert_eq!(only("trust_id", "t"), LoginScope::Trust("t".to_owned()));
    assert_eq!(only("system_scope", "all"), LoginScope::System);
    assert_eq!(
        scope(&[bare[1], ("default_domain_id", "d")]),
        service_project(by_id("d"))
    );
    assert_eq!(blamed(&bare), ["project_name", "project_domain_name"]);
    assert_eq!(
        blamed(&[bare[0], bare[1], ("system_scope", "some")]),
        ["system_scope"]
    );
    for (name, value) in [("domain_id", "d"), ("trust_id", "t"), ("system_scope", "all")] {
        let error = setup(&[(name, value)]).only_error();
        assert!(error.to_string().contains("keep one"), "{error}");
    }
}

#[test]
fn an_application_credential_needs_no_project() {
    let base = [
        ("auth_type", "v3applicationcredential"),
        ("password", ""),
        ("project_name", ""),
        ("application_credential_secret", "s3cret"),
    ];
    let by_id_of = [&base[..], &[("application_credential_id", "ac")]].concat();
    let loaded = setup(&by_id_of).loaded();
    assert_eq!(loaded.warnings, []);
    let Credentials::ApplicationCredential { credential, secret } = keystone(&loaded.config).credentials
    else {
        panic!("no application credential")
    };
    assert_eq!(credential, ApplicationCredentialReference::Id("ac".to_owned()));
    assert_eq!(secret.expose(), "s3cret");
    let by_name = [
        &base[..],
        &[("application_credential_name", "ac"), ("project_id", "p")],
    ]
    .concat();
    let loaded = setup(&by_name).loaded();
    let Credentials::ApplicationCredential { credential, .. } = keystone(&loaded.config).credentials else {
        panic!("no application credential")
    };
    let expected = ApplicationCredentialReference::Name {
        name: "ac".to_owned(),
        user: glance_user(named("Default")),
    };
    assert_eq!(credential, expected);
    assert!(loaded.warnings[0].to_string().contains("project_id: is not used"));
    assert_eq!(
        blamed(&[&by_name[..], &[("username", "")]].concat()),
        ["username"]
    );
}

#[test]
fn another_way_to_log_in_is_refused_with_those_that_there_are() {
    for plugin in [
        "v2password",
        "token",
        "v3token",
        "v3oidcpassword",
        "none",
        "Password",
        "v3totp",
    ] {
        let error = setup(&[("auth_type", plugin)]).only_error();
        assert_eq!(error.kind, ErrorKind::Value);
        for known in ["password", "v3password", "v3applicationcredential"] {
            assert!(error.to_string().contains(known), "{error}");
        }
    }
}

#[test]
fn values_that_cannot_be_are_refused() {
    for (name, value) in [
        ("auth_url", "controller:5000"),
        ("auth_url", "ftp://controller"),
        ("auth_url", "http://"),
        ("auth_url", "http://u:p@controller:5000"),
        ("auth_url", "http://controller:5000/?x=y"),
        ("auth_url", "http://controller:5000/#x"),
        ("auth_url", "http://controller:5000/v2.0/"),
        ("www_authenticate_uri", "http://a\" b"),
        ("auth_version", "v2.0"),
        ("auth_version", "2"),
        ("auth_version", "v30"),
        ("interface", "internalurl"),
        ("http_connect_timeout", "0"),
        ("http_connect_timeout", "-1"),
        ("http_connect_timeout", "1.5"),
        ("http_request_max_retries", "-1"),
        ("include_service_catalog", "maybe"),
        ("insecure", "2"),
        ("keyfile", "/k.pem"),
        ("enforce_token_bind", ""),
        ("service_token_roles_required", "never"),
        ("token_cache_time", "0"),
        ("token_cache_time", "2592001"),
        ("token_cache_time", "5m"),
        ("memcache_security_strategy", "HMAC"),
        ("memcache_security_strategy", ""),
        ("memcache_pool_maxsize", "0"),
        ("memcache_pool_socket_timeout", "0"),
        ("memcache_pool_dead_retry", "-1"),
        ("memcache_tls_keyfile", "/k.pem"),
        ("memcache_tls_allowed_ciphers", "ALL"),
    ] {
        assert_eq!(blamed(&[(name, value)]), [name], "{value:?}");
    }
}

#[test]
fn values_have_the_meaning_that_keystonemiddleware_gives_them() {
    let seconds = |n| Some(Duration::from_secs(n));
    for (text, time) in [
        ("-1", None),
        ("-300", None),
        ("1", seconds(1)),
        ("2592000", seconds(2_592_000)),
    ] {
        assert_eq!(with(&[("token_cache_time", text)]).token_cache_time, time);
    }
    for (text, interface) in [
        ("public", Interface::Public),
        ("publicURL", Interface::Public),
        ("internalURL", Interface::Internal),
        ("admin", Interface::Admin),
    ] {
        assert_eq!(with(&[("interface", text)]).interface, interface);
    }
    for (text, bind) in [
        ("disabled", TokenBind::Disabled),
        ("strict", TokenBind::Strict),
        ("required", TokenBind::Required),
        ("kerberos", TokenBind::Named("kerberos".to_owned())),
    ] {
        assert_eq!(with(&[("enforce_token_bind", text)]).token_bind, bind);
    }
    for version in ["v3", "3", "v3.0", "3.14", ""] {
        assert_eq!(with(&[("auth_version", version)]), with(&[]), "{version}");
    }
    for url in [
        "https://cloud.example/identity/v3/",
        "http://[::1]:5000",
        "HTTP://Controller",
    ] {
        assert_eq!(with(&[("auth_url", url)]).auth_url, url);
    }
    let roles = with(&[("service_token_roles", "Service, nova ,")]).service_token_roles;
    assert_eq!(roles, ["service", "nova"]);
    let tls = with(&[
        ("cafile", "/ca.pem"),
        ("certfile", "/c.pem"),
        ("keyfile", "/k.pem"),
    ])
    .tls;
    assert_eq!(tls.cafile, Some(PathBuf::from("/ca.pem")));
    let client = ClientCertificate {
        certfile: PathBuf::from("/c.pem"),
        keyfile: Some(PathBuf::from("/k.pem")),
    };
    assert_eq!(tls.client, Some(client));
}

#[test]
fn what_weakens_the_check_of_tokens_is_said_at_every_start() {
    for (name, value) in [("insecure", "true"), ("service_token_roles_required", "false")] {
        let loaded = setup(&[(name, value)]).loaded();
        assert_eq!(loaded.warnings.len(), 1);
        assert_eq!(loaded.warnings[0].option, Some(OptionName::new(SECTION, name)));
    }
}

#[test]
fn memcached_is_used_when_servers_are_named() {
    let servers = ("memcached_servers", "a:11211, unix:/run/m.sock ,");
    assert_eq!(with(&[("memcached_servers", " , ")]).memcached, None);
    let full = with(&[
        servers,
        ("memcache_security_strategy", "mac"),
        ("memcache_secret_key", "key"),
        ("memcache_pool_dead_retry", "0"),
        ("memcache_pool_maxsize", "5"),
        ("memcache_pool_socket_timeout", "1"),
        ("memcache_pool_unused_timeout", "2"),
        ("memcache_pool_conn_get_timeout", "4"),
        ("memcache_tls_enabled", "true"),
        ("memcache_tls_cafile", "/ca.pem"),
        ("memcache_tls_certfile", "/c.pem"),
        ("memcache_sasl_enabled", "true"),
        ("memcache_username", "m"),
        ("memcache_password", "p"),
    ]);
    let secret = |text: &str| Secret::new(text.to_owned());
    let expected = Memcached {
        servers: vec!["a:11211".to_owned(), "unix:/run/m.sock".to_owned()],
        protection: Protection::Mac(secret("key")),
        socket_timeout: Duration::from_secs(1),
        dead_retry: Duration::ZERO,
        pool_maxsize: 5,
        pool_conn_get_timeout: Duration::from_secs(4),
        pool_unused_timeout: Duration::from_secs(2),
        tls: Some(MemcachedTls {
            cafile: Some(PathBuf::from("/ca.pem")),
            client: Some(ClientCertificate {
                certfile: PathBuf::from("/c.pem"),
                keyfile: None,
            }),
        }),
        sasl: Some(Sasl {
            username: "m".to_owned(),
            password: secret("p"),
        }),
    };
    assert_eq!(full.memcached, Some(expected));
    for strategy in ["MAC", "encrypt"] {
        assert_eq!(
            blamed(&[("memcache_security_strategy", strategy)]),
            ["memcache_secret_key"],
            "protection that is asked for has a key"
        );
    }
    assert_eq!(
        blamed(&[servers, ("memcache_sasl_enabled", "true")]),
        ["memcache_username", "memcache_password"]
    );
    let off = with(&[
        servers,
        ("memcache_username", "m"),
        ("memcache_tls_cafile", "/ca.pem"),
    ]);
    let memcached = off.memcached.unwrap();
    assert_eq!((memcached.tls, memcached.sasl), (None, None));
}

#[test]
fn options_of_other_ways_to_log_in_are_listed_and_do_nothing() {
    let loaded = setup(&[
        ("oauth2_client_secret", "s3cret"),
        ("token", "s3cret"),
        ("identity_provider", "i"),
    ])
    .loaded();
    assert_eq!(keystone(&loaded.config), with(&[]));
    let report = loaded.report.to_string();
    assert!(report.contains("belongs to another auth_type"), "{report}");
    assert!(!report.contains("s3cret"), "{report}");
}
