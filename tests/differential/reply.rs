//! Answers, without what differs from run to run.

use super::wire::Raw;
use regex::{Captures, Regex};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, net::SocketAddr, path::Path};

/// Headers of the connection or the server's own.
const NOT_OF_THE_API: [&str; 6] = [
    "connection",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
    "trailer",
];

/// An answer, as it is recorded.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Reply {
    /// The request that it answers.
    pub(super) ask: String,
    /// 0 when there was no answer.
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn new(ask: &str, raw: Option<Raw>) -> Self {
        let Some(raw) = raw else {
            return Self {
                ask: ask.to_owned(),
                status: 0,
                headers: BTreeMap::new(),
                body: Value::Null,
            };
        };
        let mut headers = BTreeMap::new();
        for (name, value) in raw.headers {
            if !NOT_OF_THE_API.contains(&name.as_str()) {
                let line: &mut String = headers.entry(name).or_default();
                if !line.is_empty() {
                    line.push_str(" | ");
                }
                line.push_str(&value);
            }
        }
        let content_type = headers.get("content-type").map_or("", String::as_str);
        let is_text = content_type.starts_with("text/") || content_type.starts_with("application/json");
        // White space and the order of members are no part of the answer, nor is whether its end is told by a length.
        if is_text || raw.body.is_empty() {
            headers.remove("content-length");
        }
        let body = match serde_json::from_slice(&raw.body) {
            Ok(value) if raw.status >= 400 => without_schema(value),
            Ok(value) => value,
            Err(_) if raw.body.is_empty() => Value::Null,
            Err(_) => Value::String(String::from_utf8_lossy(&raw.body).into_owned()),
        };
        Self {
            ask: ask.to_owned(),
            status: raw.status,
            headers,
            body,
        }
    }

    /// One of a recording's lines.
    pub(super) fn from_line(line: &str) -> Self {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the recording {line}"))
    }

    /// The line for a recording.
    pub(super) fn line(&self) -> String {
        serde_json::to_string(self).unwrap()
    }

    /// Whether the body has this value there; nothing is `null`.
    pub(super) fn has(&self, pointer: &str, value: &Value) -> bool {
        self.body.pointer(pointer).unwrap_or(&Value::Null) == value
    }

    /// A text or number in the body.
    pub(super) fn text_at(&self, pointer: &str) -> Option<String> {
        match self.body.pointer(pointer)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// Glance quotes the whole schema to whoever has missed it.
fn without_schema(mut error: Value) -> Value {
    if let Some(Value::String(message)) = error.get_mut("message")
        && let Some(end) = message.find("\n\nFailed validating")
    {
        message.truncate(end);
    }
    error
}

/// Puts names in the place of ids and times.
pub(super) struct Normaliser {
    address: String,
    root: String,
    own_ids: Vec<String>,
    ids: Regex,
    times: Regex,
    microseconds: Regex,
}

impl Normaliser {
    /// For a service that keeps its files below `root`, and a script that chooses these ids itself: they stay.
    pub(super) fn new(address: SocketAddr, root: &Path, own_ids: Vec<String>) -> Self {
        let pattern = |text| Regex::new(text).unwrap();
        Self {
            address: address.to_string(),
            root: root.to_str().unwrap().to_owned(),
            own_ids,
            ids: pattern("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
            times: pattern(r"20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
            microseconds: pattern(r"20[2-9]\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d{6}"),
        }
    }

    pub(super) fn apply(&self, reply: &mut Reply, remembered: &BTreeMap<String, String>) {
        for value in reply.headers.values_mut() {
            *value = self.text(value, remembered);
        }
        self.value(&mut reply.body, remembered);
    }

    fn text(&self, text: &str, remembered: &BTreeMap<String, String>) -> String {
        let text = text
            .replace(&self.address, "<address>")
            .replace(&self.root, "<root>");
        let text = match remembered.get("web") {
            Some(web) => text.replace(web.as_str(), "<web>"),
            None => text,
        };
        let text = self.ids.replace_all(&text, |found: &Captures<'_>| {
            let id = &found[0];
            if self.own_ids.iter().any(|own| own == id) {
                return id.to_owned();
            }
            match remembered.iter().find(|(_, value)| *value == id) {
                Some((name, _)) => format!("${{{name}}}"),
                None => "<id>".to_owned(),
            }
        });
        let text = self.microseconds.replace_all(&text, "<time with microseconds>");
        self.times.replace_all(&text, "<time>").into_owned()
    }

    fn value(&self, value: &mut Value, remembered: &BTreeMap<String, String>) {
        match value {
            Value::String(text) => *text = self.text(text, remembered),
            Value::Array(values) => {
                for value in values.iter_mut() {
                    self.value(value, remembered);
                }
            }
            Value::Object(members) => {
                let mut renamed = Map::new();
                for (name, mut value) in std::mem::take(members) {
                    self.value(&mut value, remembered);
                    if name == "tags" {
                        sort_texts(&mut value);
                    }
                    renamed.insert(self.text(&name, remembered), value);
                }
                *members = renamed;
            }
            _ => {}
        }
    }
}

/// `<x*300>` in the place of a letter 300 times.
fn without_runs(text: &str) -> String {
    const LONG: usize = 50;
    let mut short = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut length = 1;
        while chars.next_if_eq(&c).is_some() {
            length += 1;
        }
        if length > LONG {
            short.push_str(&format!("<{c}*{length}>"));
        } else {
            short.extend(std::iter::repeat_n(c, length));
        }
    }
    short
}

#[test]
fn long_runs_are_counted() {
    let long = "x".repeat(300);
    assert_eq!(without_runs(&format!("aab{long}{long}b")), "aab<x*600>b");
}

/// Glance keeps tags as a set.
fn sort_texts(value: &mut Value) {
    if let Value::Array(values) = value
        && values.iter().all(Value::is_string)
    {
        values.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
    }
}
