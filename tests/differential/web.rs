//! A web server that both sides may fetch from: `/image` is ten bytes, everything else is not there.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::LazyLock,
    thread,
};

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
