use super::*;
use std::{collections::BTreeSet, fs, time::Duration};
use tempfile::TempDir;

/// A directory of configuration files, and what is loaded from them.
pub(super) struct Setup {
    pub(super) dir: TempDir,
    pub(super) sources: Sources,
}

impl Setup {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = vec![("HOME".to_owned(), "/home/op".to_owned())];
        Self {
            dir,
            sources: Sources {
                env,
                ..Sources::default()
            },
        }
    }

    pub(super) fn file(mut self, name: &str, text: &str) -> Self {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        self.sources.files.push(path);
        self
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn loaded(&self) -> Loaded {
        load(&self.sources).unwrap_or_else(|errors| panic!("{errors:#?}"))
    }

    /// What holds, with the places of policy files as seen from the directory of the configuration.
    pub(super) fn config(&self) -> Config {
        let mut config = self.loaded().config;
        let relative = |path: &mut PathBuf| {
            if let Ok(rest) = path.strip_prefix(self.dir.path()) {
                *path = rest.to_owned();
            }
        };
        if let PolicyFile::Stock(places) = &mut config.policy.file {
            places.iter_mut().for_each(relative);
        }
        config.policy.dirs.iter_mut().flatten().for_each(relative);
        config
    }

    pub(super) fn errors(&self) -> Vec<ConfigError> {
        load(&self.sources).map(|loaded| loaded.config).unwrap_err()
    }

    pub(super) fn only_error(&self) -> ConfigError {
        let mut errors = self.errors();
        assert_eq!(errors.len(), 1, "{errors:#?}");
        errors.remove(0)
    }
}

const LOCAL: &str = "[saccade]\nidentity = local\n";

pub(super) fn glance(text: &str) -> Setup {
    Setup::new().file("glance-api.conf", &format!("{LOCAL}{text}"))
}

pub(super) const INSTALL_GUIDE: &str = "\
[DEFAULT]
log_file = /var/log/glance/api.log
bind_host = 192.0.2.10
workers = 4
transport_url = rabbit://openstack:RABBIT_PASS@controller
[glance_store]
stores = file,http
default_store = file
filesystem_store_datadir = /srv/images/
[keystone_authtoken]
www_authenticate_uri = http://controller:5000
auth_url = http://controller:5000
memcached_servers = controller:11211
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = glance
password = GLANCE_PASS
[oslo_messaging_notifications]
driver = noop
[paste_deploy]
flavor = keystone
config_file = /usr/share/glance/glance-api-paste.ini
";

#[test]
fn nothing_at_all_gives_a_private_daemon_with_local_identity() {
    let config = Setup::new().loaded().config;
    assert_eq!(config.server.bind.to_string(), "127.0.0.1:9292");
    assert_eq!(
        config.node.data_dir,
        PathBuf::from("/home/op/.local/share/saccade")
    );
    let StoreDriver::File(store) = &config.stores.list[0].driver else {
        panic!("another driver")
    };
    assert_eq!(
        store.datadirs[0].path,
        PathBuf::from("/home/op/.local/share/saccade/images")
    );
    assert_eq!(
        config.identity,
        Identity::Local {
            token_lifetime: Duration::from_secs(86_400)
        }
    );
    assert_eq!(
        Setup::new().loaded().report.to_string(),
        "Callers: users and tokens of Saccade itself (no Glance configuration is given)\n\
         Listens on: 127.0.0.1:9292\n\nEvery option has its default.\n"
    );
}

#[test]
fn defaults_are_those_that_glance_registers() {
    let catalogue = Catalogue::new(saccade::OPTIONS.iter().copied());
    let mut text = String::new();
    let left_out = ["enabled_backends", "identity"];
    for group in [
        "DEFAULT",
        "glance_store",
        "image_format",
        "oslo_policy",
        "oslo_middleware",
        "saccade",
    ] {
        text.push_str(&format!("[{group}]\n"));
        for spec in catalogue
            .specs()
            .filter(|s| s.group == group && !left_out.contains(&s.name))
        {
            let read = group == "saccade" || support::support(spec) == support::Support::Honoured;
            if let Some(default) = spec.default.filter(|_| read) {
                let default = if spec.name == "enabled_import_methods" {
                    format!("[{default}]")
                } else {
                    default.into()
                };
                text.push_str(&format!("{} = {default}\n", spec.name));
            }
        }
    }
    assert_eq!(glance(&text).config(), glance("[DEFAULT]\n").config());
}

#[test]
fn exactly_the_honoured_options_are_read() {
    let raw_sources = glance("[DEFAULT]\n").sources;
    let asked = |text: &str| {
        let setup = Setup {
            sources: raw_sources.clone(),
            dir: tempfile::tempdir().unwrap(),
        }
        .file("x.conf", text);
        let setup = Setup {
            sources: Sources {
                files: setup.sources.files[1..].to_vec(),
                ..setup.sources
            },
            ..setup
        };
        let (raw, errors) = Raw::read(&setup.sources);
        let mut reader = Reader::new(&raw, Catalogue::new(saccade::OPTIONS.iter().copied()), errors);
        let built = build(&mut reader, &setup.sources);
        check::every_option(&mut reader, built.callers.map(|choice| choice.kind));
        reader.asked
    };
    let mut read = asked(LOCAL);
    read.extend(asked(
        "[DEFAULT]\nenabled_backends = a:file,web:http,s:s3,w:swift\n",
    ));
    read.extend(asked("[glance_store]\nstores = file,http,s3,swift\n"));
    read.extend(asked(INSTALL_GUIDE));
    read.extend(asked("[DEFAULT]\nuse_keystone_limits = true\n"));
    let catalogue = Catalogue::new(saccade::OPTIONS.iter().copied());
    let promised: BTreeSet<_> = catalogue
        .specs()
        .filter(|spec| spec.group == "saccade" || support::support(spec) == support::Support::Honoured)
        .map(|spec| (spec.group, spec.name))
        .collect();
    assert_eq!(read, promised);
}

#[test]
fn the_configuration_of_the_install_guide_loads_as_it_is() {
    let setup = Setup::new().file("glance-api.conf", INSTALL_GUIDE);
    let loaded = setup.loaded();
    assert!(matches!(loaded.config.identity, Identity::Keystone(_)));
    assert_eq!(loaded.config.server.bind.to_string(), "192.0.2.10:9292");
    let StoreDriver::File(store) = &loaded.config.stores.list[0].driver else {
        panic!("another driver")
    };
    assert_eq!(store.datadirs[0].path, PathBuf::from("/srv/images/"));
    assert_eq!(loaded.warnings, []);
    let report = loaded.report.to_string();
    assert!(
        report.contains("Callers: tokens of Keystone ([paste_deploy] flavor = \"keystone\")"),
        "{report}"
    );
    assert!(report.contains("[keystone_authtoken] auth_url"), "{report}");
    for secret in ["RABBIT_PASS", "GLANCE_PASS"] {
        assert!(!format!("{report} {loaded:?}").contains(secret), "{report}");
    }

    let loaded = setup.file("saccade.conf", LOCAL).loaded();
    assert!(matches!(loaded.config.identity, Identity::Local { .. }));
    let warnings: Vec<String> = loaded.warnings.iter().map(Warning::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("instead of Keystone"), "{warnings:?}");
    assert!(
        warnings[1].contains("[keystone_authtoken] is ignored"),
        "{warnings:?}"
    );
    assert!(!loaded.report.to_string().contains("GLANCE_PASS"));
}

#[test]
fn a_file_of_our_own_section_alone_is_no_glance_configuration() {
    let loaded = Setup::new()
        .file("saccade.conf", "[saccade]\ndata_dir = /data\n")
        .loaded();
    let StoreDriver::File(store) = &loaded.config.stores.list[0].driver else {
        panic!("another driver")
    };
    assert_eq!(store.datadirs[0].path, PathBuf::from("/data/images"));
}

#[test]
fn headers_are_not_trusted_from_an_open_network_unless_said_so() {
    let text = "[saccade]\nidentity = trusted-headers\n[DEFAULT]\nbind_host = 0.0.0.0\n";
    let error = Setup::new().file("a.conf", text).only_error();
    assert_eq!(error.kind, ErrorKind::Conflict);
    let text = format!("{text}[saccade]\ntrusted_headers_allow_remote = yes\n");
    let identity = Setup::new().file("a.conf", &text).loaded().config.identity;
    assert_eq!(
        identity,
        Identity::TrustedHeaders {
            from: TrustedPeers::Any
        }
    );
    let mut flag = Setup::new().file("a.conf", "[saccade]\nidentity = trusted-headers\n");
    flag.sources.overrides.bind = Some("[::]:9292".to_owned());
    assert_eq!(flag.only_error().kind, ErrorKind::Conflict);
}

#[test]
fn a_later_file_wins_and_the_environment_over_both() {
    let setup = glance("[DEFAULT]\napi_limit_max = 10\n")
        .file("b.conf", "[DEFAULT]\napi_limit_max = 20\napi_limit_max = 30\n");
    assert_eq!(setup.loaded().config.api.api_limit_max, 30);
    let setup = setup.env("OS_DEFAULT__API_LIMIT_MAX", "40");
    assert_eq!(setup.loaded().config.api.api_limit_max, 40);
    assert!(
        setup
            .loaded()
            .report
            .to_string()
            .contains("environment variable OS_DEFAULT__API_LIMIT_MAX")
    );
}

#[test]
fn a_directory_is_read_after_the_files_in_the_order_of_names() {
    let mut setup = glance("[DEFAULT]\napi_limit_max = 10\n");
    let dir = setup.dir.path().join("conf.d");
    fs::create_dir(&dir).unwrap();
    for (name, limit) in [
        ("20.conf", 20),
        ("10.conf", 15),
        (".99.conf", 99),
        ("99.conf.bak", 99),
    ] {
        fs::write(dir.join(name), format!("[DEFAULT]\napi_limit_max = {limit}\n")).unwrap();
    }
    setup.sources.dirs.push(dir);
    assert_eq!(setup.loaded().config.api.api_limit_max, 20);
    setup.sources.dirs.push(PathBuf::from("/nonexistent/conf.d"));
    assert_eq!(setup.only_error().kind, ErrorKind::Unreadable);
}

#[test]
fn sections_ignore_case_but_default_does_not() {
    let config = glance("[IMAGE_format]\ndisk_formats = raw\n[default]\napi_limit_max = x\n")
        .loaded()
        .config;
    assert_eq!(config.formats.disk_formats, ["raw"]);
    assert_eq!(config.api.api_limit_max, 1000);
}

#[test]
fn a_former_name_holds_and_is_reported() {
    let loaded = glance("[DEFAULT]\ndisk_formats = raw,qcow2\n").loaded();
    assert_eq!(loaded.config.formats.disk_formats, ["raw", "qcow2"]);
    assert!(
        loaded.warnings[0]
            .to_string()
            .contains("former name of [image_format] disk_formats")
    );
    let both = glance("[DEFAULT]\ndisk_formats = raw\n[image_format]\ndisk_formats = iso\n").loaded();
    assert_eq!(both.config.formats.disk_formats, ["iso"]);
}

#[test]
fn references_are_replaced_from_their_section_then_default() {
    let text = "[DEFAULT]\npublic_endpoint = http://$bind_host:${bind_port}/$$x\nbind_host = 127.0.0.1\nbind_port = 080\n\
                [glance_store]\nfilesystem_store_datadir = /srv/$default_store/$debug/$image_format.disk_formats\n";
    let config = glance(text).loaded().config;
    assert_eq!(
        config.server.public_endpoint.as_deref(),
        Some("http://127.0.0.1:80/$x")
    );
    let StoreDriver::File(store) = &config.stores.list[0].driver else {
        panic!("another driver")
    };
    assert!(store.datadirs[0].path.starts_with("/srv/file/"), "{store:?}");
}

#[test]
fn a_reference_to_nothing_or_in_a_circle_is_an_error() {
    for text in [
        "$nosuch",
        "${nosuch.thing}",
        "$public_endpoint",
        "$DEFAULT.nosuch",
    ] {
        let error = glance(&format!("[DEFAULT]\npublic_endpoint = http://{text}\n")).only_error();
        assert_eq!(error.kind, ErrorKind::Substitution, "{error}");
    }
    let many = "$bind_host".repeat(2000);
    let error = glance(&format!("[DEFAULT]\npublic_endpoint = http://{many}\n")).only_error();
    assert_eq!(error.kind, ErrorKind::Substitution);
}

#[test]
fn a_sign_without_a_name_stays() {
    let config = glance("[DEFAULT]\npublic_endpoint = http://a/$1$ \\$b ${c\n")
        .loaded()
        .config;
    assert_eq!(
        config.server.public_endpoint.as_deref(),
        Some("http://a/$1$ $b ${c")
    );
}

#[test]
fn a_secret_taken_by_reference_stays_hidden() {
    let text = "[keystone_authtoken]\npassword = s3cret\n[DEFAULT]\npublic_endpoint = $keystone_authtoken.password\n";
    let error = glance(text).only_error();
    assert_eq!(error.kind, ErrorKind::Value);
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[test]
fn a_guarded_secret_is_refused_without_being_shown() {
    let text = "[database]\nconnection = mysql+pymysql://glance:s3cret@db/glance\n[DEFAULT]\nmetadata_encryption_key = 0123456789abcdef\n";
    let errors = glance(text).errors();
    assert_eq!(errors.len(), 2);
    for error in errors {
        assert_eq!(error.kind, ErrorKind::Unsupported);
        let text = format!("{error} {error:?}");
        assert!(
            !text.contains("s3cret") && !text.contains("0123456789abcdef"),
            "{text}"
        );
    }
}

#[test]
fn a_wrong_line_is_reported_without_its_text() {
    let error = glance("[DEFAULT]\npassword s3cret\n").only_error();
    assert_eq!(error.kind, ErrorKind::Syntax);
    assert!(!format!("{error:?}").contains("s3cret"));
    assert!(error.to_string().contains("glance-api.conf:4"), "{error}");
}

#[test]
fn a_guarded_option_stops_the_start_until_the_operator_accepts_it() {
    let error = glance("[DEFAULT]\nallow_anonymous_access = True\n").only_error();
    let text = error.to_string();
    for part in [
        "glance-api.conf:4",
        "[DEFAULT] allow_anonymous_access",
        "\"True\"",
        "accept_unsupported = DEFAULT.allow_anonymous_access",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let accepted = glance(
        "accept_unsupported = DEFAULT.allow_anonymous_access\n[DEFAULT]\nallow_anonymous_access = True\n",
    )
    .loaded();
    assert_eq!(accepted.warnings.len(), 1);
    assert!(
        accepted
            .report
            .to_string()
            .contains("Not supported, and accepted")
    );
    let useless = glance("accept_unsupported = DEFAULT.allow_anonymous_access\n").loaded();
    assert!(useless.warnings[0].to_string().contains("needs no acceptance"));
}

#[test]
fn every_value_that_would_fail_open_is_guarded() {
    for (group, line) in [
        ("DEFAULT", "allow_anonymous_access = true"),
        ("DEFAULT", "cert_file = /etc/ssl/glance.pem"),
        ("oslo_policy", "enforce_scope = false"),
        ("oslo_messaging_notifications", "driver = messagingv2"),
    ] {
        let error = glance(&format!("[{group}]\n{line}\n")).only_error();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{line}");
    }
}

#[test]
fn import_plugins_are_honoured_with_their_options() {
    let none = glance("").loaded().config.plugins;
    assert!(none.list.is_empty() && none.inject.is_empty());
    assert_eq!(
        (none.ignore_user_roles, none.output_format),
        (vec!["admin".to_owned()], DiskTarget::Raw)
    );
    assert_eq!(none.sandbox, ConversionSandbox::Required);
    let text = "[image_import_opts]\nimage_import_plugins = ['image_decompression', 'image_conversion', 'inject_image_metadata']\n\
                [image_conversion]\noutput_format = qcow2\n\
                [inject_metadata_properties]\ninject = a:1,b:2\nignore_user_roles = operator,admin\n";
    let some = glance(text).loaded().config.plugins;
    assert_eq!(
        some.list,
        [
            ImportPlugin::Decompression,
            ImportPlugin::Conversion,
            ImportPlugin::InjectMetadata
        ]
    );
    assert_eq!((some.inject.len(), some.output_format), (2, DiskTarget::Qcow2));
    assert_eq!(some.ignore_user_roles, ["operator", "admin"]);
    for (group, line, part) in [
        (
            "image_import_opts",
            "image_import_plugins = [image_virus_scan]",
            "image_conversion",
        ),
        ("image_conversion", "output_format = vhd", "raw, qcow2 or vmdk"),
        ("inject_metadata_properties", "inject = owner:me", "owner"),
        (
            "inject_metadata_properties",
            "inject = os_glance_import_task:x",
            "os_glance_import_task",
        ),
        (
            "image_import_opts",
            "image_import_plugins = [inject_image_metadata]",
            "nothing to inject",
        ),
    ] {
        let error = glance(&format!("[{group}]\n{line}\n")).only_error();
        assert!(error.to_string().contains(part), "{line}: {error}");
    }
}

#[test]
fn one_file_backend_is_honoured_by_its_id() {
    let text = "[DEFAULT]\nenabled_backends = Fast:file\n[glance_store]\ndefault_backend = Fast\n\
                [fast]\nfilesystem_store_datadir = /fast\nstore_description = quick\nweight = 7\nfilesystem_store_file_perm = 640\n\
                [os_glance_staging_store]\nfilesystem_store_datadir = /staging\n";
    let loaded = Setup::new()
        .file(
            "a.conf",
            &format!(
                "{LOCAL}{}",
                text.replace(
                    "[os_glance_staging_store]\nfilesystem_store_datadir = /staging\n",
                    ""
                )
            ),
        )
        .loaded();
    assert_eq!(loaded.warnings, []);
    let stores = loaded.config.stores;
    assert_eq!(
        (stores.naming, stores.default.as_str()),
        (StoreNaming::Named, "Fast")
    );
    let [store] = stores.list.as_slice() else {
        panic!("{stores:?}")
    };
    assert_eq!(store.id, "Fast");
    assert_eq!((store.description.as_deref(), store.weight), (Some("quick"), 7));
    let StoreDriver::File(file) = &store.driver else {
        panic!("{store:?}")
    };
    assert_eq!(file.datadirs[0].path, PathBuf::from("/fast"));
    assert_eq!(file.file_mode.map(FileMode::bits), Some(0o640));
    let reserved = glance(text).loaded();
    assert!(
        reserved
            .report
            .to_string()
            .contains("[os_glance_staging_store] filesystem_store_datadir"),
        "{}",
        reserved.report
    );
}

#[test]
fn several_stores_are_taken_in_their_order() {
    let text = "[DEFAULT]\nenabled_backends = fast:file, big:file, web:http\n[glance_store]\ndefault_backend = big\n\
                [fast]\nfilesystem_store_datadir = /fast\nweight = 2\n[big]\nfilesystem_store_datadir = /big\n\
                [web]\nhttps_insecure = false\nhttps_ca_certificates_file = /ca.pem\n\
                http_proxy_information = http:10.0.0.1:3128\n[import_filtering_opts]\nallowed_hosts = images.example\n\
                allowed_ports = [80, 8080]\n\
                disallowed_hosts = ['10.0.0.1', \"meta.example\"]\ndisallowed_schemes = []\n";
    let stores = glance(text).loaded().config.stores;
    assert_eq!(stores.default, "big");
    let shown: Vec<_> = stores
        .list
        .iter()
        .map(|store| (store.id.as_str(), store.weight))
        .collect();
    assert_eq!(shown, [("fast", 2), ("big", 0), ("web", 0)]);
    let web = StoreDriver::Http(HttpStore {
        ca_certificates_file: Some(PathBuf::from("/ca.pem")),
        insecure: false,
        proxies: vec![("http".to_owned(), "10.0.0.1:3128".to_owned())],
    });
    assert_eq!(stores.list[2].driver, web);
    assert_eq!(stores.url_filter.allowed_hosts, ["images.example"]);
    assert_eq!(stores.url_filter.allowed_ports, [80, 8080]);
    assert_eq!(stores.url_filter.disallowed_hosts, ["10.0.0.1", "meta.example"]);
    assert!(stores.url_filter.disallowed_schemes.is_empty());
    assert_eq!(stores.url_filter.allowed_schemes, ["http", "https"]);
}

#[test]
fn the_unnamed_stores_are_file_and_http_unless_said_otherwise() {
    let ids = |text: &str| -> Vec<String> {
        let stores = glance(text).loaded().config.stores;
        assert_eq!(
            (stores.naming, stores.default.as_str()),
            (StoreNaming::Single, "file")
        );
        stores.list.into_iter().map(|store| store.id).collect()
    };
    assert_eq!(ids("[DEFAULT]\ndebug = false\n"), ["file", "http"]);
    assert_eq!(ids("[glance_store]\nstores = file\n"), ["file"]);
    assert_eq!(ids("[glance_store]\nstores = http,file\n"), ["file", "http"]);
}

#[test]
fn other_stores_are_refused_by_name() {
    for (text, part) in [
        ("[DEFAULT]\nenabled_backends = a:rbd\n", "rbd"),
        (
            "[DEFAULT]\nenabled_backends = a:file,b:file\n[b]\nfilesystem_store_datadir = /b\n",
            "must be set to one of a, b",
        ),
        (
            "[DEFAULT]\nenabled_backends = a:file,b:file\n[glance_store]\ndefault_backend = a\n",
            "is where the store a keeps its data",
        ),
        (
            "[DEFAULT]\nenabled_backends = a:file,A:file\n[glance_store]\ndefault_backend = a\n",
            "twice",
        ),
        (
            "[DEFAULT]\nenabled_backends = a:file,web:http\n[glance_store]\ndefault_backend = web\n",
            "must be set to a",
        ),
        (
            "[DEFAULT]\nenabled_backends = web:http\n",
            "no store that can be written",
        ),
        ("[DEFAULT]\nenabled_backends = os_glance_x:file\n", "reserved"),
        ("[DEFAULT]\nenabled_backends = a:file\n", "must be set to a"),
        ("[glance_store]\nstores = file,rbd\n", "rbd"),
        ("[glance_store]\ndefault_store = rbd\n", "rbd"),
        ("[glance_store]\nstores = http\n", "no store that can be written"),
    ] {
        let error = glance(text).only_error();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn what_nobody_knows_is_reported_once() {
    let loaded = glance("[DEFAULT]\nnosuch = 1\nnosuch = 2\n[mystery]\na = 1\nb = 2\n").loaded();
    let warnings: Vec<String> = loaded.warnings.iter().map(Warning::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().any(|w| w.contains("[mystery]")));
}

#[test]
fn a_slip_in_our_own_section_is_an_error() {
    let error = glance("trusted_header_allow_remote = true\n").only_error();
    assert!(error.to_string().contains("no such option"));
}

#[test]
fn all_that_is_wrong_is_said_at_once_with_its_place() {
    let text = "[DEFAULT]\nbind_port = 70000\nhashing_algorithm = crc32\ndebug = maybe\nimage_size_cap = 1GB\n\
                enabled_import_methods = glance-direct\nbind_host = glance.example\n[saccade]\ntransfer_memory = 1MB\n";
    let errors = glance(text).errors();
    let lines: BTreeSet<usize> = errors
        .iter()
        .map(|error| match &error.origin {
            Origin::File { line, .. } => *line,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lines, BTreeSet::from([4, 5, 6, 7, 8, 9, 11]), "{errors:#?}");
    assert!(
        errors
            .iter()
            .all(|error| error.kind == ErrorKind::Value && error.to_string().contains("give "))
    );
}

#[test]
fn a_policy_file_that_is_named_must_exist() {
    let error = glance("[oslo_policy]\npolicy_file = ours.yaml\n").only_error();
    assert_eq!(error.option, Some(OptionName::new("oslo_policy", "policy_file")));
    let setup = glance("[oslo_policy]\npolicy_file = ours.yaml\n");
    fs::write(setup.dir.path().join("ours.yaml"), "").unwrap();
    assert_eq!(
        setup.loaded().config.policy.file,
        PolicyFile::Named(setup.dir.path().join("ours.yaml"))
    );
}

#[test]
fn the_command_line_comes_last() {
    let mut setup = glance("[DEFAULT]\nbind_port = 1\n[saccade]\ndata_dir = /a\n");
    setup.sources.overrides = Overrides {
        data_dir: Some(PathBuf::from("/b")),
        bind: Some("127.0.0.2:5".to_owned()),
    };
    let loaded = setup.loaded();
    assert_eq!(loaded.config.server.bind.to_string(), "127.0.0.2:5");
    assert_eq!(loaded.config.node.data_dir, PathBuf::from("/b"));
    assert!(loaded.report.to_string().contains("--bind = \"127.0.0.2:5\""));
    setup.sources.overrides.bind = Some("here".to_owned());
    assert_eq!(setup.only_error().origin, Origin::CommandLine { flag: "--bind" });
}

#[test]
fn root_keeps_its_data_under_var_lib() {
    let mut setup = Setup::new();
    setup.sources.user = User::Root;
    assert_eq!(
        setup.loaded().config.node.data_dir,
        PathBuf::from("/var/lib/saccade")
    );
    setup.sources.user = User::Unprivileged;
    let setup = setup.env("XDG_DATA_HOME", "/xdg");
    assert_eq!(setup.loaded().config.node.data_dir, PathBuf::from("/xdg/saccade"));
}

#[test]
fn the_pipeline_of_glance_sets_the_file_that_disables_healthcheck() {
    let of = |text: &str| glance(text).loaded().config.server.healthcheck_disable_file;
    assert_eq!(
        of("[DEFAULT]\n"),
        Some(PathBuf::from("/etc/glance/healthcheck_disable"))
    );
    assert_eq!(of("[healthcheck]\nbackends =\n"), None);
    assert_eq!(
        of("[healthcheck]\ndisable_by_file_path = /x\n"),
        Some(PathBuf::from("/x"))
    );
    assert_eq!(Setup::new().loaded().config.server.healthcheck_disable_file, None);
}

#[test]
fn a_missing_file_is_named() {
    let mut setup = Setup::new();
    setup.sources.files = glance_files(setup.dir.path());
    let errors = setup.errors();
    assert_eq!(errors[0].kind, ErrorKind::Unreadable);
    assert!(errors[0].to_string().contains("glance-api.conf"));
    let text = explain(&errors);
    assert!(text.contains("cannot be read: No such file"), "{text}");
}

#[test]
fn a_policy_directory_that_is_missing_is_reported() {
    let setup = glance("[oslo_policy]\npolicy_dirs = a.d\npolicy_dirs = b.d\n");
    fs::create_dir(setup.dir.path().join("b.d")).unwrap();
    let loaded = setup.loaded();
    // It may come to be.
    let place = |name: &str| setup.dir.path().join(name);
    for (dir, name) in loaded.config.policy.dirs.iter().zip(["a.d", "b.d"]) {
        assert!(dir.contains(&place(name)), "{dir:?}");
    }
    assert!(loaded.warnings[0].to_string().contains("\"a.d\" is no directory"));
}

#[test]
fn options_without_meaning_in_a_configuration_are_said_to_be_so() {
    let text = "[DEFAULT]\nenabled_backends = a:file\n[glance_store]\ndefault_backend = a\n\
                filesystem_store_datadir = /old\n";
    let report = glance(text).loaded().report.to_string();
    assert!(
        report.contains("has no meaning beside enabled_backends"),
        "{report}"
    );
}

#[test]
fn no_debug_output_holds_a_secret() {
    let setup = glance("[keystone_authtoken]\npassword = s3cret\n").env("OS_DATABASE__CONNECTION", "s3cret");
    assert!(!format!("{:?}", setup.sources).contains("s3cret"));
    assert!(!format!("{:?}", setup.only_error()).contains("s3cret"));
    let loaded = glance("[keystone_authtoken]\npassword = s3cret\n").loaded();
    assert!(!format!("{loaded:?}").contains("s3cret"));
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let mut setup = Setup::new();
    let path = setup.dir.path().join("a.conf");
    fs::write(&path, [0x5b, 0xff, 0xfe]).unwrap();
    setup.sources.files.push(path);
    assert!(
        setup
            .errors()
            .iter()
            .any(|error| error.kind == ErrorKind::Unreadable)
    );
}

#[test]
fn credentials_may_stand_in_a_section_of_their_own() {
    let loaded =
        glance("[keystone_authtoken]\nauth_section = shared\n[shared]\npassword = s3cret\n").loaded();
    let report = loaded.report.to_string();
    assert!(report.contains("[shared] password = (hidden)"), "{report}");
}

proptest::proptest! {
    #[test]
    fn loading_never_panics(text in concat!(
        "(\\[(DEFAULT|saccade|glance_store|paste_deploy|keystone_authtoken)\\]\n",
        "|(debug|identity|enabled_backends|bind_port|data_dir|stores|public_endpoint|flavor|auth_url|auth_type|auth_section|memcached_servers) ?[=:] ?[$a-z0-9:,{}.\\\\-]{0,12}\n",
        "|[ -~]{0,10}\n){0,12}",
    )) {
        let _ = load(&Setup::new().file("a.conf", &text).sources);
    }
}

#[test]
fn origins_of_pages_are_taken_as_glance_takes_them() {
    let none = glance("").loaded().config.cors;
    assert_eq!(none.allowed_origins, [""; 0]);
    assert_eq!(none.allow_methods, ["GET", "PUT", "POST", "DELETE", "PATCH"]);
    assert!(none.allow_headers.iter().any(|name| name == "X-Auth-Token"));
    let text = "[cors]\nallowed_origin = https://a.example, https://b.example/\nmax_age = 0\nexpose_headers =\n\
                [cors.other]\nallowed_origin = https://c.example\n";
    let loaded = glance(text).loaded();
    assert_eq!(
        loaded.config.cors.allowed_origins,
        ["https://a.example", "https://b.example/"]
    );
    assert_eq!(loaded.config.cors.max_age, 0);
    assert_eq!(loaded.config.cors.expose_headers, [""; 0]);
    let warned = |text: &str| {
        loaded
            .warnings
            .iter()
            .any(|warning| warning.message.contains(text))
    };
    assert!(warned("https://b.example/ is the origin of no page"));
    assert!(warned("[cors.other]"));
    let wrong = glance("[cors]\nallow_headers = X-A B\n").errors();
    assert!(wrong.iter().any(|error| error.kind == ErrorKind::Value));
}

#[test]
fn every_option_of_glance_spelled_out_with_its_default_changes_nothing() {
    let catalogue = Catalogue::new([]);
    let mut text = String::new();
    for spec in catalogue.specs().filter(|spec| spec.group != "<backend>") {
        if let Some(default) = spec.default {
            let bounded = spec.name == "enabled_import_methods";
            let default = if bounded {
                format!("[{default}]")
            } else {
                default.to_owned()
            };
            text.push_str(&format!("[{}]\n{} = {default}\n", spec.group, spec.name));
        }
    }
    let report = glance(&text).loaded().report.to_string();
    assert_eq!(report.lines().count(), 5, "{report}");
    assert!(report.contains("[saccade] identity"), "{report}");
}

#[test]
fn the_manual_names_every_option_that_is_read() {
    let manual = include_str!("../../docs/configuration.md");
    let catalogue = Catalogue::new(saccade::OPTIONS.iter().copied());
    for spec in catalogue.specs() {
        if spec.group == "saccade" || support::support(spec) == support::Support::Honoured {
            assert!(
                manual.contains(&format!("`{}`", spec.name)),
                "{}.{}",
                spec.group,
                spec.name
            );
        }
    }
    for (name, default) in saccade::OPTIONS {
        let row = manual
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")))
            .unwrap_or(name);
        if let Some(default) = default.filter(|default| !default.is_empty()) {
            assert!(row.contains(&format!("`{default}`")), "{row}");
        }
    }
}

#[test]
fn deleted_images_are_kept_as_glance_would_keep_them() {
    let deletion = |text: &str| glance(text).loaded().config.deletion;
    let off = deletion("");
    assert_eq!(
        (off.delayed, off.scrub_after.as_secs(), off.scrub_side_by_side),
        (false, 0, 1)
    );
    let on = deletion(
        "[DEFAULT]\ndelayed_delete = True\nscrub_time = 86400\nscrub_pool_size = 4\nwakeup_time = 300\n",
    );
    assert_eq!(
        (on.delayed, on.scrub_after.as_secs(), on.scrub_side_by_side),
        (true, 86400, 4)
    );
    for wrong in ["scrub_time = -1", "scrub_pool_size = 0", "http_retries = -1"] {
        let error = glance(&format!("[DEFAULT]\n{wrong}\n")).only_error();
        assert_eq!(error.kind, ErrorKind::Value, "{wrong}");
    }
}
