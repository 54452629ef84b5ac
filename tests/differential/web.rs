//! A web server that both sides may fetch from: `/image` is ten bytes; below `/v2/images` there are an image that has them,
//! and one that has none, as in another region. Everything else is not there.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::LazyLock,
    thread,
};

const ACTIVE: &str = r#"{"id": "11111111-1111-4111-8111-111111111111", "status": "active", "size": 10, "name": "theirs",
    "disk_format": "raw", "container_format": "bare", "checksum": "781e5e245d69b566979b86e28d23f2c7", "min_ram": 3,
    "hw_disk_bus": "scsi", "os_type": "linux", "os_hidden": false, "trait:X": "required", "colour": "red",
    "os_glance_import_task": "x", "tags": ["t"]}"#;
const QUEUED: &str = r#"{"id": "22222222-2222-4222-8222-222222222222", "status": "queued", "size": null,
    "disk_format": "raw", "container_format": "bare"}"#;

/// Where it is. It serves until the process ends.
pub(super) fn address() -> SocketAddr {
    static ADDRESS: LazyLock<SocketAddr> = LazyLock::new(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                thread::spawn(move || answer(socket));
            }
        });
        address
    });
    *ADDRESS
}

/// One request for each connection. Who goes away early misses the rest.
fn answer(mut socket: TcpStream) {
    let mut reader = BufReader::new(&socket);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.trim().is_empty() => break,
            Ok(_) => lines.push(line),
        }
    }
    let mut words = lines.first().map_or("", String::as_str).split(' ');
    let (method, target) = (words.next(), words.next());
    let (status, body) = match target {
        Some("/image") => ("200 OK", "0123456789"),
        Some("/v2/images/11111111-1111-4111-8111-111111111111") => ("200 OK", ACTIVE),
        Some("/v2/images/11111111-1111-4111-8111-111111111111/file") => ("200 OK", "0123456789"),
        Some("/v2/images/22222222-2222-4222-8222-222222222222") => ("200 OK", QUEUED),
        _ => ("404 Not Found", "not here"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = socket.write_all(head.as_bytes());
    if method != Some("HEAD") {
        let _ = socket.write_all(body.as_bytes());
    }
}
