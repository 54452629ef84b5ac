//! Reads `[saccade]`: what Glance has no option for.

use super::{
    error::{ConfigError, ErrorKind, Origin},
    glance::{self, Given},
    identity::Kind,
    reader::Reader,
    settings::{AtOnce, Log, LogFormat, LogLevel, Node, Server},
    sources::{Sources, User},
    value::{self, ByteSize, Rejected},
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

const SACCADE: &str = "saccade";

/// Every option of `[saccade]`, with its default as it would stand in a file.
pub(super) const OPTIONS: &[(&str, Option<&str>)] = &[
    ("accept_paste_filters", Some("")),
    ("accept_unsupported", Some("")),
    ("cache_filesystem_stores", Some("false")),
    ("claim_lease", Some("60s")),
    ("conversion_sandbox", Some("required")),
    ("conversion_time_limit", Some("4h")),
    ("data_dir", None),
    ("drain_delay", Some("0s")),
    ("file_engine", Some("pwrite")),
    ("file_write_mode", Some("auto")),
    ("free_space_reserve", Some("256MiB")),
    ("graceful_timeout", Some("60s")),
    ("gzip_responses", None),
    ("identity", None),
    ("inspect_ova", Some("false")),
    ("log_format", Some("text")),
    ("max_connections", Some("10000")),
    ("max_downloads", Some("none")),
    ("max_downloads_per_project", Some("none")),
    ("max_uploads", Some("none")),
    ("max_uploads_per_project", Some("none")),
    ("metrics_bind", Some("127.0.0.1:9299")),
    ("request_header_timeout", Some("30s")),
    ("token_lifetime", Some("24h")),
    ("transfer_idle_timeout", Some("10m")),
    ("transfer_memory", Some("64MiB")),
    ("transfer_queue_length", Some("1000")),
    ("transfer_queue_timeout", Some("30s")),
    ("trusted_headers_allow_remote", Some("false")),
];

/// Where metrics are served when nobody says where.
pub const DEFAULT_METRICS_BIND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9299);

/// What listens for these callers; whether Glance's pipeline compresses answers.
pub(super) fn server(
    reader: &mut Reader<'_>,
    sources: &Sources,
    given: Given,
    callers: Option<Kind>,
    gzip: bool,
) -> Server {
    let positive = || value::duration_from(Duration::from_millis(1));
    let seconds = Duration::from_secs;
    Server {
        bind: bind(reader, sources, callers),
        metrics_bind: reader.or(
            SACCADE,
            "metrics_bind",
            Some(DEFAULT_METRICS_BIND),
            |text| match text {
                "none" => Ok(None),
                text => value::socket_address(text)
                    .map(Some)
                    .map_err(|Rejected(a)| Rejected(format!("none, or {a}"))),
            },
        ),
        public_endpoint: reader
            .optional("DEFAULT", "public_endpoint", value::endpoint)
            .flatten(),
        enable_proxy_headers_parsing: reader.or(
            "oslo_middleware",
            "enable_proxy_headers_parsing",
            false,
            value::boolean,
        ),
        max_request_id_length: reader.or("DEFAULT", "max_request_id_length", 64, |text| {
            let n = value::integer_within(0, 16_384)(text)?;
            usize::try_from(n).map_err(|_| Rejected::accepts("a whole number from 0 to 16384"))
        }),
        gzip_responses: reader.or(SACCADE, "gzip_responses", gzip, value::boolean),
        healthcheck_disable_file: glance::healthcheck(reader, given),
        drain_delay: reader.or(SACCADE, "drain_delay", Duration::ZERO, value::duration),
        graceful_timeout: reader.or(SACCADE, "graceful_timeout", seconds(60), value::duration),
        transfer_idle_timeout: reader.or(SACCADE, "transfer_idle_timeout", seconds(600), positive()),
        request_header_timeout: reader.or(SACCADE, "request_header_timeout", seconds(30), positive()),
        transfer_memory: reader.or(
            SACCADE,
            "transfer_memory",
            ByteSize::from_bytes(64 << 20),
            at_least(8 << 20),
        ),
        max_connections: reader.or(
            SACCADE,
            "max_connections",
            NonZeroU32::new(10_000).unwrap_or(NonZeroU32::MIN),
            |text| {
                text.parse()
                    .map_err(|_| Rejected::accepts("a whole number from 1 to 4294967295"))
            },
        ),
        uploads: AtOnce {
            total: at_once(reader, "max_uploads"),
            per_project: at_once(reader, "max_uploads_per_project"),
        },
        downloads: AtOnce {
            total: at_once(reader, "max_downloads"),
            per_project: at_once(reader, "max_downloads_per_project"),
        },
        transfer_queue_length: reader.or(SACCADE, "transfer_queue_length", 1000, |text| {
            text.parse()
                .map_err(|_| Rejected::accepts("a whole number from 0 to 4294967295"))
        }),
        transfer_queue_timeout: reader.or(SACCADE, "transfer_queue_timeout", seconds(30), value::duration),
    }
}

fn at_once(reader: &mut Reader<'_>, option: &'static str) -> Option<NonZeroU32> {
    reader.or(SACCADE, option, None, |text| match text {
        "none" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| Rejected::accepts("none, or a whole number from 1 to 4294967295")),
    })
}

pub(super) fn log(reader: &mut Reader<'_>) -> Log {
    let debug = reader.or("DEFAULT", "debug", false, value::boolean);
    Log {
        level: if debug { LogLevel::Debug } else { LogLevel::Info },
        format: reader.or(SACCADE, "log_format", LogFormat::Text, |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(Rejected::accepts("text or json")),
        }),
    }
}

pub(super) fn node(reader: &mut Reader<'_>, sources: &Sources) -> Node {
    Node {
        data_dir: data_dir(reader, sources),
        free_space_reserve: reader.or(
            SACCADE,
            "free_space_reserve",
            ByteSize::from_bytes(256 << 20),
            at_least(16 << 20),
        ),
        claim_lease: reader.or(
            SACCADE,
            "claim_lease",
            Duration::from_secs(60),
            value::duration_from(Duration::from_secs(10)),
        ),
    }
}

/// Where Keystone vouches for every caller, the port may be open, as Glance's was. Otherwise that is a decision, and
/// has to be written down.
fn bind(reader: &mut Reader<'_>, sources: &Sources, callers: Option<Kind>) -> SocketAddr {
    let unsaid = match callers {
        Some(Kind::Keystone) => Ipv4Addr::UNSPECIFIED,
        Some(Kind::Local | Kind::TrustedHeaders | Kind::NoneEveryoneIsAdmin) | None => Ipv4Addr::LOCALHOST,
    };
    let (host, port) = glance::bind(reader);
    let configured = SocketAddr::new(host.unwrap_or(IpAddr::V4(unsaid)), port.unwrap_or(9292));
    let Some(given) = &sources.overrides.bind else {
        return configured;
    };
    value::socket_address(given).unwrap_or_else(|Rejected(accepted)| {
        let origin = Origin::CommandLine { flag: "--bind" };
        let message = format!("{given:?} is not accepted; give {accepted}");
        reader
            .errors
            .push(ConfigError::new(ErrorKind::Value, origin, message));
        configured
    })
}

fn data_dir(reader: &mut Reader<'_>, sources: &Sources) -> PathBuf {
    let configured = reader
        .optional(SACCADE, "data_dir", value::not_empty)
        .map(PathBuf::from);
    let given = sources
        .overrides
        .data_dir
        .clone()
        .or(configured)
        .or_else(|| default_data_dir(sources));
    match given.map(std::path::absolute) {
        Some(Ok(path)) => path,
        Some(Err(_)) | None => {
            let message = "give --data-dir or set an absolute path: there is no home directory to put it in";
            reader.refuse(ErrorKind::Conflict, SACCADE, "data_dir", message);
            PathBuf::new()
        }
    }
}

fn default_data_dir(sources: &Sources) -> Option<PathBuf> {
    if sources.user == User::Root {
        return Some(PathBuf::from("/var/lib/saccade"));
    }
    let variable = |name| {
        sources
            .env
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| PathBuf::from(value))
    };
    // The XDG specification has relative paths ignored.
    let data_home = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let home = || {
        variable("HOME")
            .filter(|path| path.is_absolute())
            .map(|home| home.join(".local/share"))
    };
    data_home.or_else(home).map(|dir| dir.join("saccade"))
}

fn at_least(min: u64) -> impl FnOnce(&str) -> Result<ByteSize, Rejected> {
    move |text| match value::byte_size(text)? {
        small if small.bytes() < min => Err(Rejected::accepts(format!(
            "at least {}",
            ByteSize::from_bytes(min)
        ))),
        enough => Ok(enough),
    }
}
