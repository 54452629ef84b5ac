//! `s3_store_*`: a bucket of an S3 server.

use super::super::{
    OptionName,
    error::ErrorKind,
    reader::Reader,
    settings::{S3BucketUrlFormat, S3Checksums, S3Store},
    value::{self, Rejected, Secret},
};
use std::path::PathBuf;

/// What says where the bucket is.
const HOST: &str = "s3_store_host";
const BUCKET: &str = "s3_store_bucket";

/// The store of a section. What it cannot be without, and is not set, is remembered as an error.
pub(super) fn read(reader: &mut Reader<'_>, section: &str) -> S3Store {
    S3Store {
        host: required(reader, section, HOST),
        bucket: required(reader, section, BUCKET),
        access_key: Secret::new(required(reader, section, "s3_store_access_key")),
        secret_key: Secret::new(required(reader, section, "s3_store_secret_key")),
        region_name: reader.or(section, "s3_store_region_name", String::new(), |text| {
            Ok(text.trim().to_owned())
        }),
        create_bucket_on_put: reader.or(section, "s3_store_create_bucket_on_put", false, value::boolean),
        bucket_url_format: reader.or(
            section,
            "s3_store_bucket_url_format",
            S3BucketUrlFormat::Auto,
            bucket_url_format,
        ),
        large_object_size: reader.or(
            section,
            "s3_store_large_object_size",
            100,
            // An object that came in one piece has at most 5 GiB.
            value::unsigned_within(0, 5 << 10),
        ),
        large_object_chunk_size: reader.or(
            section,
            "s3_store_large_object_chunk_size",
            10,
            value::unsigned_within(5, 5 << 10),
        ),
        thread_pools: reader.or(
            section,
            "s3_store_thread_pools",
            10,
            value::unsigned_within(1, 1000),
        ),
        cacert: reader
            .optional(section, "s3_store_cacert", |text| Ok(text.trim().to_owned()))
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
        enable_data_integrity_protection: reader.or(
            section,
            "s3_store_enable_data_integrity_protection",
            false,
            value::boolean,
        ),
        request_checksum_calculation: checksums(reader, section, "s3_store_request_checksum_calculation"),
        response_checksum_validation: checksums(reader, section, "s3_store_response_checksum_validation"),
    }
}

/// The bucket in one spelling: two stores may not have the same.
pub(super) fn place(store: &S3Store) -> String {
    let host = store.host.trim().to_ascii_lowercase();
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", &host));
    let rest = rest.trim_matches('/');
    let port = if scheme == "https" { ":443" } else { ":80" };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let authority = authority.strip_suffix(port).unwrap_or(authority);
    format!("{authority}/{path}/{}", store.bucket)
}

/// The option that a clash of two stores is reported at.
pub(super) const PLACE: &str = BUCKET;

fn required(reader: &mut Reader<'_>, section: &str, name: &str) -> String {
    let before = reader.errors.len();
    match reader.optional(section, name, value::not_empty) {
        Some(text) => text,
        None => {
            // One error is enough for what is set and wrong.
            if reader.errors.len() == before {
                let option = OptionName::new(section, name);
                let message = "has to be set: an S3 store cannot be without it";
                reader.refuse(ErrorKind::Conflict, &option.group, &option.name, message);
            }
            String::new()
        }
    }
}

fn bucket_url_format(text: &str) -> Result<S3BucketUrlFormat, Rejected> {
    match text {
        "auto" => Ok(S3BucketUrlFormat::Auto),
        "virtual" => Ok(S3BucketUrlFormat::Virtual),
        "path" => Ok(S3BucketUrlFormat::Path),
        _ => Err(Rejected::accepts("auto, virtual or path")),
    }
}

fn checksums(reader: &mut Reader<'_>, section: &str, name: &str) -> S3Checksums {
    reader.or(section, name, S3Checksums::WhenRequired, |text| match text {
        "when_required" => Ok(S3Checksums::WhenRequired),
        "when_supported" => Ok(S3Checksums::WhenSupported),
        _ => Err(Rejected::accepts("when_required or when_supported")),
    })
}
