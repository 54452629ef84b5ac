//! Query strings and list filters: decoded as browsers write them, written so that they read the same, refused with 400.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade::http::fuzzing::{link, list, pairs};
use saccade_fuzz::{text, within};

fuzz_target!(|input: &[u8]| {
    let Some(query) = text(input) else { return };
    let bound = 64 * 1024 + 256 * query.len();
    match within(bound, || pairs(query)) {
        Err(status) => assert_eq!(status, 400),
        Ok(read) => {
            // Where `;` divides, too.
            let expected: Vec<(String, String)> = query
                .split(';')
                .flat_map(|part| url::form_urlencoded::parse(part.as_bytes()).into_owned())
                .collect();
            assert_eq!(read, expected);
            let written = link(query, "marker").unwrap();
            let again = pairs(written.strip_prefix('?').unwrap_or_default()).unwrap();
            let kept: Vec<_> = read.into_iter().filter(|(name, _)| name != "marker").collect();
            assert_eq!(again, kept);
        }
    }
    match within(bound, || list(query)) {
        Err(status) => assert_eq!(status, 400),
        Ok(request) => assert!(request.filter.0.len() <= 2 + query.split(['&', ';']).count()),
    }
});
