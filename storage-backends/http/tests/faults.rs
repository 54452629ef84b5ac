//! Servers that fail, lie, or lead astray.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod server;

use std::{error::Error as _, ops::Range, sync::Arc, time::Duration};

use futures_util::StreamExt;
use saccade_outgoing::{Forbidden, Limits, Proxies, Refusal};
use saccade_store_conformance::bytes_of;
use saccade_store_contract::{Body, Error, ErrorKind, Location, Store};
use saccade_store_http::{HttpStore, MAX_SKIP};
use tokio::time::Instant;

use server::{Do, Names, Server, answer, local, options, store, whole};

async fn read(store: &HttpStore, url: &str, range: Option<Range<u64>>) -> Result<Vec<u8>, Error> {
    bytes_of(store.read(&Location::new(url), range).await?).await
}

async fn size(store: &HttpStore, url: &str) -> Result<u64, Error> {
    store.size(&Location::new(url)).await
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// The whole chain, as a log shows it.
fn shown(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        text = format!("{text}: {found}");
        cause = found.source();
    }
    text
}

fn refusal(error: &Error) -> &Refusal {
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(refusal) = found.downcast_ref() {
            return refusal;
        }
        cause = found.source();
    }
    panic!("{error:?}")
}

// Bodies.

#[tokio::test]
async fn a_body_that_is_cut_gives_what_came_and_then_fails() {
    for script in [
        answer("200 OK\nContent-Length: 10", b"12345"),
        answer(
            "206 Partial Content\nContent-Range: bytes 0-9/20\nContent-Length: 10",
            b"12345",
        ),
        answer(
            "206 Partial Content\nContent-Range: bytes 0-9/20\nTransfer-Encoding: chunked",
            b"5\r\n12345\r\n",
        ),
        answer(
            "206 Partial Content\nContent-Range: bytes 0-9/20\nTransfer-Encoding: chunked",
            b"5\r\n12345\r\n0\r\n\r\n",
        ),
    ] {
        let server = Server::start(move |_, _| script.clone()).await;
        let blob = local()
            .read(&Location::new(server.url("/x")), Some(0..10))
            .await
            .unwrap();
        let Body::Stream(stream) = blob.body else { panic!() };
        let chunks: Vec<_> = stream.collect().await;
        let (last, before) = chunks.split_last().unwrap();
        let came: Vec<u8> = before
            .iter()
            .flat_map(|chunk| chunk.as_ref().unwrap().to_vec())
            .collect();
        assert_eq!(came, b"12345");
        assert_eq!(last.as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(server.asked().len(), 1, "a body is not asked for again");
    }
}

#[tokio::test]
async fn more_bytes_than_were_announced_are_not_given_on() {
    let server = Server::start(|_, head| {
        if head.starts_with("HEAD") {
            return answer("200 OK\nContent-Length: 4", b"");
        }
        answer("200 OK\nTransfer-Encoding: chunked", b"6\r\n123456\r\n0\r\n\r\n")
    })
    .await;
    let blob = local()
        .read(&Location::new(server.url("/x")), None)
        .await
        .unwrap();
    assert_eq!(blob.size, 4);
    let Body::Stream(mut stream) = blob.body else {
        panic!()
    };
    assert_eq!(stream.next().await.unwrap().unwrap(), "1234");
    assert_eq!(
        stream.next().await.unwrap().unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    assert!(stream.next().await.is_none());
}

// Lengths.

#[tokio::test]
async fn a_chunked_answer_has_the_length_of_a_head() {
    let server = Server::start(|_, head| {
        if head.starts_with("HEAD") {
            return answer("200 OK\nContent-Length: 5", b"");
        }
        answer("200 OK\nTransfer-Encoding: chunked", b"5\r\n12345\r\n0\r\n\r\n")
    })
    .await;
    let store = local();
    assert_eq!(read(&store, &server.url("/x"), None).await.unwrap(), b"12345");
    assert_eq!(read(&store, &server.url("/x"), Some(1..3)).await.unwrap(), b"23");
}

#[tokio::test]
async fn without_a_length_anywhere_a_file_cannot_be_read() {
    let server =
        Server::start(|_, _| answer("200 OK\nTransfer-Encoding: chunked", b"5\r\n12345\r\n0\r\n\r\n")).await;
    let store = local();
    assert_eq!(
        kind(read(&store, &server.url("/x"), None).await),
        ErrorKind::Unsupported
    );
    assert_eq!(
        kind(size(&store, &server.url("/x")).await),
        ErrorKind::Unsupported
    );
}

#[tokio::test]
async fn the_size_comes_from_a_get_where_head_does_not_tell() {
    for told in [
        "405 Method Not Allowed",
        "403 Forbidden",
        "400 Bad Request",
        "200 OK",
        "200 OK\nContent-Length: 0",
    ] {
        for (got, expected) in [
            ("200 OK\nContent-Length: 1", 1),
            (
                "206 Partial Content\nContent-Length: 1\nContent-Range: bytes 0-0/7",
                7,
            ),
            (
                "416 Range Not Satisfiable\nContent-Range: bytes */0\nContent-Length: 0",
                0,
            ),
        ] {
            let server = Server::start(move |_, head| match head.starts_with("HEAD") {
                true => answer(told, b""),
                false => answer(got, if expected == 0 { b"" } else { b"x" }),
            })
            .await;
            assert_eq!(
                size(&local(), &server.url("/x")).await.unwrap(),
                expected,
                "{told}, {got}"
            );
        }
    }
}

// Ranges.

#[tokio::test]
async fn a_wrong_part_is_not_given_out() {
    for header in [
        "Content-Range: bytes 0-9/100\nContent-Length: 10",
        "Content-Range: bytes 9-19/100\nContent-Length: 11",
        "Content-Range: bytes 10-18/100\nContent-Length: 9",
        "Content-Range: bytes 10-20/100\nContent-Length: 11",
        "Content-Range: bytes 10-19/100\nContent-Length: 9",
        "Content-Range: bytes 10-14/19\nContent-Length: 5",
        "Content-Range: bytes 10-19/15\nContent-Length: 10",
        "Content-Range: bytes */100\nContent-Length: 10",
        "Content-Range: nonsense\nContent-Length: 10",
        "Content-Type: multipart/byteranges; boundary=x\nContent-Length: 10",
        "Content-Length: 10",
    ] {
        let header = format!("206 Partial Content\n{header}");
        let server = Server::start(move |_, _| answer(&header, b"0123456789")).await;
        // At once: nothing of it is given out.
        let opened = local().read(&Location::new(server.url("/x")), Some(10..20)).await;
        assert_eq!(kind(opened), ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn a_part_of_a_file_whose_length_is_not_told_with_it_is_read() {
    let server = Server::start(|_, head| match head.starts_with("HEAD") {
        true => answer("200 OK\nContent-Length: 15", b""),
        false => answer(
            "206 Partial Content\nContent-Range: bytes 10-14/*\nContent-Length: 5",
            b"56789",
        ),
    })
    .await;
    let blob = local()
        .read(&Location::new(server.url("/x")), Some(10..20))
        .await
        .unwrap();
    assert_eq!(blob.size, 15);
    assert_eq!(bytes_of(blob).await.unwrap(), b"56789");
}

#[tokio::test]
async fn a_part_that_was_not_asked_for_is_refused() {
    let server = Server::start(|_, _| {
        answer(
            "206 Partial Content\nContent-Range: bytes 0-4/5\nContent-Length: 5",
            b"12345",
        )
    })
    .await;
    assert_eq!(
        kind(read(&local(), &server.url("/x"), None).await),
        ErrorKind::Unavailable
    );
}

#[tokio::test]
async fn a_server_without_ranges_is_skipped_through_a_little() {
    let server = Server::start(|_, _| whole(b"0123456789")).await;
    let store = local();
    for (range, expected) in [
        (0..3, "012"),
        (3..6, "345"),
        (3..100, "3456789"),
        (10..11, ""),
        (50..51, ""),
    ] {
        let found = read(&store, &server.url("/x"), Some(range)).await.unwrap();
        assert_eq!(found, expected.as_bytes());
    }
    let far = Server::start(|_, _| answer("200 OK\nContent-Length: 1000000000", b"0123")).await;
    let location = Location::new(far.url("/x"));
    let read = async |start: u64| store.read(&location, Some(start..start + 1)).await;
    assert!(read(MAX_SKIP).await.is_ok());
    assert_eq!(kind(read(MAX_SKIP + 1).await), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_range_behind_the_end_is_empty_and_within_it_must_be_there() {
    let server = Server::start(|_, head| match head.starts_with("HEAD") {
        true => answer("200 OK\nContent-Length: 10", b""),
        false => answer("416 Range Not Satisfiable\nContent-Length: 0", b""),
    })
    .await;
    let store = local();
    assert_eq!(read(&store, &server.url("/x"), Some(10..20)).await.unwrap(), b"");
    assert_eq!(
        kind(read(&store, &server.url("/x"), Some(9..20)).await),
        ErrorKind::Unavailable
    );
}

#[tokio::test]
async fn parts_of_two_versions_do_not_mix() {
    for (first, second) in [
        (
            "\"a\"\nContent-Range: bytes 0-4/10",
            "\"b\"\nContent-Range: bytes 5-9/10",
        ),
        (
            "\"a\"\nContent-Range: bytes 0-4/10",
            "\"a\"\nContent-Range: bytes 5-9/11",
        ),
    ] {
        let server = Server::start(move |number, _| {
            let header = [first, second][number.min(1)];
            answer(
                &format!("206 Partial Content\nContent-Length: 5\nETag: {header}"),
                b"01234",
            )
        })
        .await;
        let store = local();
        assert_eq!(
            read(&store, &server.url("/x"), Some(0..5)).await.unwrap(),
            b"01234"
        );
        // The second is short of the range of the longer file, or has another tag.
        let range = if second.contains("/11") { 5..10 } else { 5..20 };
        assert_eq!(
            kind(read(&store, &server.url("/x"), Some(range.clone())).await),
            ErrorKind::Corrupt
        );
        // Whoever begins now reads the new one.
        assert!(read(&store, &server.url("/x"), Some(range)).await.is_ok());
    }
}

// Redirects.

fn redirect(status: &str, to: &str) -> Vec<Do> {
    answer(&format!("{status} Moved\nContent-Length: 0\nLocation: {to}"), b"")
}

#[tokio::test]
async fn redirects_are_followed_five_times() {
    for (redirects, reached) in [(5, true), (6, false)] {
        let statuses = ["301", "302", "303", "307", "308", "302"];
        let server = Server::start(move |number, _| match statuses.get(number) {
            Some(status) if number < redirects => redirect(status, &format!("/{number}")),
            _ => whole(b"found"),
        })
        .await;
        let read = read(&local(), &server.url("/x"), None).await;
        assert_eq!(read.is_ok(), reached, "{read:?}");
        assert_eq!(server.asked().len(), 6);
    }
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let server = Server::start(|_, _| redirect("302", "/x")).await;
    let error = read(&local(), &server.url("/x"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(shown(&error).contains("more than 5 times"), "{}", shown(&error));
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn redirects_to_elsewhere_pass_the_filter_or_lead_nowhere() {
    let secret = Server::start(|_, _| whole(b"secret")).await;
    let port = secret.port;
    for (to, expected) in [
        (format!("http://localhost:{port}/"), ErrorKind::Denied),
        (format!("http://[::1]:{port}/"), ErrorKind::Denied),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), ErrorKind::Denied),
        (
            "http://169.254.169.254/latest/meta-data".to_owned(),
            ErrorKind::Denied,
        ),
        (format!("http://2130706433:{port}/"), ErrorKind::Unavailable),
        (format!("http://127.1:{port}/"), ErrorKind::Unavailable),
        (format!("//0x7f.1:{port}/"), ErrorKind::Unavailable),
        ("file:///etc/passwd".to_owned(), ErrorKind::Unavailable),
        ("ftp://127.0.0.1/x".to_owned(), ErrorKind::Unavailable),
        ("http://".to_owned(), ErrorKind::Unavailable),
    ] {
        let server = Server::start(move |_, _| redirect("302", &to)).await;
        assert_eq!(kind(read(&local(), &server.url("/x"), None).await), expected);
        assert_eq!(server.asked().len(), 1);
    }
    let server = Server::start(|_, _| answer("302 Found\nContent-Length: 0", b"")).await;
    assert_eq!(
        kind(read(&local(), &server.url("/x"), None).await),
        ErrorKind::Unavailable
    );
    assert!(secret.asked().is_empty());
}

#[tokio::test]
async fn a_port_counts_on_the_way_to_elsewhere_and_not_for_what_is_recorded() {
    let filter = |ports| {
        saccade_outgoing::Filter::new(saccade_outgoing::FilterOptions {
            allowed_hosts: vec!["127.0.0.1".to_owned()],
            allowed_ports: ports,
            ..Default::default()
        })
        .unwrap()
    };
    let other = Server::start(|_, _| whole(b"found")).await;
    let to = other.url("/");
    let server = Server::start(move |_, _| redirect("302", &to)).await;
    for (ports, reached) in [(vec![80, 443], false), (vec![other.port], true)] {
        let mut options = options(&[]);
        options.filter = filter(ports);
        let read = read(&store(options), &server.url("/x"), None).await;
        assert_eq!(read.is_ok(), reached, "{read:?}");
    }
}

// Addresses.

#[tokio::test]
async fn this_machine_is_not_asked_unless_it_is_allowed() {
    let server = Server::start(|_, _| whole(b"secret")).await;
    let store = store(options(&[]));
    let error = read(&store, &server.url("/x"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(matches!(
        refusal(&error),
        Refusal::Address {
            why: Forbidden::Loopback,
            ..
        }
    ));
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_name_that_is_bound_anew_is_judged_anew() {
    let server = Server::start(|_, _| answer("503 Busy\nContent-Length: 0", b"")).await;
    let names = Names::default();
    // The first look-up leads to where nobody is (RFC 5737), each next one home.
    let addresses = ["192.0.2.1", "127.0.0.1"].map(|address| address.parse().unwrap());
    names
        .0
        .lock()
        .unwrap()
        .insert("rebind.example".to_owned(), addresses.to_vec());
    let names = Arc::new(names);
    let mut options = options(&[]);
    options.resolver = Arc::clone(&names) as _;
    let url = format!("http://rebind.example:{}/x", server.port);
    let error = read(&store(options), &url, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{}", shown(&error));
    assert!(matches!(
        refusal(&error),
        Refusal::Address {
            why: Forbidden::Loopback,
            ..
        }
    ));
    assert!(server.asked().is_empty());
    // The same name is asked where it is allowed: it was the filter that kept it away.
    let mut options = server::options(&["rebind.example"]);
    options.resolver = names;
    assert_eq!(
        kind(read(&store(options), &url, None).await),
        ErrorKind::Unavailable
    );
    assert!(!server.asked().is_empty());
}

#[tokio::test]
async fn redirects_to_forbidden_addresses_are_refused() {
    // A proxy stands for a web server that is elsewhere.
    let secret = Server::start(|_, _| whole(b"secret")).await;
    let names = Names::of([("inside.example", "127.0.0.1".parse().unwrap())]);
    for to in [
        format!("http://127.0.0.1:{}/", secret.port),
        format!("https://inside.example:{}/", secret.port),
        format!("https://[::ffff:7f00:1]:{}/", secret.port),
    ] {
        let proxy = Server::start(move |_, _| redirect("302", &to)).await;
        let address = format!("127.0.0.1:{}", proxy.port);
        let mut options = options(&[]);
        options.proxies = Proxies::parse([("http", &*address)]).unwrap();
        options.resolver = Arc::clone(&names) as _;
        let error = read(&store(options), "http://outside.example/x", None)
            .await
            .unwrap_err();
        assert!(matches!(
            refusal(&error),
            Refusal::Address {
                why: Forbidden::Loopback,
                ..
            }
        ));
        assert_eq!(proxy.asked().len(), 1);
        assert!(proxy.asked()[0].starts_with("GET http://outside.example/x "));
    }
    assert!(secret.asked().is_empty());
}

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    const INSIDE: &str = "SACCADE_TEST_BEHIND_A_PROXY";
    if std::env::var_os(INSIDE).is_some() {
        let server = Server::start(|_, _| whole(b"found")).await;
        assert_eq!(read(&local(), &server.url("/x"), None).await.unwrap(), b"found");
        return;
    }
    // The environment is that of a process: the same test again, in one.
    let proxy = Server::start(|_, _| whole(b"proxy")).await;
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again
        .args(["--exact", "proxies_of_the_environment_are_not_used"])
        .env(INSIDE, "1");
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        again.env(name, format!("http://127.0.0.1:{}", proxy.port));
    }
    let done = tokio::task::spawn_blocking(move || again.output())
        .await
        .unwrap()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"));
    assert!(proxy.asked().is_empty());
}

// Time.

#[tokio::test]
async fn a_slow_header_and_a_body_that_stops_have_an_end() {
    let drip = || vec![Do::Drip(vec![b'H'; 10_000], Duration::from_millis(20))];
    let header = Server::start(move |_, _| drip()).await;
    let once = || {
        let mut options = options(&["127.0.0.1"]);
        options.limits = Limits {
            retries: 0,
            ..server::limits()
        };
        store(options)
    };
    let begun = Instant::now();
    assert_eq!(
        kind(read(&once(), &header.url("/x"), None).await),
        ErrorKind::Unavailable
    );
    let stopping = Server::start(|_, _| {
        let mut script = answer("200 OK\nContent-Length: 10", b"12345");
        script.push(Do::Wait(Duration::from_secs(30)));
        script
    })
    .await;
    assert_eq!(
        kind(read(&once(), &stopping.url("/x"), None).await),
        ErrorKind::Unavailable
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_body_that_drips_has_an_end() {
    let server = Server::start(|_, _| {
        let mut script = answer("200 OK\nContent-Length: 10000", b"");
        script.push(Do::Drip(vec![b'x'; 10_000], Duration::from_millis(20)));
        script
    })
    .await;
    let begun = Instant::now();
    let error = read(&local(), &server.url("/x"), None).await.unwrap_err();
    assert!(shown(&error).contains("too slowly"), "{}", shown(&error));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_reader_may_be_as_slow_as_it_likes() {
    let body = vec![7; 3_000_000];
    let sent = body.clone();
    let server = Server::start(move |_, _| whole(&sent)).await;
    let blob = local()
        .read(&Location::new(server.url("/x")), None)
        .await
        .unwrap();
    let Body::Stream(mut stream) = blob.body else {
        panic!()
    };
    let mut came = Vec::new();
    let mut pauses = 0;
    while let Some(chunk) = stream.next().await {
        came.extend_from_slice(&chunk.unwrap());
        if pauses < 3 {
            pauses += 1;
            tokio::time::sleep(server::limits().between_reads * 2).await;
        }
    }
    assert!(came == body);
}

// Trying again.

#[tokio::test]
async fn what_passes_is_tried_again_before_the_first_byte() {
    for first in [
        "500 Oops\nContent-Length: 0",
        "502 Oops\nContent-Length: 0",
        "503 Busy\nContent-Length: 0\nRetry-After: 0",
        "429 Slow Down\nContent-Length: 0\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT",
        "", // Closed without an answer.
    ] {
        let server = Server::start(move |number, _| match (number, first) {
            (0, "") => Vec::new(),
            (0, first) => answer(first, b""),
            _ => whole(b"found"),
        })
        .await;
        assert_eq!(
            read(&local(), &server.url("/x"), None).await.unwrap(),
            b"found",
            "{first}"
        );
        assert_eq!(server.asked().len(), 2, "{first}");
    }
}

#[tokio::test]
async fn what_does_not_pass_is_not_tried_again() {
    for (status, expected, tries) in [
        ("404 Not Found", ErrorKind::NotFound, 1),
        ("410 Gone", ErrorKind::NotFound, 1),
        ("401 Unauthorized", ErrorKind::Denied, 1),
        ("403 Forbidden", ErrorKind::Denied, 1),
        ("400 Bad Request", ErrorKind::Unavailable, 1),
        ("204 No Content", ErrorKind::Unavailable, 1),
        ("503 Busy\nRetry-After: 3600", ErrorKind::Unavailable, 1),
        (
            "503 Busy\nRetry-After: 18446744073709551615",
            ErrorKind::Unavailable,
            1,
        ),
        ("503 Busy", ErrorKind::Unavailable, 3),
    ] {
        let server = Server::start(move |_, _| answer(&format!("{status}\nContent-Length: 0"), b"")).await;
        assert_eq!(
            kind(read(&local(), &server.url("/x"), None).await),
            expected,
            "{status}"
        );
        assert_eq!(server.asked().len(), tries, "{status}");
    }
    let gone = Server::start(|_, _| Vec::new()).await;
    let url = gone.url("/x");
    drop(gone);
    assert_eq!(kind(size(&local(), &url).await), ErrorKind::Unavailable);
}

// Secrets.

#[tokio::test]
async fn credentials_go_to_their_origin_and_nowhere_else() {
    let other = Server::start(|_, _| whole(b"found")).await;
    let to = other.url("/");
    let server = Server::start(move |number, _| match number {
        0 => redirect("302", "/second"),
        _ => redirect("302", &to),
    })
    .await;
    let url = format!("http://al%3Aice:s%40cret@127.0.0.1:{}/x?sig=hidden", server.port);
    assert_eq!(read(&local(), &url, None).await.unwrap(), b"found");
    // al:ice:s@cret
    let authorization = "authorization: basic yww6awnlonnay3jldA==".to_lowercase();
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    for head in &asked {
        assert!(head.to_lowercase().contains(&authorization), "{head}");
    }
    assert!(!other.asked()[0].to_lowercase().contains("authorization"));
}

#[tokio::test]
async fn no_error_tells_a_secret() {
    let refusing = Server::start(|_, _| answer("403 Forbidden\nContent-Length: 6", b"hidden")).await;
    let broken = Server::start(|_, _| answer("200 OK\nContent-Length: 9", b"1")).await;
    let leading = Server::start(|_, _| redirect("302", "http://al-ice:hidden@elsewhere/?hidden")).await;
    let nobody = {
        let server = Server::start(|_, _| Vec::new()).await;
        server.port
    };
    let with_secrets = |port| format!("http://al-ice:hidden@127.0.0.1:{port}/x?hidden");
    for url in [
        with_secrets(refusing.port),
        with_secrets(broken.port),
        with_secrets(leading.port),
        with_secrets(nobody),
        "http://al-ice:hidden@169.254.169.254/?hidden".to_owned(),
        "http://al-ice:hidden@2130706433/?hidden".to_owned(),
        "http://al-ice:hidden@127.0.0.1:no-port/?hidden".to_owned(),
        "gopher://al-ice:hidden@h/?hidden".to_owned(),
    ] {
        let error = read(&local(), &url, None).await.unwrap_err();
        let told = format!("{} {error:?}", shown(&error));
        assert!(!told.contains("al-ice") && !told.contains("hidden"), "{told}");
        let error = local().delete(&Location::new(&*url)).await.unwrap_err();
        let told = format!("{} {error:?}", shown(&error));
        assert!(!told.contains("al-ice") && !told.contains("hidden"), "{told}");
    }
}
