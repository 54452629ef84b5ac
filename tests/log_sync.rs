//! The metadata's log is on stable storage before a change is acknowledged: seen in a trace of the daemon's system calls.

use std::{collections::HashSet, ffi::OsString, fs};

use serde_json::json;

use crate::harness::{Body, Setup};

/// What of a trace tells: how often the log had been synced, and whether all of it was, when each answer was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answered {
    syncs: usize,
    all_synced: bool,
}

/// Reads what `strace -f -y` has written.
fn answers(trace: &str) -> Vec<Answered> {
    let mut now = Answered {
        syncs: 0,
        all_synced: true,
    };
    let mut syncing = HashSet::new();
    let mut answers = Vec::new();
    for line in trace.lines() {
        let (pid, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let is_log = call.contains("/metadata/") && call.contains(".log>");
        if call.starts_with("write") && is_log {
            now.all_synced = false;
        } else if call.starts_with("fdatasync") && is_log && call.contains("<unfinished") {
            syncing.insert(pid.to_owned());
        } else if (call.starts_with("fdatasync") && is_log && call.ends_with("= 0"))
            || (call.starts_with("<... fdatasync resumed>") && syncing.remove(pid) && call.ends_with("= 0"))
        {
            now.syncs += 1;
            now.all_synced = true;
        } else if call.contains("\"HTTP/1.1 2") {
            answers.push(now);
        }
    }
    answers
}

#[test]
fn every_change_is_answered_after_the_log_that_holds_it_was_synced() {
    let traces = tempfile::tempdir().unwrap();
    let path = traces.path().join("trace");
    let strace = [
        "strace",
        "-D",
        "-f",
        "-y",
        "-s",
        "32",
        "-e",
        "trace=write,writev,sendto,sendmsg,fdatasync",
        "-o",
    ];
    let words = strace
        .into_iter()
        .map(OsString::from)
        .chain([path.clone().into_os_string()]);
    let mut daemon = Setup::default().through(words).start();
    let admin = daemon.admin();
    let mut changes = 0;
    for name in ["one", "two", "three"] {
        let id = admin.queued(name);
        let rename = json!([{"op": "replace", "path": "/name", "value": "renamed"}]);
        admin
            .patch(&format!("/v2/images/{id}"), &rename)
            .expect_status(200);
        admin
            .request("PUT", &format!("/v2/images/{id}/tags/a"), &[], Body::None)
            .expect_status(204);
        admin.upload(&id, b"bytes").expect_status(204);
        admin.delete(&format!("/v2/images/{id}")).expect_status(204);
        changes += 5;
    }
    daemon.stop();

    let answers = answers(&fs::read_to_string(path).unwrap());
    // The first is that of the login, whose token is kept elsewhere.
    assert_eq!(answers.len(), 1 + changes, "not every answer is in the trace");
    for (before, after) in answers.iter().zip(answers.iter().skip(1)) {
        assert!(
            after.all_synced,
            "an answer was sent while the log was not synced: {answers:?}"
        );
        assert!(
            after.syncs > before.syncs,
            "an answer was sent without a sync: {answers:?}"
        );
    }
    println!(
        "{changes} changes, {} syncs of the log, each before its answer",
        answers.last().unwrap().syncs
    );
}
