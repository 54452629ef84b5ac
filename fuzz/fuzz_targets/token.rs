//! Keystone's answer about a token: who the caller is, as a plain reading of the JSON has it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade::identity::{Scope, keystone::fuzzing::token};
use saccade_fuzz::within;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let read = within(64 * 1024 + 1024 * input.len(), || token(input));
    match read {
        Err(shown) => {
            // It says nothing of the body: these are all its sentences.
            assert!(shown.is_ascii() && shown.len() < 60, "{shown}");
        }
        Ok(token) => {
            // What is passed over is not looked at as closely as by a reader who keeps it.
            let Ok(body) = serde_json::from_slice::<Value>(input) else {
                return;
            };
            let own = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            let caller = &token.caller;
            assert!(token.weight >= caller.user_id.len() && caller.roles.len() <= 256);
            assert!(!caller.user_id.is_empty() && caller.project_id.as_deref() != Some(""));
            assert!(caller.service.is_none());
            // Where serde takes arrays for objects, the plain reading finds nothing.
            if let Some(id) = own("/token/user/id") {
                assert_eq!(caller.user_id, id);
            }
            if let Some(id) = own("/token/project/id") {
                assert_eq!(caller.project_id, Some(id));
            }
            if body.pointer("/token").is_some_and(Value::is_object)
                && body.pointer("/token/project").is_none()
            {
                assert_eq!(caller.project_id, None);
                assert_ne!(caller.scope, Scope::Project);
            }
            let roles = body.pointer("/token/roles").and_then(Value::as_array);
            assert_eq!(caller.roles.len(), roles.map_or(caller.roles.len(), Vec::len));
        }
    }
});
