use super::super::{
    ErrorKind,
    settings::{
        DataDirectory, FileEngine, FileWriteMode, S3BucketUrlFormat, S3Checksums, S3Store, Store,
        StoreDriver, StoreNaming, SwiftAccounts, SwiftAuthentication, SwiftEndpointType, SwiftStore,
    },
    tests::{Setup, glance},
};
use std::path::PathBuf;

const S3: &str = "[DEFAULT]\nenabled_backends = cold:s3\n[glance_store]\ndefault_backend = cold\n[cold]\n\
    s3_store_host = https://s3.example:9000\ns3_store_access_key = AKIDEXAMPLE\ns3_store_secret_key = verysecret/+\n\
    s3_store_bucket = glance\n";

const SWIFT: &str = "[DEFAULT]\nenabled_backends = deep:swift\n[glance_store]\ndefault_backend = deep\n[deep]\n\
    swift_store_auth_address = https://keystone.example:5000/v3\nswift_store_user = service:glance\n\
    swift_store_key = verysecret/+\n";

fn swift(store: &Store) -> &SwiftStore {
    match &store.driver {
        StoreDriver::Swift(swift) => swift,
        other => panic!("{other:?}"),
    }
}

fn s3(store: &Store) -> &S3Store {
    match &store.driver {
        StoreDriver::S3(s3) => s3,
        other => panic!("{other:?}"),
    }
}

fn directories(store: &Store) -> Vec<(String, i64)> {
    let StoreDriver::File(file) = &store.driver else {
        panic!("{store:?}")
    };
    let shown = |directory: &DataDirectory| (directory.path.display().to_string(), directory.priority);
    file.datadirs.iter().map(shown).collect()
}

fn refused(setup: &Setup, part: &str) {
    let error = setup.only_error();
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn an_s3_store_has_glances_options_and_defaults() {
    let loaded = glance(S3).loaded();
    assert_eq!(loaded.warnings, []);
    let [store] = loaded.config.stores.list.as_slice() else {
        panic!("{:?}", loaded.config.stores)
    };
    let found = s3(store);
    assert_eq!(found.host, "https://s3.example:9000");
    assert_eq!(found.bucket, "glance");
    assert_eq!(found.access_key.expose(), "AKIDEXAMPLE");
    assert_eq!(found.secret_key.expose(), "verysecret/+");
    assert_eq!(
        (
            found.large_object_size,
            found.large_object_chunk_size,
            found.thread_pools
        ),
        (100, 10, 10)
    );
    assert_eq!(found.bucket_url_format, S3BucketUrlFormat::Auto);
    assert_eq!(found.region_name, "");
    assert_eq!(found.cacert, None);
    assert!(!found.create_bucket_on_put && !found.enable_data_integrity_protection);

    let more = "s3_store_region_name = eu\ns3_store_create_bucket_on_put = true\ns3_store_bucket_url_format = path\n\
        s3_store_large_object_size = 5\ns3_store_large_object_chunk_size = 6\ns3_store_thread_pools = 2\n\
        s3_store_cacert = /ca.pem\ns3_store_enable_data_integrity_protection = yes\n\
        s3_store_request_checksum_calculation = when_supported\ns3_store_response_checksum_validation = when_supported\n";
    let loaded = glance(&format!("{S3}{more}")).loaded();
    let found = s3(&loaded.config.stores.list[0]);
    assert_eq!(found.region_name, "eu");
    assert_eq!(
        (
            found.large_object_size,
            found.large_object_chunk_size,
            found.thread_pools
        ),
        (5, 6, 2)
    );
    assert_eq!(found.bucket_url_format, S3BucketUrlFormat::Path);
    assert_eq!(found.cacert, Some(PathBuf::from("/ca.pem")));
    assert_eq!(found.request_checksum_calculation, S3Checksums::WhenSupported);
    assert_eq!(found.response_checksum_validation, S3Checksums::WhenSupported);
    assert!(found.create_bucket_on_put && found.enable_data_integrity_protection);
}

#[test]
fn the_keys_of_an_s3_store_are_never_shown() {
    let loaded = glance(S3).loaded();
    let bad = format!("{S3}s3_store_thread_pools = $s3_store_secret_key\n");
    let shown = format!("{loaded:?} {} {:?}", loaded.report, glance(&bad).errors());
    assert!(
        !shown.contains("verysecret") && !shown.contains("AKIDEXAMPLE"),
        "{shown}"
    );
    assert!(
        loaded
            .report
            .to_string()
            .contains("s3_store_secret_key = (hidden)")
    );
}

#[test]
fn what_an_s3_store_cannot_be_without_is_named() {
    for name in [
        "s3_store_host",
        "s3_store_bucket",
        "s3_store_access_key",
        "s3_store_secret_key",
    ] {
        let without: String = S3
            .lines()
            .filter(|line| !line.starts_with(name))
            .map(|line| format!("{line}\n"))
            .collect();
        refused(&glance(&without), &format!("[cold] {name}"));
        let empty = format!("{without}{name} =\n");
        refused(&glance(&empty), "not empty");
    }
}

#[test]
fn what_an_s3_store_cannot_take_is_named() {
    for (line, part) in [
        ("s3_store_bucket_url_format = dns", "auto, virtual or path"),
        ("s3_store_large_object_chunk_size = 4", "from 5 to 5120"),
        ("s3_store_large_object_size = -1", "from 0 to 5120"),
        ("s3_store_thread_pools = 0", "from 1 to 1000"),
        (
            "s3_store_request_checksum_calculation = always",
            "when_required or when_supported",
        ),
        ("s3_store_create_bucket_on_put = maybe", "true"),
    ] {
        refused(&glance(&format!("{S3}{line}\n")), part);
    }
}

#[test]
fn two_stores_may_not_share_a_bucket() {
    let both = |host: &str| {
        let text = S3.replace("cold:s3", "cold:s3,warm:s3");
        format!(
            "{text}[warm]\ns3_store_host = {host}\ns3_store_access_key = A\ns3_store_secret_key = B\ns3_store_bucket = glance\n"
        )
    };
    refused(
        &glance(&both("https://S3.example:9000/")),
        "is where the store cold keeps its data",
    );
    assert_eq!(
        glance(&both("https://other:9000"))
            .loaded()
            .config
            .stores
            .list
            .len(),
        2
    );
}

#[test]
fn unnamed_stores_may_be_in_s3() {
    let options =
        "s3_store_host = h\ns3_store_access_key = A\ns3_store_secret_key = B\ns3_store_bucket = glance\n";
    let stores = |text: &str| {
        glance(&format!("[glance_store]\n{text}\n{options}"))
            .loaded()
            .config
            .stores
    };
    let alone = stores("stores = s3\ndefault_store = s3");
    assert_eq!(
        (alone.naming, alone.default.as_str()),
        (StoreNaming::Single, "s3")
    );
    assert_eq!(s3(&alone.list[0]).host, "h");
    assert_eq!(alone.list.len(), 1);
    let beside = stores("stores = file,http,s3");
    let ids: Vec<&str> = beside.list.iter().map(|store| store.id.as_str()).collect();
    assert_eq!(
        (beside.default.as_str(), ids),
        ("file", vec!["file", "http", "s3"])
    );
    refused(
        &glance(&format!("[glance_store]\nstores = s3\n{options}")),
        "must be `s3`",
    );
    refused(&glance("[glance_store]\ndefault_store = s3\n"), "must be `file`");
    refused(
        &glance("[glance_store]\ndefault_store = http\n"),
        "must be `file`",
    );
}

#[test]
fn options_of_a_driver_that_is_not_in_use_are_reported_and_do_nothing() {
    let text =
        "[DEFAULT]\nenabled_backends = a:file\n[glance_store]\ndefault_backend = a\n[a]\ns3_store_host = h\n";
    let loaded = glance(text).loaded();
    let report = loaded.report.to_string();
    assert!(
        report.contains("belongs to a driver that is not in use here"),
        "{report}"
    );
    let single = glance("[glance_store]\ns3_store_thread_pools = 0\n").loaded();
    assert!(single.report.to_string().contains("s3_store_thread_pools"));
}

#[test]
fn how_files_are_written_is_said_for_all_stores_or_for_one() {
    let text = |modes: &str| {
        let modes = match modes {
            "" => String::new(),
            modes => format!("[saccade]\nfile_write_mode = {modes}\n"),
        };
        format!(
            "{modes}[DEFAULT]\nenabled_backends = fast:file,slow:file\n[glance_store]\ndefault_backend = fast\n\
             [fast]\nfilesystem_store_datadir = /fast\n[slow]\nfilesystem_store_datadir = /slow\n"
        )
    };
    let (auto, direct) = (FileWriteMode::Auto, FileWriteMode::Direct);
    for (modes, expected) in [
        ("", [auto, auto]),
        ("direct", [direct, direct]),
        ("slow:buffered, direct", [direct, FileWriteMode::Buffered]),
        ("slow : dontcache", [auto, FileWriteMode::DontCache]),
    ] {
        let list = glance(&text(modes)).loaded().config.stores.list;
        let found: Vec<_> = list
            .iter()
            .map(|store| match &store.driver {
                StoreDriver::File(file) => file.write_mode,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(found, expected, "{modes}");
    }
    for modes in ["fast", "direct, buffered", "slow:direct,slow:auto", "slow:"] {
        refused(&glance(&text(modes)), "auto, buffered, dontcache or direct");
    }
    refused(
        &glance(&text("other:direct")),
        "other, which is no store of files",
    );
}

#[test]
fn a_file_engine_is_one_that_is_compiled_in() {
    let engine = |name: &str| glance(&format!("[saccade]\nfile_engine = {name}\n"));
    assert_eq!(glance("").loaded().config.stores.file_engine, FileEngine::Pwrite);
    assert_eq!(
        engine("pwrite").loaded().config.stores.file_engine,
        FileEngine::Pwrite
    );
    for (name, is_in, kind) in [
        (
            "tokio-uring",
            cfg!(feature = "tokio-uring"),
            FileEngine::TokioUring,
        ),
        ("glommio", cfg!(feature = "glommio"), FileEngine::Glommio),
    ] {
        if is_in {
            assert_eq!(engine(name).loaded().config.stores.file_engine, kind);
        } else {
            refused(&engine(name), &format!("built without the cargo feature {name}"));
        }
    }
    refused(&engine("aio"), "pwrite, tokio-uring or glommio");
}

#[test]
fn several_directories_have_priorities() {
    let text = "[glance_store]\nfilesystem_store_datadirs = /a:100\nfilesystem_store_datadirs = /b : 200\n\
                filesystem_store_datadirs = /c\nfilesystem_store_datadirs = /d:\n";
    let stores = glance(text).loaded().config.stores;
    let expected =
        [("/a", 100), ("/b", 200), ("/c", 0), ("/d", 0)].map(|(path, priority)| (path.to_owned(), priority));
    assert_eq!(directories(&stores.list[0]), expected);
}

#[test]
fn directories_that_contradict_each_other_are_refused() {
    let several = |lines: &[&str]| {
        let lines: String = lines
            .iter()
            .map(|line| format!("filesystem_store_datadirs = {line}\n"))
            .collect();
        format!("[glance_store]\n{lines}")
    };
    refused(&glance(&several(&["/a:x"])), "such as /srv/images:10");
    refused(&glance(&several(&[":1"])), "such as /srv/images:10");
    refused(&glance(&several(&["/a:1", "/a/:2"])), "two priorities");
    refused(
        &glance(&format!("{}filesystem_store_datadir = /z\n", several(&["/a:1"]))),
        "say either",
    );
    let twice = glance(&several(&["/a:1", "/a:1"])).loaded();
    assert_eq!(directories(&twice.config.stores.list[0]), [("/a".to_owned(), 1)]);
    assert!(twice.warnings[0].to_string().contains("twice"));
    let shared = "[DEFAULT]\nenabled_backends = x:file,y:file\n[glance_store]\ndefault_backend = x\n\
        [x]\nfilesystem_store_datadirs = /a:1\nfilesystem_store_datadirs = /b:1\n[y]\nfilesystem_store_datadir = /b/\n";
    let error = glance(shared).only_error();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(
        error.to_string().contains("the store x keeps its data"),
        "{error}"
    );
}

#[test]
fn a_swift_store_has_glances_options_and_defaults() {
    let loaded = glance(SWIFT).loaded();
    assert_eq!(loaded.warnings, []);
    let [store] = loaded.config.stores.list.as_slice() else {
        panic!("{:?}", loaded.config.stores)
    };
    let secret = |text: &str| Some(super::super::value::Secret::new(text.to_owned()));
    let expected = SwiftStore {
        config_file: None,
        default_reference: "ref1".to_owned(),
        auth_address: Some("https://keystone.example:5000/v3".to_owned()),
        user: secret("service:glance"),
        key: secret("verysecret/+"),
        application_credential_id: None,
        application_credential_secret: None,
        authentication: SwiftAuthentication::Keystone,
        endpoint: None,
        endpoint_type: SwiftEndpointType::Public,
        service_type: "object-store".to_owned(),
        region: None,
        container: "glance".to_owned(),
        multiple_containers_seed: 0,
        create_container_on_put: false,
        large_object_size: 5120,
        large_object_chunk_size: 200,
        cacert: None,
        auth_insecure: false,
        retry_get_count: 0,
        expire_soon_interval: 60,
        accounts: SwiftAccounts::Own,
    };
    assert_eq!(swift(store), &expected);

    let more = "swift_store_config_file = /etc/glance/swift.conf\ndefault_swift_reference = other\n\
        swift_store_application_credential_id = app\nswift_store_application_credential_secret = appsecret\n\
        swift_store_auth_version = 1\nswift_store_endpoint = https://swift.example/v1/AUTH_x\n\
        swift_store_endpoint_type = internalURL\nswift_store_service_type = store\nswift_store_region = north\n\
        swift_store_container = images\nswift_store_multiple_containers_seed = 2\n\
        swift_store_create_container_on_put = true\nswift_store_large_object_size = 1\n\
        swift_store_large_object_chunk_size = 1\nswift_store_cacert = /ca.pem\nswift_store_auth_insecure = true\n\
        swift_store_retry_get_count = 7\nswift_store_expire_soon_interval = 0\n";
    let expected = SwiftStore {
        config_file: Some(PathBuf::from("/etc/glance/swift.conf")),
        default_reference: "other".to_owned(),
        application_credential_id: secret("app"),
        application_credential_secret: secret("appsecret"),
        authentication: SwiftAuthentication::OfTheServer,
        endpoint: Some("https://swift.example/v1/AUTH_x".to_owned()),
        endpoint_type: SwiftEndpointType::Internal,
        service_type: "store".to_owned(),
        region: Some("north".to_owned()),
        container: "images".to_owned(),
        multiple_containers_seed: 2,
        create_container_on_put: true,
        large_object_size: 1,
        large_object_chunk_size: 1,
        cacert: Some(PathBuf::from("/ca.pem")),
        auth_insecure: true,
        retry_get_count: 7,
        expire_soon_interval: 0,
        ..expected
    };
    let loaded = glance(&format!("{SWIFT}{more}")).loaded();
    assert_eq!(swift(&loaded.config.stores.list[0]), &expected);
}

#[test]
fn the_keys_of_a_swift_store_are_never_shown() {
    let application = "swift_store_application_credential_id = AppId\nswift_store_application_credential_secret = verysecret\n";
    let good = format!("{SWIFT}{application}");
    let loaded = glance(&good).loaded();
    let mut shown = format!("{loaded:?} {}", loaded.report);
    for name in [
        "key",
        "application_credential_id",
        "application_credential_secret",
        "user",
    ] {
        let bad = format!("{good}swift_store_retry_get_count = $swift_store_{name}\n");
        shown += &format!(" {:?}", glance(&bad).errors());
        assert!(
            shown.contains(&format!("swift_store_{name} = (hidden)")),
            "{shown}"
        );
    }
    for secret in ["verysecret", "AppId", "service:glance"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn what_a_swift_store_cannot_take_is_named() {
    for (line, part) in [
        ("swift_store_auth_version = 2", "give 3 (Keystone), or 1"),
        (
            "swift_store_endpoint_type = public",
            "publicURL, internalURL or adminURL",
        ),
        ("swift_store_large_object_chunk_size = 0", "from 1 to"),
        ("swift_store_large_object_size = 0", "from 1 to"),
        ("swift_store_multiple_containers_seed = 33", "from 0 to 32"),
        ("swift_store_retry_get_count = -1", "from 0 to"),
        ("swift_store_container =", "not empty"),
        ("default_swift_reference =", "not empty"),
        (
            "swift_store_multi_tenant = true\nswift_store_config_file = x",
            "cannot be used with swift_store_multi_tenant",
        ),
        ("swift_store_admin_tenants = a, .r:*", "ids of projects"),
    ] {
        refused(&glance(&format!("{SWIFT}{line}\n")), part);
    }
}

#[test]
fn two_swift_stores_may_not_have_the_same_locations() {
    let both = |line: &str| {
        let text = SWIFT.replace("deep:swift", "deep:swift,deeper:swift");
        format!("{text}[deeper]\nswift_store_config_file = /swift.conf\n{line}\n")
    };
    refused(&glance(&both("")), "is the container of the store deep, too");
    for line in ["swift_store_container = more", "default_swift_reference = ref2"] {
        let stores = glance(&both(line)).loaded().config.stores;
        assert_eq!(stores.list.len(), 2);
    }
}

#[test]
fn images_may_be_in_projects_accounts() {
    let accounts = |line: &str| {
        swift(&glance(&format!("{SWIFT}{line}")).loaded().config.stores.list[0])
            .accounts
            .clone()
    };
    assert_eq!(accounts("swift_store_admin_tenants = a\n"), SwiftAccounts::Own);
    let of_projects = |admins: &[&str]| SwiftAccounts::OfProjects {
        admins: admins.iter().map(|&admin| admin.to_owned()).collect(),
    };
    assert_eq!(accounts("swift_store_multi_tenant = true\n"), of_projects(&[]));
    let both = accounts("swift_store_multi_tenant = true\nswift_store_admin_tenants = a1, b-2\n");
    assert_eq!(both, of_projects(&["a1", "b-2"]));
}

#[test]
fn an_unnamed_store_may_be_in_swift() {
    let options =
        "stores = file,swift\ndefault_store = swift\nswift_store_config_file = /etc/glance/swift.conf\n";
    let stores = glance(&format!("[glance_store]\n{options}"))
        .loaded()
        .config
        .stores;
    assert_eq!(
        (stores.naming, stores.default.as_str()),
        (StoreNaming::Single, "swift")
    );
    assert_eq!(swift(&stores.list[0]).container, "glance");
    assert_eq!(stores.list[1].id, "file");
}

#[test]
fn options_of_swift_without_effect_are_reported_and_stop_nothing() {
    let text = format!(
        "{SWIFT}swift_buffer_on_upload = true\nswift_upload_buffer_dir = /tmp\nswift_store_ssl_compression = false\n\
         swift_store_use_trusts = false\nswift_store_project_id = x\n\
         swift_store_project_name = y\n"
    );
    let report = glance(&text).loaded().report.to_string();
    for part in [
        "swift_buffer_on_upload",
        "swift_upload_buffer_dir",
        "swift_store_ssl_compression",
        "swift_store_use_trusts",
        "swift_store_project_id",
        "swift_store_project_name",
        "in memory, and nothing on disk",
        "TLS is never compressed",
        "no trusts are made",
        "of one project",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let elsewhere = "[glance_store]\nswift_store_multi_tenant = true\nswift_store_user = a:b\n";
    assert!(
        glance(elsewhere)
            .loaded()
            .report
            .to_string()
            .contains("belongs to a driver that is not in use here")
    );
}

#[test]
fn the_file_of_references_is_looked_for_beside_the_configuration() {
    let setup = glance(&format!("{SWIFT}swift_store_config_file = glance-swift.conf\n"));
    let found = |setup: &Setup| swift(&setup.loaded().config.stores.list[0]).config_file.clone();
    assert_eq!(found(&setup), Some(PathBuf::from("glance-swift.conf")));
    let file = setup.dir.path().join("glance-swift.conf");
    std::fs::write(&file, "").unwrap();
    assert_eq!(found(&setup), Some(file));
}
