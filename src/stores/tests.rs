use std::{collections::BTreeMap, path::PathBuf};

use tempfile::TempDir;

use super::Stores;
use crate::config::{
    self, DataDirectory, FileEngine, FileStore, FileWriteMode, HttpStore, S3BucketUrlFormat, S3Checksums,
    S3Store, Secret, Store, StoreDriver, StoreNaming, SwiftAccounts, SwiftAuthentication, SwiftEndpointType,
    SwiftStore, UrlFilter,
};

const ID: &str = "6c9f0a51-6b0c-4a2e-8d6e-0f2d9f5b7a10";

fn s3(bucket: &str, cacert: Option<PathBuf>) -> StoreDriver {
    let secret = |text: &str| Secret::new(text.to_owned());
    StoreDriver::S3(Box::new(S3Store {
        // Nobody listens there. Authorities are for https.
        host: match cacert {
            None => "http://127.0.0.1:9".to_owned(),
            Some(_) => "https://127.0.0.1:9".to_owned(),
        },
        bucket: bucket.to_owned(),
        access_key: secret("AK"),
        secret_key: secret("verysecret"),
        region_name: String::new(),
        create_bucket_on_put: false,
        bucket_url_format: S3BucketUrlFormat::Auto,
        large_object_size: 100,
        large_object_chunk_size: 10,
        thread_pools: 10,
        cacert,
        enable_data_integrity_protection: false,
        request_checksum_calculation: S3Checksums::WhenRequired,
        response_checksum_validation: S3Checksums::WhenRequired,
    }))
}

fn swift(container: &str) -> SwiftStore {
    let secret = |text: &str| Some(Secret::new(text.to_owned()));
    SwiftStore {
        config_file: None,
        default_reference: "ref1".to_owned(),
        auth_address: Some("http://127.0.0.1:9/v3".to_owned()),
        user: secret("service:glance"),
        key: secret("verysecret"),
        application_credential_id: None,
        application_credential_secret: None,
        authentication: SwiftAuthentication::Keystone,
        endpoint: None,
        endpoint_type: SwiftEndpointType::Public,
        service_type: "object-store".to_owned(),
        region: None,
        container: container.to_owned(),
        multiple_containers_seed: 0,
        create_container_on_put: false,
        large_object_size: 5120,
        large_object_chunk_size: 200,
        cacert: None,
        auth_insecure: false,
        retry_get_count: 0,
        expire_soon_interval: 60,
        accounts: SwiftAccounts::Own,
    }
}

fn in_swift(swift: SwiftStore) -> StoreDriver {
    StoreDriver::Swift(Box::new(swift))
}

fn file(directory: PathBuf) -> StoreDriver {
    StoreDriver::File(FileStore {
        datadirs: vec![DataDirectory {
            path: directory,
            priority: 0,
        }],
        metadata_file: None,
        file_mode: None,
        thin_provisioning: false,
        write_mode: FileWriteMode::Auto,
    })
}

fn config(drivers: Vec<(&str, StoreDriver)>) -> config::Stores {
    let store = |(id, driver): (&str, StoreDriver)| Store {
        id: id.to_owned(),
        description: None,
        weight: 0,
        driver,
    };
    config::Stores {
        naming: StoreNaming::Named,
        default: "local".to_owned(),
        list: drivers.into_iter().map(store).collect(),
        file_engine: FileEngine::Pwrite,
        url_filter: UrlFilter {
            allowed_schemes: Vec::new(),
            disallowed_schemes: Vec::new(),
            allowed_hosts: Vec::new(),
            disallowed_hosts: Vec::new(),
            allowed_ports: Vec::new(),
            disallowed_ports: Vec::new(),
        },
    }
}

/// Two stores of files, two in S3, two in Swift, and the web.
fn stores() -> (TempDir, Stores) {
    let dir = tempfile::tempdir().unwrap();
    let web = StoreDriver::Http(HttpStore {
        ca_certificates_file: None,
        insecure: true,
        proxies: Vec::new(),
    });
    let opened = Stores::open(&config(vec![
        ("local", file(dir.path().join("images"))),
        ("second", file(dir.path().join("more"))),
        ("cold", s3("glance", None)),
        ("colder", s3("archive", None)),
        ("deep", in_swift(swift("glance"))),
        ("deeper", in_swift(swift("archive"))),
        ("web", web),
    ]));
    (dir, opened.unwrap())
}

fn owner<'s>(stores: &'s Stores, id: Option<&str>, url: &str) -> Option<&'s str> {
    stores.resolve(id, url).ok().map(|(id, _)| id)
}

#[test]
fn a_store_that_does_not_answer_is_opened_all_the_same() {
    let (_dir, stores) = stores();
    assert!(
        stores
            .to_string()
            .contains("s3 store cold at http://127.0.0.1:9/glance"),
        "{stores}"
    );
    assert!(
        stores
            .to_string()
            .contains("swift store deep in glance by ref1 at http://127.0.0.1:9/v3"),
        "{stores}"
    );
    assert!(!format!("{stores} {stores:?}").contains("verysecret"));
}

#[test]
fn what_cannot_be_opened_is_named_without_leaving_anything() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("ca.pem");
    let bad = config(vec![
        ("local", file(dir.path().join("images"))),
        ("cold", s3("glance", Some(missing))),
    ]);
    let error = Stores::check(&bad).unwrap_err();
    assert_eq!(error.to_string(), "the store cold cannot be used");
    let bucket = config(vec![("cold", s3("no bucket", None))]);
    let cause = std::error::Error::source(&Stores::check(&bucket).unwrap_err())
        .unwrap()
        .to_string();
    assert!(cause.contains("s3_store_bucket"), "{cause}");
    assert!(!dir.path().join("images").exists());
}

#[test]
fn a_location_without_a_known_store_belongs_to_the_one_that_knows_its_address() {
    let (dir, stores) = stores();
    let local = format!("file://{}/images/{ID}", dir.path().display());
    let second = format!("file://{}/more/{ID}", dir.path().display());
    for (id, url, expected) in [
        (None, local.as_str(), Some("local")),
        (None, &second, Some("second")),
        (Some("gone"), &second, Some("second")),
        // What the record says of a store that there is, holds.
        (Some("local"), &second, Some("local")),
        (None, "s3://127.0.0.1:9/glance/x", Some("cold")),
        (Some("gone"), "s3://AK:S/K@127.0.0.1:9/archive/x", Some("colder")),
        (Some("gone"), "s3://elsewhere/glance/x", None),
        // Glance's own, from before stores had names.
        (None, "s3://elsewhere/glance/x", Some("local")),
        (None, "swift+config://ref1/archive/x", Some("deeper")),
        (
            None,
            "swift+http://service%3Aglance:old/K@127.0.0.1:9/v2.0/glance/x",
            Some("deep"),
        ),
        (Some("gone"), "swift+config://ref2/glance/x", None),
        (
            Some("gone"),
            "swift+https://service:glance:verysecret@elsewhere/v3/glance/x",
            None,
        ),
        (None, "https://user:pw@example.org/x", Some("web")),
        (Some("gone"), "rbd://pool/x", None),
    ] {
        assert_eq!(owner(&stores, id, url), expected, "{id:?} {url}");
    }
}

#[test]
fn two_spellings_of_one_blob_are_one() {
    let (dir, stores) = stores();
    let dir = dir.path().display();
    let groups = [
        vec![
            format!("s3://127.0.0.1:9/glance/{ID}"),
            format!("s3://AK:S/K@127.0.0.1:9/glance/{ID}"),
            format!("s3+http://127.0.0.1:9/glance/{ID}"),
        ],
        vec![format!("s3://127.0.0.1:9/archive/{ID}")],
        vec![
            format!("file://{dir}/images/{ID}"),
            format!("filesystem://{dir}/images/{ID}"),
            format!("file://{dir}//images/{ID}"),
        ],
        vec![format!("file://{dir}/more/{ID}")],
        vec![
            format!("swift+config://ref1/glance/{ID}"),
            format!("swift://127.0.0.1:9/glance/{ID}"),
            format!("swift+http://service:glance:verysecret@127.0.0.1:9/v3/glance/{ID}"),
            format!("swift+http://service%3Aformer:o/ld@127.0.0.1:9/v2.0/glance/{ID}"),
        ],
        vec![format!("swift+config://ref1/archive/{ID}")],
        vec![format!("swift+config://ref1/former/{ID}")],
        vec![
            "http://Example.org/a".to_owned(),
            "http://u:p@example.org:80/a".to_owned(),
        ],
        vec!["http://example.org/b".to_owned()],
    ];
    let mut seen = BTreeMap::new();
    for (group, urls) in groups.iter().enumerate() {
        for url in urls {
            let identity = stores.identity(None, url);
            assert_eq!(*seen.entry(identity).or_insert(group), group, "{url}");
        }
        assert_eq!(seen.len(), group + 1, "{urls:?}");
    }
}

#[test]
fn locations_are_recorded_without_credentials_unless_somebody_needs_them() {
    let (_dir, stores) = stores();
    let spelled = |id, url: &str| stores.spelled(id, url);
    let plain = format!("s3://127.0.0.1:9/glance/{ID}");
    assert_eq!(
        spelled(None, &format!("s3://AK:verysecret@127.0.0.1:9/glance/{ID}")),
        (Some("cold".to_owned()), plain.clone())
    );
    assert_eq!(spelled(Some("cold"), &plain), (Some("cold".to_owned()), plain));
    let deep = format!("swift+config://ref1/glance/{ID}");
    assert_eq!(
        spelled(
            None,
            &format!("swift+http://service:glance:verysecret@127.0.0.1:9/v3/glance/{ID}")
        ),
        (Some("deep".to_owned()), deep.clone())
    );
    assert_eq!(spelled(Some("deep"), &deep), (Some("deep".to_owned()), deep));
    let web = "http://u:p@Example.org/a";
    assert_eq!(spelled(None, web), (Some("web".to_owned()), web.to_owned()));
    let nobodys = "s3://AK:SK@elsewhere/glance/x";
    assert_eq!(spelled(None, nobodys), (None, nobodys.to_owned()));
    assert_eq!(
        spelled(Some("gone"), nobodys),
        (Some("gone".to_owned()), nobodys.to_owned())
    );
}

#[test]
fn two_stores_may_not_write_into_one_container_of_an_account() {
    let two = |change: &dyn Fn(&mut SwiftStore)| {
        let mut second = swift("glance");
        second.default_reference = "other".to_owned();
        change(&mut second);
        let config = config(vec![
            ("deep", in_swift(swift("glance"))),
            ("deeper", in_swift(second)),
        ]);
        let checked = Stores::check(&config).map_err(|error| {
            assert_eq!(error.to_string(), "the store deeper cannot be used");
            std::error::Error::source(&error).unwrap().to_string()
        });
        let opened = Stores::open(&config);
        assert_eq!(opened.is_ok(), checked.is_ok());
        checked
    };
    let refused = two(&|_| ()).unwrap_err();
    assert!(
        refused.contains("where the store deep keeps its own"),
        "{refused}"
    );
    // The same account by another spelling of the address, and another user of it.
    let spelled = two(&|second| {
        second.auth_address = Some("http://127.0.0.1:9/".to_owned());
        second.user = Some(Secret::new("service:another".to_owned()));
    });
    assert!(spelled.is_err());
    let apart: [&dyn Fn(&mut SwiftStore); 4] = [
        &|second| second.container = "archive".to_owned(),
        &|second| second.region = Some("north".to_owned()),
        &|second| second.user = Some(Secret::new("another:glance".to_owned())),
        &|second| second.endpoint = Some("http://127.0.0.1:9/v1/AUTH_x".to_owned()),
    ];
    for change in apart {
        two(change).unwrap();
    }
}

#[test]
fn an_account_by_reference_is_the_same_as_by_options() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("swift.conf");
    let text = "[there]\nuser = service:glance\nkey = verysecret\nauth_address = http://127.0.0.1:9/v3\n";
    std::fs::write(&file, text).unwrap();
    let by_reference = SwiftStore {
        config_file: Some(file),
        default_reference: "there".to_owned(),
        ..swift("glance")
    };
    let both = config(vec![
        ("deep", in_swift(swift("glance"))),
        ("deeper", in_swift(by_reference.clone())),
    ]);
    assert!(Stores::check(&both).is_err());
    let missing = SwiftStore {
        default_reference: "nowhere".to_owned(),
        ..by_reference
    };
    let error = Stores::check(&config(vec![("deep", in_swift(missing))])).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("default_swift_reference"), "{cause}");
    assert!(!cause.contains("verysecret"));
}
