//! Reads the options of the image cache.

use super::{
    error::{ErrorKind, OptionName, Warning},
    reader::Reader,
    settings::{CacheDriver, CachePipeline, ImageCache},
    value::{self, ByteSize, Rejected},
};
use std::{path::PathBuf, time::Duration};

const DEFAULT: &str = "DEFAULT";

/// The image cache; `None` without `image_cache_dir`.
pub(super) fn cache(reader: &mut Reader<'_>, pipeline: CachePipeline) -> Option<ImageCache> {
    let dir = reader.optional(DEFAULT, "image_cache_dir", |text| Ok(PathBuf::from(text)));
    let max_size = reader.or(
        DEFAULT,
        "image_cache_max_size",
        ByteSize::from_bytes(10 << 30),
        |text| value::integer_within(0, i64::MAX)(text).map(|n| ByteSize::from_bytes(n.unsigned_abs())),
    );
    let stall_time = reader.or(
        DEFAULT,
        "image_cache_stall_time",
        Duration::from_secs(86_400),
        |text| value::unsigned_within(0, u32::MAX)(text).map(Duration::from_secs),
    );
    let driver = reader.or(
        DEFAULT,
        "image_cache_driver",
        CacheDriver::CentralizedDb,
        |text| match text.to_ascii_lowercase().as_str() {
            "centralized_db" => Ok(CacheDriver::CentralizedDb),
            "sqlite" => Ok(CacheDriver::Sqlite),
            "xattr" => Ok(CacheDriver::Xattr),
            _ => Err(Rejected::accepts("centralized_db, sqlite or xattr")),
        },
    );
    let node_url = reader.optional(DEFAULT, "worker_self_reference_url", |text| Ok(text.to_owned()));
    let filesystem_stores = reader.or("saccade", "cache_filesystem_stores", false, value::boolean);
    let Some(dir) = dir.filter(|dir| !dir.as_os_str().is_empty()) else {
        if pipeline != CachePipeline::None {
            reader.warnings.push(Warning {
                option: Some(OptionName::new("paste_deploy", "flavor")),
                origin: reader.origin("paste_deploy", "flavor"),
                message: "asks for an image cache, and image_cache_dir does not say where: there is none"
                    .to_owned(),
            });
        }
        return None;
    };
    let dir = match std::path::absolute(dir) {
        Ok(dir) => dir,
        Err(error) => {
            let message = format!("cannot be made an absolute path: {error}");
            reader.refuse(ErrorKind::Value, DEFAULT, "image_cache_dir", message);
            return None;
        }
    };
    Some(ImageCache {
        dir,
        max_size,
        stall_time,
        driver,
        pipeline,
        filesystem_stores,
        node_url: node_url.filter(|url| !url.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Setup, *};

    fn setup(cache: &str, flavor: &str) -> Setup {
        let text = format!(
            "[DEFAULT]\n{cache}\n[paste_deploy]\nflavor = {flavor}\n[saccade]\nidentity = trusted-headers\n"
        );
        Setup::new().file("glance-api.conf", &text)
    }

    #[test]
    fn the_pipeline_says_what_the_cache_is_for() {
        for (flavor, pipeline) in [
            ("", CachePipeline::None),
            ("caching", CachePipeline::Cache),
            ("cachemanagement", CachePipeline::CacheManage),
        ] {
            let loaded = setup("image_cache_dir = /var/cache/glance", flavor).loaded();
            assert_eq!(loaded.warnings, [], "{flavor}");
            let expected = ImageCache {
                dir: "/var/cache/glance".into(),
                max_size: ByteSize::from_bytes(10_737_418_240),
                stall_time: Duration::from_secs(86_400),
                driver: CacheDriver::CentralizedDb,
                pipeline,
                filesystem_stores: false,
                node_url: None,
            };
            assert_eq!(loaded.config.cache, Some(expected), "{flavor}");
        }
    }

    #[test]
    fn without_a_directory_there_is_no_cache_and_a_pipeline_with_one_is_warned_of() {
        for dir in ["", "image_cache_dir ="] {
            assert_eq!(setup(dir, "").loaded().config.cache, None);
            let loaded = setup(dir, "cachemanagement").loaded();
            assert_eq!(loaded.config.cache, None);
            let [warning] = loaded.warnings.as_slice() else {
                panic!("{:?}", loaded.warnings)
            };
            assert!(warning.to_string().contains("image_cache_dir"), "{warning}");
        }
    }

    #[test]
    fn what_glance_would_not_take_is_refused() {
        for wrong in [
            "image_cache_max_size = -1",
            "image_cache_max_size = 10G",
            "image_cache_stall_time = -1",
            "image_cache_driver = memory",
        ] {
            assert_eq!(setup(wrong, "").only_error().kind, ErrorKind::Value, "{wrong}");
        }
        let other = "image_cache_dir = /c\nimage_cache_driver = SQLite\nimage_cache_sqlite_db = c.db\n\
                     image_cache_max_size = 0\nworker_self_reference_url = http://glance-1:9292";
        let cache = setup(other, "caching").loaded().config.cache.unwrap();
        assert_eq!((cache.driver, cache.max_size.bytes()), (CacheDriver::Sqlite, 0));
        assert_eq!(cache.node_url.as_deref(), Some("http://glance-1:9292"));
    }
}
