//! Where validated tokens are kept between processes, and how they are protected there.

use super::{
    Memcached, MemcachedTls, Protection, Sasl,
    read::{SECTION, client_certificate, missing, seconds, text},
};
use crate::config::{
    error::OptionName,
    reader::Reader,
    value::{self, Rejected, Secret},
};
use std::{path::PathBuf, time::Duration};

/// `Some(None)` without servers; `None` when something is missing or wrong. Options are checked without servers,
/// too: who asks for protection and forgets its key is told.
pub(super) fn memcached(reader: &mut Reader<'_>) -> Option<Option<Memcached>> {
    let servers: Vec<String> = reader
        .optional(SECTION, "memcached_servers", |text| Ok(value::list(text)))
        .unwrap_or_default()
        .into_iter()
        .filter(|server| !server.is_empty())
        .collect();
    let protection = protection(reader);
    let tls = tls(reader);
    let sasl = sasl(reader);
    let second = Duration::from_secs(1);
    let socket_timeout = seconds(reader, "memcache_pool_socket_timeout", second * 3, 1);
    let dead_retry = seconds(reader, "memcache_pool_dead_retry", second * 300, 0);
    let pool_conn_get_timeout = seconds(reader, "memcache_pool_conn_get_timeout", second * 10, 1);
    let pool_unused_timeout = seconds(reader, "memcache_pool_unused_timeout", second * 60, 0);
    let pool_maxsize = reader.or(SECTION, "memcache_pool_maxsize", 10, |text| {
        let n = value::unsigned_within(1, 10_000)(text)?;
        usize::try_from(n).map_err(|_| Rejected::accepts("a whole number from 1 to 10000"))
    });
    let (protection, sasl) = (protection?, sasl?);
    if servers.is_empty() {
        return Some(None);
    }
    Some(Some(Memcached {
        servers,
        protection,
        socket_timeout,
        dead_retry,
        pool_maxsize,
        pool_conn_get_timeout,
        pool_unused_timeout,
        tls,
        sasl,
    }))
}

fn protection(reader: &mut Reader<'_>) -> Option<Protection> {
    let key = text(reader, SECTION, "memcache_secret_key").map(Secret::new);
    let Some(strategy) = reader.text(SECTION, "memcache_security_strategy") else {
        return Some(Protection::None);
    };
    let protection = match strategy.text.to_lowercase().as_str() {
        "none" => return Some(Protection::None),
        "mac" => Protection::Mac,
        "encrypt" => Protection::Encrypt,
        _ => {
            let option = OptionName::new(SECTION, "memcache_security_strategy");
            reader.wrong(option, &strategy, "None, MAC or ENCRYPT");
            return None;
        }
    };
    if key.is_none() {
        missing(reader, SECTION, "memcache_secret_key", "A_LONG_RANDOM_TEXT");
    }
    key.map(protection)
}

fn tls(reader: &mut Reader<'_>) -> Option<MemcachedTls> {
    let enabled = reader.or(SECTION, "memcache_tls_enabled", false, value::boolean);
    let cafile = text(reader, SECTION, "memcache_tls_cafile").map(PathBuf::from);
    let client = client_certificate(reader, SECTION, "memcache_tls_certfile", "memcache_tls_keyfile");
    enabled.then_some(MemcachedTls { cafile, client })
}

/// `Some(None)` without SASL; `None` when something is missing.
fn sasl(reader: &mut Reader<'_>) -> Option<Option<Sasl>> {
    let enabled = reader.or(SECTION, "memcache_sasl_enabled", false, value::boolean);
    let username = text(reader, SECTION, "memcache_username");
    let password = text(reader, SECTION, "memcache_password").map(Secret::new);
    if !enabled {
        return Some(None);
    }
    if username.is_none() {
        missing(reader, SECTION, "memcache_username", "glance");
    }
    if password.is_none() {
        missing(reader, SECTION, "memcache_password", "MEMCACHE_PASS");
    }
    Some(Some(Sasl {
        username: username?,
        password: password?,
    }))
}
