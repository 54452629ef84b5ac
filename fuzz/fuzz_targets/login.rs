//! The body of a login: a password or token that is sent where it belongs is never shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade::http::fuzzing::login;
use saccade_fuzz::{text, within};
use serde_json::Value;

const SECRET: &str = "S3cr3t";

fuzz_target!(|input: &[u8]| {
    let read = within(64 * 1024 + 256 * input.len(), || login(input));
    let shown = read.unwrap_or_else(|refusal| refusal);
    let Some(text) = text(input) else { return };
    let Ok(body) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let places = ["/auth/identity/password/user/password", "/auth/identity/token/id"];
    let holds = |place: &&str| {
        body.pointer(place)
            .and_then(Value::as_str)
            .is_some_and(|value| value.contains(SECRET))
    };
    // Where it stands nowhere else.
    if text.matches(SECRET).count() == 1 && places.iter().any(holds) {
        assert!(!shown.contains(SECRET), "{shown}");
    }
});
