//! What two answers have in common.

use super::reply::Reply;
use serde_json::Value;
use std::{collections::BTreeSet, fmt};

/// One thing that differs.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    /// `status`, `header NAME`, `body`, or a JSON pointer into it.
    pub(super) at: String,
    pub(super) glance: Value,
    pub(super) saccade: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: Glance {}, Saccade {}", self.at, self.glance, self.saccade)
    }
}

/// Everything that differs.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) differences: Vec<Difference>,
    /// Explanations for people: they need not be the same.
    pub(super) texts: Vec<String>,
}

impl Found {
    fn add(&mut self, at: String, glance: Value, saccade: Value) {
        self.differences.push(Difference { at, glance, saccade });
    }
}

/// Compares status, headers and body; of errors, the body's form only. Where the status differs, so does the rest.
pub(super) fn compare(glance: &Reply, saccade: &Reply) -> Found {
    let mut found = Found::default();
    if glance.status != saccade.status {
        found.add("status".to_owned(), glance.status.into(), saccade.status.into());
        let texts = [glance, saccade].map(|reply| format!("    {} {}", reply.status, reply.body));
        found.texts.push(texts.join("\n"));
        return found;
    }
    let names: BTreeSet<&String> = glance.headers.keys().chain(saccade.headers.keys()).collect();
    for name in names {
        let [theirs, ours] = [glance, saccade].map(|reply| reply.headers.get(name));
        if theirs != ours {
            let value = |header: Option<&String>| header.map_or(Value::Null, |text| text.as_str().into());
            found.add(format!("header {name}"), value(theirs), value(ours));
        }
    }
    if glance.status >= 400 {
        errors(&glance.body, &saccade.body, &mut found);
    } else {
        values("", &glance.body, &saccade.body, &mut found);
    }
    found
}

fn errors(glance: &Value, saccade: &Value, found: &mut Found) {
    match (glance, saccade) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let without_message = |body: &serde_json::Map<String, Value>| {
                let mut body = body.clone();
                body.remove("message");
                Value::Object(body)
            };
            values("", &without_message(theirs), &without_message(ours), found);
            text(&glance["message"], &saccade["message"], found);
        }
        (Value::String(_), Value::String(_)) => text(glance, saccade, found),
        _ => values("", glance, saccade, found),
    }
}

fn text(glance: &Value, saccade: &Value, found: &mut Found) {
    if glance != saccade {
        found
            .texts
            .push(format!("    Glance:  {glance}\n    Saccade: {saccade}"));
    }
}

fn values(at: &str, glance: &Value, saccade: &Value, found: &mut Found) {
    match (glance, saccade) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
            for name in names {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                let [theirs, ours] = [theirs, ours].map(|members| members.get(name));
                match (theirs, ours) {
                    (Some(theirs), Some(ours)) => values(&at, theirs, ours, found),
                    // Absent is not null.
                    _ => {
                        let value = |member: Option<&Value>| member.map_or("absent".into(), Clone::clone);
                        found.add(at, value(theirs), value(ours));
                    }
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            for (index, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                values(&format!("{at}/{index}"), theirs, ours, found);
            }
        }
        _ if glance == saccade => {}
        _ => {
            let at = if at.is_empty() { "body" } else { at };
            found.add(at.to_owned(), glance.clone(), saccade.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reply(status: u16, header: (&str, &str), body: Value) -> Reply {
        Reply {
            ask: String::new(),
            status,
            headers: [(header.0.to_owned(), header.1.to_owned())].into(),
            body,
        }
    }

    fn places(glance: &Reply, saccade: &Reply) -> Vec<String> {
        let found = compare(glance, saccade);
        found.differences.into_iter().map(|found| found.at).collect()
    }

    #[test]
    fn every_part_of_a_body_counts() {
        let header = ("allow", "GET");
        let one = reply(200, header, json!({"a": [{"b": 1}, 2], "c": null}));
        let other = reply(200, header, json!({"a": [{"b": 2}, 2]}));
        assert_eq!(places(&one, &other), ["/a/0/b", "/c"]);
        assert_eq!(places(&one, &one), [""; 0]);
        let longer = reply(200, header, json!({"a": [1], "c": null}));
        assert_eq!(places(&one, &longer), ["/a"]);
    }

    #[test]
    fn every_header_counts() {
        let one = reply(204, ("allow", "GET"), Value::Null);
        let other = reply(204, ("vary", "Origin"), Value::Null);
        assert_eq!(places(&one, &other), ["header allow", "header vary"]);
    }

    #[test]
    fn errors_may_explain_themselves_in_other_words() {
        let header = ("allow", "GET");
        let body = |message, code| json!({"message": message, "code": code, "title": "t"});
        let one = reply(400, header, body("no", "400 Bad Request"));
        let found = compare(&one, &reply(400, header, body("not so", "400 Bad Request")));
        assert_eq!((found.differences.len(), found.texts.len()), (0, 1));
        assert_eq!(places(&one, &reply(400, header, body("no", "400"))), ["/code"]);
        assert_eq!(places(&one, &reply(400, header, json!("no"))), ["body"]);
        assert_eq!(places(&one, &reply(403, header, body("no", ""))), ["status"]);
    }
}
