//! Reads `[cors]`.

use super::{
    error::{OptionName, Warning},
    reader::Reader,
    settings::Cors,
    value::{self, Rejected},
};

const CORS: &str = "cors";
const ALLOW_HEADERS: &str = "Content-MD5,X-Image-Meta-Checksum,X-Storage-Token,Accept-Encoding,X-Auth-Token,\
                             X-Identity-Status,X-Roles,X-Service-Catalog,X-User-Id,X-Tenant-Id,X-OpenStack-Request-ID";
const EXPOSE_HEADERS: &str =
    "X-Image-Meta-Checksum,X-Auth-Token,X-Subject-Token,X-Service-Token,X-OpenStack-Request-ID";

/// Defaults are those that Glance gives to oslo.middleware.
pub(super) fn cors(reader: &mut Reader<'_>) -> Cors {
    let mut list = |name, default: &str| reader.or(CORS, name, value::list(default), words);
    let cors = Cors {
        allowed_origins: list("allowed_origin", ""),
        expose_headers: list("expose_headers", EXPOSE_HEADERS),
        allow_methods: list("allow_methods", "GET,PUT,POST,DELETE,PATCH"),
        allow_headers: list("allow_headers", ALLOW_HEADERS),
        allow_credentials: reader.or(CORS, "allow_credentials", true, value::boolean),
        max_age: reader.or(CORS, "max_age", 3600, value::integer),
    };
    // Glance takes it in silence, and no page is ever let in.
    for origin in cors.allowed_origins.iter().filter(|origin| origin.ends_with('/')) {
        let warning = Warning {
            option: Some(OptionName::new(CORS, "allowed_origin")),
            origin: reader.origin(CORS, "allowed_origin"),
            message: format!(
                "{origin} is the origin of no page: browsers send it without the slash at the end"
            ),
        };
        reader.warnings.push(warning);
    }
    cors
}

/// A list of what can stand in a header.
fn words(text: &str) -> Result<Vec<String>, Rejected> {
    let list = value::list(text);
    let fits = |word: &String| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
    match list.iter().all(fits) {
        true => Ok(list),
        false => Err(Rejected::accepts(
            "a list divided by commas, without spaces within",
        )),
    }
}
