//! Values of the shared token cache: without its secret nobody makes one that is believed, what was protected is read
//! again, and what is compressed does not fill the memory.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use saccade::identity::{
    Secret,
    keystone::{
        Protection,
        fuzzing::{entry, protected},
    },
};
use saccade_fuzz::within;
use serde_json::Value;

static MAC: LazyLock<Protection> = LazyLock::new(|| Protection::Mac(Secret::new("secret".to_owned())));
static ENCRYPT: LazyLock<Protection> =
    LazyLock::new(|| Protection::Encrypt(Secret::new("secret".to_owned())));
const TOKEN: &str = "gAAAAAB";

fuzz_target!(|input: &[u8]| {
    let Some((&how, data)) = input.split_first() else {
        return;
    };
    let flags = [0, 8, 16, 24, 1, 2][usize::from(how & 7) % 6];
    let replicated = how & 8 != 0;
    let read = within(4 << 20, || {
        entry(TOKEN, &Protection::None, replicated, flags, data.to_vec())
    });
    if let Some(body) = &read {
        let body: Value = serde_json::from_slice(body).unwrap();
        assert!(body.as_object().is_some_and(|body| body.contains_key("token")));
    }
    // What follows signs eight times, which takes longer than all else: one choice of four does.
    if how & 96 != 0 {
        return;
    }
    let protection = if how & 16 == 0 { &*MAC } else { &*ENCRYPT };
    assert_eq!(
        entry(TOKEN, protection, replicated, flags, data.to_vec()),
        None,
        "a forgery is believed"
    );
    let plain = entry(TOKEN, &Protection::None, false, 0, data.to_vec());
    let stored = protected(TOKEN, protection, data).unwrap();
    assert_eq!(entry(TOKEN, protection, false, 0, stored.clone()), plain);
    assert_eq!(
        entry("another", protection, false, 0, stored),
        None,
        "an entry of another token is believed"
    );
});
