use proptest::prelude::*;

use super::*;
use crate::{config::Secret, references};

const ID: &str = "6c9f0a51-6b0c-4a2e-8d6e-0f2d9f5b7a10";
const ATTEMPT: &str = "0d3c1c4e-1111-4222-8333-444455556666";

fn names(change: impl FnOnce(&mut SwiftStoreConfig)) -> Names {
    let mut config = SwiftStoreConfig::new("s");
    config.swift_store_auth_address = Some("https://Keystone:443/v3/".to_owned());
    config.swift_store_user = Some("service:glance".to_owned());
    config.swift_store_key = Some(Secret::new("p/w:@%"));
    change(&mut config);
    let accounts = references::load(&config).unwrap();
    Names::new(&config, accounts).unwrap()
}

fn blob() -> BlobName {
    BlobName(ID.parse().unwrap())
}

fn attempt_names(names: &Names) -> AttemptNames {
    AttemptNames::new(names.place(blob()), blob(), Attempt(ATTEMPT.parse().unwrap()))
}

fn resolved(names: &Names, uri: &str) -> Option<(String, Standing)> {
    let found = names.resolve(&Location::new(uri), Operation::Read);
    found.ok().map(|(place, standing)| (place.to_string(), standing))
}

fn found(names: &Names, uri: &str) -> Option<String> {
    resolved(names, uri).map(|(place, _)| place)
}

#[test]
fn locations_are_those_of_glance_store() {
    let names = names(|_| {});
    let location = names.location(&names.place(blob()));
    assert_eq!(location.as_str(), format!("swift+config://ref1/glance/{ID}"));
    let expected = (format!("glance/{ID}"), Standing::Nothing);
    assert_eq!(resolved(&names, location.as_str()), Some(expected));
}

#[test]
fn containers_are_those_of_glance_store() {
    for (seed, container) in [
        (0, "glance"),
        (1, "glance_6"),
        (8, "glance_6c9f0a51"),
        (9, "glance_6c9f0a51-6"),
        (10, "glance_6c9f0a51-6b"),
        (32, "glance_6c9f0a51-6b0c-4a2e-8d6e-0f2d9f5b7a10"),
    ] {
        let names = names(|config| config.swift_store_multiple_containers_seed = seed);
        let expected = match seed {
            // `id[:32]` has four hyphens, so the suffix ends with the id.
            32 => format!("glance_{}", &ID[..36]),
            _ => container.to_owned(),
        };
        assert_eq!(names.place(blob()).container, expected, "{seed}");
    }
}

#[test]
fn old_locations_with_credentials_are_read() {
    let names = names(|_| {});
    let (plain, quoted) = ("service:glance:p/w:@%", "service%3Aglance:p/w%3A%40%25");
    for (place, standing) in [
        (format!("{quoted}@keystone/v3"), Standing::KnowsTheKey),
        (format!("{quoted}@KEYSTONE:443/v2.0"), Standing::KnowsTheKey),
        ("service:glance:old@keystone".to_owned(), Standing::Nothing),
        // Another user of the same project, with the first one's key.
        (
            "service%3Aformer:p/w%3A%40%25@keystone".to_owned(),
            Standing::Nothing,
        ),
        ("keystone/v3".to_owned(), Standing::Nothing),
    ] {
        for scheme in ["swift", "swift+https"] {
            let uri = format!("{scheme}://{place}/old/{ID}");
            let expected = (format!("old/{ID}"), standing);
            assert_eq!(resolved(&names, &uri), Some(expected), "{uri}");
        }
    }
    // A key that was not escaped, with a colon in it: the project is still told.
    let found_plain = resolved(&names, &format!("swift://{plain}@keystone/v3/c/{ID}"));
    assert_eq!(found_plain, Some((format!("c/{ID}"), Standing::Nothing)));
    // From before the log-in spoke TLS.
    assert!(found(&names, &format!("swift+http://{quoted}@keystone:80/v3/c/{ID}")).is_some());
}

#[test]
fn old_locations_of_a_user_are_read_by_application_credentials() {
    let names = names(|config| {
        config.swift_store_application_credential_id = Some("id".to_owned());
        config.swift_store_application_credential_secret = Some(Secret::new("secret"));
    });
    let uri = format!("swift+https://service:glance:secret@keystone/v3/c/{ID}");
    let expected = (format!("c/{ID}"), Standing::Nothing);
    assert_eq!(resolved(&names, &uri), Some(expected));
}

#[test]
fn locations_elsewhere_are_not_this_stores() {
    let names = names(|_| {});
    for uri in [
        "",
        "swift+config://",
        "swift+config://ref1",
        "swift+config://ref1/glance",
        "swift+config://ref1/glance/",
        "swift+config://ref1//a",
        "swift+config://ref1/glance/..",
        "swift+config://ref1/../a",
        "swift+config://ref1/glance/a?b",
        "swift+config://ref1/glance/a#b",
        "swift+config://ref1/glance/a\n",
        "swift+config://ref1/glance/.saccade.a.b",
        "swift+config://ref2/glance/a",
        "swift+config://a@ref1/glance/a",
        "swift+config://ref1/x/glance/a",
        "swift://other/v3/glance/a",
        "swift://another:glance:x@keystone/v3/glance/a",
        "swift://keystone@other/v3/glance/a",
        "swift://keystone:444/v3/glance/a",
        "swift://http://keystone/v3/glance/a",
        "swift+ftp://keystone/v3/glance/a",
        "SWIFT://keystone/v3/glance/a",
        "s3://keystone/glance/a",
        "file:///glance/a",
    ] {
        assert_eq!(found(&names, uri), None, "{uri}");
    }
    let segment = attempt_names(&names).segment(1);
    assert_eq!(
        found(&names, &format!("swift+config://ref1/glance/{segment}")),
        None
    );
    // glance_store's own are not told from images that somebody has named so.
    assert!(found(&names, &format!("swift+config://ref1/glance/{ID}-00001")).is_some());
    for end in ["00001", "0000a-1", ""] {
        let segment = format!("swift+config://ref1/glance/{ID}.{ID}-{end}");
        assert!(found(&names, &segment).is_none(), "{segment}");
    }
}

#[test]
fn errors_show_nothing_of_a_location() {
    let location = Location::new("swift://user:secret@elsewhere/v3/c/o");
    let error = names(|_| {}).resolve(&location, Operation::Read).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(
        !shown.contains("secret") && !shown.contains("elsewhere"),
        "{shown}"
    );
}

#[test]
fn a_storage_url_is_the_default_account_where_it_is_configured() {
    let uri = format!("swift+http://swift:8080/v1/AUTH_a/glance/{ID}");
    assert!(found(&names(|_| {}), &uri).is_none());
    let names = names(|config| config.swift_store_endpoint = Some("http://swift:8080/v1/AUTH_a".to_owned()));
    assert!(found(&names, &uri).is_some());
}

#[test]
fn names_of_an_attempt_are_nobody_elses() {
    let names = attempt_names(&names(|config| {
        config.swift_store_container = "a b/".replace('/', "é")
    }));
    assert_eq!(names.segment(7), format!("{ID}.{ATTEMPT}-00007"));
    assert_eq!(names.manifest(), format!("a%20b%C3%A9/{ID}.{ATTEMPT}-"));
    assert!(!names.prefix.starts_with(&format!("{ID}-")));
    let segments = names.place.segments_of(&names.manifest()).unwrap();
    assert_eq!(segments, ("a bé".to_owned(), names.prefix));
}

#[test]
fn a_manifest_of_other_objects_names_no_segments_to_delete() {
    let place = names(|_| {}).place(blob());
    let own = format!("glance/{ID}-");
    assert_eq!(
        place.segments_of(&own),
        Some(("glance".to_owned(), format!("{ID}-")))
    );
    for manifest in [
        "",
        "glance",
        "glance/",
        "glance/6",
        "/glance/",
        &format!("glance/{ID}"),
    ] {
        assert_eq!(place.segments_of(manifest), None, "{manifest}");
    }
}

#[test]
fn handles_are_read_back_and_others_are_not() {
    let names = names(|config| config.swift_store_container = "a b".to_owned());
    let attempt = attempt_names(&names);
    let handle = names.handle(&attempt).unwrap();
    let read = names.parse_handle(&handle, Operation::Discard).unwrap();
    assert_eq!(
        (read.mark, read.prefix, read.place),
        (attempt.mark, attempt.prefix, attempt.place)
    );
    let text = handle.as_str();
    for text in [
        "",
        "swift:1",
        &text.replace("ref1", "ref2"),
        &text.replace("a%20b", "a b"),
        &text.replace("a%20b", "a%2Fb"),
        &text.replace("swift:1", "swift:2"),
        &text.to_uppercase(),
        &format!("{text}:"),
    ] {
        let handle = Handle::new(text).unwrap();
        let error = names.parse_handle(&handle, Operation::Discard).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
    }
}

#[test]
fn urls_hold_names_and_nothing_else() {
    let storage = Url::parse("http://h:1/v1/AUTH_a/").unwrap();
    let url = url(&storage, "c %2e?", Some("o#/é"), &[("prefix", "a&b=c")]);
    assert_eq!(
        url.as_str(),
        "http://h:1/v1/AUTH_a/c%20%252e%3F/o%23%2F%C3%A9?prefix=a%26b%3Dc"
    );
}

proptest! {
    #[test]
    fn any_location_is_refused_or_stays_in_the_account(uri in "swift(\\+config|\\+https?)?://(ref1|keystone|[a-z:@%/]{0,9})(/v3)?(/\\PC{0,12}){0,3}") {
        let names = names(|_| {});
        if let Ok((place, _)) = names.resolve(&Location::new(uri.clone()), Operation::Read) {
            let storage = Url::parse("http://h/v1/AUTH_a").unwrap();
            let url = url(&storage, &place.container, Some(&place.object), &[]);
            prop_assert_eq!(url.host_str(), Some("h"));
            let parts: Vec<_> = url.path_segments().unwrap().collect();
            prop_assert_eq!(parts.len(), 4);
            prop_assert_eq!(&parts[..2], ["v1", "AUTH_a"]);
            prop_assert!(url.query().is_none() && url.fragment().is_none());
            prop_assert!(!place.object.starts_with(RESERVED));
            let end = format!("/{place}");
            prop_assert!(uri.ends_with(&end));
        }
    }

    #[test]
    fn any_text_is_taken(text in "\\PC{0,60}") {
        let names = names(|_| {});
        let _ = names.resolve(&Location::new(text.clone()), Operation::Read);
        let _ = names.place(blob()).segments_of(&text);
        let handle = Handle::new(text.clone()).unwrap();
        if let Ok(read) = names.parse_handle(&handle, Operation::Discard) {
            let again = names.handle(&read).unwrap();
            prop_assert_eq!(again.as_str(), text);
        }
    }
}
