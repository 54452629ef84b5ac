//! URLs that others name: what is checked is what is connected to, whoever reads the text; credentials and queries are never
//! shown; loopback and link-local addresses pass in no spelling; who is redirected takes no password elsewhere. The input's
//! second line, if there is one, is where the first one's server redirects to.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade_fuzz::{lines, text};
use saccade_outgoing::{
    Filter, Target,
    fuzzing::{credentials, redirected},
};
use url::{Host, Url};

fuzz_target!(|input: &[u8]| {
    let Some(text) = text(input) else { return };
    let (text, location) = lines(text);
    let Ok(target) = Target::parse(text) else { return };
    let url = target.url();

    // What was read reads the same again, and shows nothing that is secret.
    let again = Target::parse(url.as_str()).unwrap();
    assert_eq!(again.url(), url);
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    let shown = format!("{target} {target:?}");
    let (authority, path) = netloc(text);
    if let Some((credentials, _)) = authority.rsplit_once('@')
        && credentials.len() > 3
        && text.matches(credentials).count() == 1
        && !url.as_str().contains(credentials)
    {
        assert!(!shown.contains(credentials), "{shown}");
    }
    if let Some(query) = url.query()
        && query.len() > 3
        && url.as_str().matches(query).count() == 1
    {
        assert!(!shown.contains(query), "{shown}");
    }

    // A browser's parser and Python's urlsplit see the same host and port in the text.
    let whole = Url::parse(text).unwrap();
    assert_eq!(whole.host(), url.host(), "{text}");
    assert_eq!(
        whole.port_or_known_default(),
        url.port_or_known_default(),
        "{text}"
    );
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let host = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(host, _)| host),
        None => place.split_once(':').map_or(place, |(host, _)| host),
    };
    match url.host().unwrap() {
        Host::Ipv4(address) => assert_eq!(address.to_string(), host),
        Host::Ipv6(address) => assert_eq!(Ok(address), host.parse()),
        Host::Domain(name) if host.is_ascii() => assert_eq!(name, host.to_ascii_lowercase()),
        Host::Domain(name) => assert!(name.is_ascii()),
    }
    assert!(path.is_empty() || path.starts_with(['/', '?', '#']));

    if !location.is_empty() {
        redirect(&target, location);
    }

    let filter = Filter::default();
    let admitted = filter
        .admit(&target)
        .and_then(|()| filter.admit_literal(&target))
        .is_ok();
    let local = match url.host().unwrap() {
        Host::Ipv4(address) => address.is_loopback() || address.is_link_local() || address.is_unspecified(),
        Host::Ipv6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.is_loopback() || address.is_link_local() || address.is_unspecified(),
            None => address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified(),
        },
        Host::Domain(_) => false,
    };
    assert!(!(admitted && local), "{text}");
});

fn redirect(from: &Target, location: &str) {
    let Ok(target) = redirected(from, location) else {
        return;
    };
    let url = target.url();
    // It is no other than it would be if somebody had named it.
    assert_eq!(Target::parse(url.as_str()).unwrap().url(), url);
    // A browser goes to the same place.
    assert_eq!(
        from.url().join(location).unwrap().host(),
        url.host(),
        "{location}"
    );
    if url.origin() != from.url().origin() && !location.contains('@') {
        assert_eq!(credentials(&target), None, "{location}");
    }
    let shown = format!("{target} {target:?}");
    if let Some((_, password)) = credentials(&target)
        && password.len() > 3
        && !url.as_str().contains(password)
    {
        assert!(!shown.contains(password), "{shown}");
    }
}

/// As Python's `urlsplit` divides: authority, and what follows it.
fn netloc(text: &str) -> (&str, &str) {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}
