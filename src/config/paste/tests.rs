use super::super::{
    error::{ConfigError, ErrorKind, Origin},
    settings::Identity,
    tests::{INSTALL_GUIDE, Setup},
};
use std::fs;

/// As Glance 33 has it: composites that choose by flavor.
const STOCK: &str = "\
# Use this composite for keystone auth
[composite:glance-api]
paste.composite_factory = glance.api:root_app_factory
/: api
/healthcheck: healthcheck
[composite:glance-api-keystone]
paste.composite_factory = glance.api:root_app_factory
/: api
/healthcheck: healthcheck
[composite:api]
paste.composite_factory = glance.api:pipeline_factory
default = cors http_proxy_to_wsgi versionnegotiation osprofiler unauthenticated-context rootapp
keystone = cors http_proxy_to_wsgi versionnegotiation osprofiler authtoken context rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[app:healthcheck]
paste.app_factory = oslo_middleware:Healthcheck.app_factory
backends = disable_by_file
disable_by_file_path = /etc/glance/healthcheck_disable
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
[filter:unauthenticated-context]
paste.filter_factory = glance.api.middleware.context:UnauthenticatedContextMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = true
[filter:osprofiler]
paste.filter_factory = osprofiler.web:WsgiMiddleware.factory
hmac_keys = SECRET_KEY  #DEPRECATED
[filter:cors]
paste.filter_factory =  oslo_middleware.cors:filter_factory
oslo_config_project = glance
[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory
";

/// As Glance had it until 2024: one pipeline for each flavor. With the filter that OpenStack-Helm adds.
const HELM: &str = "\
[pipeline:glance-api-keystone]
pipeline = cors healthcheck http_proxy_to_wsgi versionnegotiation
    osprofiler authtoken
    # between them, for the auditors
    audit context  rootapp
[filter:healthcheck]
paste.filter_factory = oslo_middleware:Healthcheck.factory
[filter:audit]
audit_map_file = /etc/glance/api_audit_map.conf
paste.filter_factory = keystonemiddleware.audit:filter_factory
";

fn helm() -> String {
    let rest = STOCK.split_once("[composite:rootapp]").unwrap().1;
    format!("{HELM}[composite:rootapp]{rest}")
}

fn beside(paste: &str) -> Setup {
    let setup = Setup::new().file(
        "glance-api.conf",
        INSTALL_GUIDE.split("[paste_deploy]").next().unwrap(),
    );
    let setup = setup.file("more.conf", "[paste_deploy]\nflavor = keystone\n");
    fs::write(setup.dir.path().join("glance-api-paste.ini"), paste).unwrap();
    setup
}

fn is_keystone(setup: &Setup) -> bool {
    matches!(setup.loaded().config.identity, Identity::Keystone(_))
}

fn line(error: &ConfigError) -> usize {
    match &error.origin {
        Origin::File { line, path } => {
            assert!(path.ends_with("glance-api-paste.ini"), "{error}");
            *line
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_file_of_glance_is_read_where_it_is_found() {
    let setup = beside(STOCK);
    assert!(is_keystone(&setup));
    let report = setup.loaded().report.to_string();
    assert!(report.contains("glance-api-paste.ini)"), "{report}");
}

#[test]
fn a_filter_of_someone_else_stops_the_start_until_it_is_let_pass() {
    let setup = beside(&helm());
    let error = setup.only_error();
    assert_eq!((error.kind, line(&error)), (ErrorKind::Unsupported, 8), "{error}");
    for part in [
        "the filter audit (keystonemiddleware.audit:filter_factory)",
        "accept_paste_filters = audit",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let setup = setup.file("saccade.conf", "[saccade]\naccept_paste_filters = audit\n");
    assert!(is_keystone(&setup));
    let warnings = setup.loaded().warnings;
    assert!(
        warnings[0].to_string().contains("the filter audit has no effect"),
        "{warnings:?}"
    );
}

#[test]
fn answers_are_compressed_where_the_pipeline_says_so_unless_the_operator_does() {
    let compresses = |setup: &Setup| setup.loaded().config.server.gzip_responses;
    let stock = beside(STOCK);
    assert!(!compresses(&stock), "Glance's own pipelines do not");
    let named = STOCK.replace("osprofiler authtoken", "osprofiler gzip authtoken");
    assert_ne!(named, STOCK);
    let named = format!(
        "{named}[filter:gzip]\npaste.filter_factory = glance.api.middleware.gzip:GzipMiddleware.factory\n"
    );
    let setup = beside(&named);
    assert!(compresses(&setup));
    let setup = setup.file("saccade.conf", "[saccade]\ngzip_responses = false\n");
    assert!(!compresses(&setup));
    let stock = stock.file("saccade.conf", "[saccade]\ngzip_responses = true\n");
    assert!(compresses(&stock));
}

#[test]
fn another_identity_does_not_let_an_unknown_filter_pass() {
    let setup = beside(&helm()).file("saccade.conf", "[saccade]\nidentity = local\n");
    assert_eq!(setup.only_error().kind, ErrorKind::Unsupported);
}

#[test]
fn a_pipeline_of_keystone_that_lets_callers_in_unasked_is_refused() {
    let keystone = "osprofiler authtoken context rootapp";
    for (pipeline, part) in [
        ("osprofiler unauthenticated-context rootapp", "promises Keystone"),
        ("osprofiler context rootapp", "promises Keystone"),
        ("osprofiler authtoken rootapp", "authtoken context"),
        ("osprofiler context authtoken rootapp", "authtoken context"),
        (
            "authtoken context unauthenticated-context rootapp",
            "authtoken context",
        ),
        ("osprofiler rootapp", "authtoken context"),
        ("authtoken context apiversions", "does not lead to the image API"),
        ("authtoken context nosuch", "no app nosuch"),
        ("nosuch authtoken context rootapp", "no filter nosuch"),
    ] {
        let error = beside(&STOCK.replace(keystone, pipeline)).only_error();
        assert!(error.to_string().contains(part), "{pipeline}: {error}");
    }
    let empty = STOCK.replace(
        "keystone = cors http_proxy_to_wsgi versionnegotiation osprofiler authtoken context rootapp",
        "keystone =",
    );
    assert!(
        beside(&empty)
            .only_error()
            .to_string()
            .contains("the pipeline is empty")
    );
    // A second way in, beside the one that asks.
    let open = STOCK.replace(
        "/healthcheck: healthcheck\n",
        "/healthcheck: healthcheck\n/open: rootapp\n",
    );
    let error = beside(&open).only_error();
    assert!(error.to_string().contains("authtoken context"), "{error}");
}

#[test]
fn a_default_pipeline_that_asks_keystone_needs_no_flavor() {
    let paste = STOCK.replace(
        "osprofiler unauthenticated-context",
        "osprofiler authtoken context",
    );
    let setup = beside(&paste).file("z.conf", "[paste_deploy]\nflavor =\n");
    assert!(is_keystone(&setup));
}

#[test]
fn a_flavor_that_the_file_does_not_have_is_refused() {
    let error = beside(STOCK)
        .file("z.conf", "[paste_deploy]\nflavor = keystone+caching\n")
        .only_error();
    assert!(
        error.to_string().contains("glance-api-keystone+caching"),
        "{error}"
    );
    let paste = STOCK.replace("keystone = cors", "other = cors");
    let error = beside(&paste).only_error();
    assert!(
        error.to_string().contains("no pipeline for the flavor keystone"),
        "{error}"
    );
}

#[test]
fn options_that_the_filter_would_put_above_the_section_are_refused_without_being_shown() {
    for (line, name) in [
        ("auth_url = http://other:5000", "auth_url"),
        ("token_cache_time = 0", "token_cache_time"),
        ("password = s3cret", "password"),
        ("oslo_config_project = other", "oslo_config_project"),
        ("memcache_servers = h:1", "memcache_servers"),
    ] {
        let delay = "delay_auth_decision = true\n";
        let error = beside(&STOCK.replace(delay, &format!("{delay}{line}\n"))).only_error();
        assert!(
            error
                .to_string()
                .contains(&format!("{name} of the filter authtoken")),
            "{error}"
        );
        assert!(!error.to_string().contains("s3cret"));
        if name != "oslo_config_project" {
            let error = beside(&format!("[DEFAULT]\n{line}\n{STOCK}")).only_error();
            assert!(error.to_string().contains("[keystone_authtoken]"), "{error}");
        }
    }
}

#[test]
fn options_of_other_filters_are_refused_unless_they_are_let_pass() {
    for (after, line, filter) in [
        (
            "oslo_config_project = glance\n",
            "allowed_origin = https://evil.example",
            "cors",
        ),
        (
            "oslo_middleware:HTTPProxyToWSGI.factory\n",
            "enable_proxy_headers_parsing = true",
            "http_proxy_to_wsgi",
        ),
    ] {
        let setup = beside(&STOCK.replace(after, &format!("{after}{line}\n")));
        let error = setup.only_error();
        assert!(
            error.to_string().contains(&format!("of the filter {filter}")),
            "{error}"
        );
        let accept = format!("[saccade]\naccept_paste_filters = {filter}\n");
        assert!(is_keystone(&setup.file("z.conf", &accept)));
    }
    let moved = helm().replace("audit ", "").replace(
        "Healthcheck.factory\n",
        "Healthcheck.factory\nbackends = disable_by_file\ndisable_by_file_path = /elsewhere\n",
    );
    let error = beside(&moved).only_error();
    assert!(error.to_string().contains("disable_by_file_path"), "{error}");
}

#[test]
fn what_paste_would_put_together_otherwise_is_not_guessed_at() {
    let factory = "paste.filter_factory = keystonemiddleware.auth_token:filter_factory\n";
    for (from, to) in [
        (factory, "use = egg:mine#authtoken\n"),
        (factory, &*format!("{factory}filter-with = other\n")),
        (factory, "paste.filter_factory = %(mine)s\n"),
        ("glance.api.v2.router:API.factory", "mine:API.factory"),
        (
            "glance.api:root_app_factory\n/: apiversions",
            "mine:root\n/: apiversions",
        ),
        ("/v2: apiv2app", "/v2: config:other.ini"),
        ("[composite:rootapp]", "[filter-app:rootapp]"),
        ("/v2: apiv2app", "/v2: rootapp"),
        ("[app:apiversions]", "[app:apiv2app]\nx = y\n[app:apiversions]"),
        (
            "[app:apiversions]",
            "[pipeline:apiv2app]\npipeline = apiversions\n[app:apiversions]",
        ),
        (
            "[app:apiversions]",
            "paste.composite_factory = x\n[app:apiversions]",
        ),
    ] {
        let paste = STOCK.replace(from, to);
        assert_ne!(paste, STOCK);
        let errors = beside(&paste).errors();
        assert!(
            !errors.is_empty() && errors.iter().all(|error| line(error) > 0 || from != to),
            "{to}"
        );
    }
}

#[test]
fn a_file_that_is_named_must_be_there_unless_it_is_glances_own() {
    let named = |name: &str| {
        let more = format!("[paste_deploy]\nconfig_file = {name}\n");
        Setup::new()
            .file("glance-api.conf", INSTALL_GUIDE)
            .file("more.conf", &more)
    };
    let error = named("/nonexistent/ours.ini").only_error();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    for stock in [
        "/nonexistent/glance-api-paste.ini",
        "/nonexistent/glance-api-dist-paste.ini",
    ] {
        assert!(is_keystone(&named(stock)), "{stock}");
    }
    let ours = named("ours.ini");
    fs::write(
        ours.dir.path().join("ours.ini"),
        "[composite:glance-api-keystone]\n",
    )
    .unwrap();
    assert!(ours.only_error().to_string().contains("ours.ini:1"));
}

#[test]
fn a_file_goes_by_the_name_of_the_last_file_for_glance() {
    let setup = Setup::new()
        .file("mine.conf", INSTALL_GUIDE.split("config_file").next().unwrap())
        .file("saccade.conf", "[saccade]\nmetrics_bind = none\n");
    fs::write(setup.dir.path().join("mine-paste.ini"), "nonsense\n").unwrap();
    assert_eq!(setup.only_error().kind, ErrorKind::Syntax);
}

proptest::proptest! {
    #[test]
    fn no_file_makes_a_flavor_of_keystone_ask_nobody(
        cuts in proptest::collection::vec((0usize..60, 0usize..60), 0..6),
        noise in "[ -~\n]{0,40}",
    ) {
        let mut lines: Vec<&str> = STOCK.lines().collect();
        for (from, to) in cuts {
            let line = lines.remove(from % lines.len());
            lines.insert(to % (lines.len() + 1), line);
        }
        lines.push(&noise);
        let setup = beside(&lines.join("\n"));
        match super::super::load(&setup.sources) {
            Ok(loaded) => assert!(matches!(loaded.config.identity, Identity::Keystone(_))),
            Err(errors) => assert!(!errors.is_empty()),
        }
    }
}
