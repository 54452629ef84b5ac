//! Which option is honoured, guarded or harmless, and why. The first table that names an option decides.

pub(super) type Names = &'static [&'static str];

/// Every option of a section.
pub(super) const ALL: Names = &["*"];

pub(super) const HONOURED: &[(&str, Names)] = &[
    (
        "DEFAULT",
        &[
            "bind_host",
            "bind_port",
            "public_endpoint",
            "debug",
            "image_size_cap",
            "image_property_quota",
            "image_tag_quota",
            "image_member_quota",
            "image_location_quota",
            "limit_param_default",
            "api_limit_max",
            "show_image_direct_url",
            "show_multiple_locations",
            "hashing_algorithm",
            "do_secure_hash",
            "max_request_id_length",
            "enabled_backends",
            "enabled_import_methods",
        ],
    ),
    (
        "glance_store",
        &[
            "stores",
            "default_store",
            "default_backend",
            "filesystem_store_datadir",
            "filesystem_store_file_perm",
            "filesystem_thin_provisioning",
        ],
    ),
    (
        "<backend>",
        &[
            "filesystem_store_datadir",
            "filesystem_store_file_perm",
            "filesystem_thin_provisioning",
            "store_description",
            "weight",
        ],
    ),
    (
        "image_format",
        &[
            "disk_formats",
            "container_formats",
            "vmdk_allowed_types",
            "require_image_format_match",
            "gpt_safety_checks_nonfatal",
        ],
    ),
    (
        "oslo_policy",
        &["policy_file", "policy_dirs", "policy_default_rule"],
    ),
    ("paste_deploy", &["flavor"]),
    ("healthcheck", &["backends", "disable_by_file_path"]),
    ("oslo_middleware", &["enable_proxy_headers_parsing"]),
];

const NO_IMPORT_RULES: &str = "Saccade does not apply these rules to imports yet";
const NO_SIGNATURES: &str = "signatures of images are not verified yet, so no key manager is asked";
const NO_KEYSTONE: &str =
    "tokens are not validated at Keystone yet; [saccade] identity says who the callers are";

pub(super) const GUARDED: &[(&str, Names, &str, &[&str])] = &[
    (
        "DEFAULT",
        &["user_storage_quota"],
        "the storage of a project is not limited yet",
        &["0B", "0KB", "0MB", "0GB", "0TB"],
    ),
    (
        "DEFAULT",
        &["use_keystone_limits"],
        "limits kept in Keystone are not applied yet",
        &[],
    ),
    (
        "DEFAULT",
        &["delayed_delete"],
        "deleted images are removed at once; there is no delayed deletion yet",
        &[],
    ),
    (
        "DEFAULT",
        &["allow_anonymous_access"],
        "a caller without a token is always refused",
        &[],
    ),
    (
        "DEFAULT",
        &["property_protection_file"],
        "properties would be readable and writable by everyone; protection is not applied yet",
        &[],
    ),
    (
        "DEFAULT",
        &["metadata_encryption_key"],
        "image locations are not encrypted",
        &[],
    ),
    (
        "DEFAULT",
        &["admin_role"],
        "who is an administrator is decided by the policy alone",
        &["admin"],
    ),
    (
        "DEFAULT",
        &["owner_is_tenant"],
        "images always belong to projects",
        &[],
    ),
    (
        "DEFAULT",
        &["enforce_secure_rbac"],
        "Saccade always enforces the secure defaults",
        &["true"],
    ),
    (
        "DEFAULT",
        &["allow_additional_image_properties"],
        "additional properties cannot be forbidden",
        &[],
    ),
    (
        "DEFAULT",
        &["cert_file", "key_file", "ca_file"],
        "Saccade serves plain HTTP, as Glance does since TLS was removed from it: put a proxy before it that ends TLS",
        &[],
    ),
    (
        "DEFAULT",
        &["secure_proxy_ssl_header"],
        "use [oslo_middleware] enable_proxy_headers_parsing",
        &[],
    ),
    (
        "DEFAULT",
        &["notification_driver"],
        "notifications are not sent yet",
        &["noop"],
    ),
    (
        "oslo_messaging_notifications",
        &["driver"],
        "notifications are not sent yet: who waits for them would wait for ever",
        &["noop"],
    ),
    (
        "audit_middleware_notifications",
        &["driver"],
        "audit events are not sent",
        &["noop"],
    ),
    (
        "database",
        &["connection", "asyncio_connection"],
        "images recorded in this database are not seen: Saccade keeps its own catalogue in [saccade] data_dir, which starts empty",
        &[],
    ),
    (
        "DEFAULT",
        &["sql_connection"],
        "images recorded in this database are not seen: Saccade keeps its own catalogue in [saccade] data_dir, which starts empty",
        &[],
    ),
    (
        "oslo_policy",
        &["enforce_new_defaults"],
        "the old default rules are not known here",
        &[],
    ),
    (
        "oslo_policy",
        &["enforce_scope"],
        "the scope of a token is always enforced",
        &[],
    ),
    (
        "paste_deploy",
        &["config_file"],
        "pipelines are not read from a file; one named glance-api-paste.ini is taken for Glance's own",
        &[],
    ),
    (
        "image_import_opts",
        &["image_import_plugins"],
        "no plugin would change images on import",
        &["[]", "['no_op']", "[no_op]"],
    ),
    ("import_filtering_opts", ALL, NO_IMPORT_RULES, &[]),
    (
        "healthcheck",
        ALL,
        "/healthcheck answers as in Glance's own pipeline: to everyone, in brief, and off while a file exists",
        &[],
    ),
    (
        "cors",
        &[
            "allowed_origin",
            "allow_credentials",
            "allow_headers",
            "allow_methods",
            "expose_headers",
        ],
        "pages of other origins are not let in yet: uploads straight from a browser would fail",
        &[],
    ),
    (
        "glance_store",
        &["filesystem_store_datadirs"],
        "images are kept in one directory: use filesystem_store_datadir",
        &[],
    ),
    (
        "<backend>",
        &["filesystem_store_datadirs"],
        "images are kept in one directory: use filesystem_store_datadir",
        &[],
    ),
    (
        "glance_store",
        &["filesystem_store_metadata_file"],
        "locations do not carry the metadata of this file yet",
        &[],
    ),
    (
        "<backend>",
        &["filesystem_store_metadata_file"],
        "locations do not carry the metadata of this file yet",
        &[],
    ),
    ("key_manager", ALL, NO_SIGNATURES, &[]),
    ("barbican", ALL, NO_SIGNATURES, &[]),
    ("barbican_service_user", ALL, NO_SIGNATURES, &[]),
    ("vault", ALL, NO_SIGNATURES, &[]),
    (
        "backend_defaults",
        ALL,
        "options of a store are read from its own section",
        &[],
    ),
];

const LOGGING: &str = "the log goes to standard error; see [saccade] log_format and [DEFAULT] debug";
const NOT_SENT: &str = "no messages are sent; a driver that would send them stops the start";
const NO_DATABASE: &str = "no SQL database is used; [database] connection stops the start";
pub(super) const OTHER_DRIVER: &str =
    "belongs to a driver that is not in use; enabling the driver stops the start";
const REGISTRY: &str = "there is no registry";
const ENGINE: &str = "Saccade schedules its own work";
const TASKS: &str = "imports are scheduled by Saccade";
pub(in crate::config) const STAGING: &str = "staged data is kept under [saccade] data_dir";
const CACHE: &str = "there is no image cache: images are read from the store";
const PURGE: &str = "nothing waits for a scrubber; delayed_delete stops the start";

pub(super) const HARMLESS: &[(&str, Names, &str)] = &[
    (
        "DEFAULT",
        &[
            "default_log_levels",
            "fatal_deprecations",
            "instance_format",
            "instance_uuid_format",
            "log_color",
            "log_config_append",
            "log_date_format",
            "log_dir",
            "log_file",
            "log_rotate_interval",
            "log_rotate_interval_type",
            "log_rotation_type",
            "logging_context_format_string",
            "logging_debug_format_suffix",
            "logging_default_format_string",
            "logging_exception_prefix",
            "logging_user_identity_format",
            "max_logfile_count",
            "max_logfile_size_mb",
            "publish_errors",
            "rate_limit_burst",
            "rate_limit_except_level",
            "rate_limit_interval",
            "syslog_log_facility",
            "use_eventlog",
            "use_journal",
            "use_json",
            "use_stderr",
            "use_syslog",
            "verbose",
            "watch_log_file",
        ],
        LOGGING,
    ),
    (
        "DEFAULT",
        &[
            "workers",
            "backlog",
            "client_socket_timeout",
            "executor_thread_pool_size",
            "http_keepalive",
            "max_header_line",
            "tcp_keepidle",
            "daemon",
            "pydev_worker_debug_host",
            "pydev_worker_debug_port",
            "http_retries",
        ],
        ENGINE,
    ),
    (
        "DEFAULT",
        &[
            "conn_pool_min_size",
            "conn_pool_ttl",
            "control_exchange",
            "default_publisher_id",
            "disabled_notifications",
            "rpc_backend",
            "rpc_conn_pool_size",
            "rpc_ping_enabled",
            "rpc_response_timeout",
            "transport_url",
            "allowed_rpc_exception_modules",
        ],
        NOT_SENT,
    ),
    ("oslo_messaging_notifications", ALL, NOT_SENT),
    ("oslo_messaging_rabbit", ALL, NOT_SENT),
    ("oslo_messaging_kafka", ALL, NOT_SENT),
    ("oslo_messaging_amqp", ALL, NOT_SENT),
    ("audit_middleware_notifications", ALL, NOT_SENT),
    ("database", ALL, NO_DATABASE),
    ("DEFAULT", &["data_api"], NO_DATABASE),
    (
        "DEFAULT",
        &[
            "admin_password",
            "admin_tenant_name",
            "admin_user",
            "auth_region",
            "auth_strategy",
            "auth_url",
            "use_user_token",
            "send_identity_headers",
        ],
        NO_KEYSTONE,
    ),
    ("keystone_authtoken", ALL, NO_KEYSTONE),
    (
        "DEFAULT",
        &[
            "enable_v1_registry",
            "enable_v2_registry",
            "registry_client_ca_file",
            "registry_client_cert_file",
            "registry_client_insecure",
            "registry_client_key_file",
            "registry_client_protocol",
            "registry_client_timeout",
            "registry_host",
            "registry_port",
        ],
        REGISTRY,
    ),
    (
        "DEFAULT",
        &["enable_v1_api", "enable_v2_api"],
        "version 2 of the API is served, and no other",
    ),
    (
        "DEFAULT",
        &[
            "image_cache_dir",
            "image_cache_driver",
            "image_cache_max_size",
            "image_cache_sqlite_db",
            "image_cache_stall_time",
        ],
        CACHE,
    ),
    (
        "DEFAULT",
        &["scrub_pool_size", "scrub_time", "wakeup_time", "restore"],
        PURGE,
    ),
    (
        "DEFAULT",
        &["node_staging_uri", "worker_self_reference_url"],
        STAGING,
    ),
    (
        "DEFAULT",
        &["property_protection_rule_format"],
        "used with property_protection_file only, which stops the start",
    ),
    (
        "DEFAULT",
        &["digest_algorithm"],
        "Glance does not verify image signatures with it either",
    ),
    ("DEFAULT", &["location_strategy"], "an image has one location"),
    ("DEFAULT", &["pipe_handle"], ENGINE),
    ("store_type_location_strategy", ALL, "an image has one location"),
    ("task", ALL, TASKS),
    ("taskflow_executor", &["engine_mode", "max_workers"], TASKS),
    ("wsgi", ALL, TASKS),
    (
        "image_import_opts",
        &["max_parallel_stores"],
        "there is one store",
    ),
    (
        "image_conversion",
        ALL,
        "used by an import plugin only; image_import_plugins stops the start",
    ),
    (
        "inject_metadata_properties",
        ALL,
        "used by an import plugin only; image_import_plugins stops the start",
    ),
    (
        "glance_download_properties",
        ALL,
        "glance-download is not offered",
    ),
    (
        "oslo_limit",
        ALL,
        "limits in Keystone are not used; use_keystone_limits stops the start",
    ),
    ("oslo_concurrency", ALL, "Saccade takes no lock files"),
    ("oslo_reports", ALL, "there are no Guru Meditation reports"),
    (
        "oslo_middleware",
        &["max_request_body_size", "http_basic_auth_user_file"],
        "not in Glance's pipelines either",
    ),
    ("oslo_middleware_tracing", ALL, "requests are not traced"),
    ("profiler", ALL, "requests are not profiled"),
    ("profiler_jaeger", ALL, "requests are not profiled"),
    ("profiler_otlp", ALL, "requests are not profiled"),
    ("os_brick", ALL, OTHER_DRIVER),
    (
        "cors",
        &["max_age"],
        "pages of other origins are not let in; allowed_origin stops the start",
    ),
];

/// Drivers other than `file`: an option of theirs does nothing while the driver is off.
pub(super) const DRIVER_PREFIXES: &[&str] = &[
    "cinder_",
    "http_proxy_",
    "https_",
    "rados_",
    "rbd_",
    "rootwrap_",
    "s3_",
    "swift_",
    "vmware_",
    "default_swift_",
];
/// How the file driver of Glance does its reading and writing.
pub(super) const FILE_TUNING: &[&str] = &[
    "filesystem_store_chunk_size",
    "filesystem_store_thread_pool_size",
    "filesystem_store_threadpool_threshold",
    "filesystem_store_timeout",
];
