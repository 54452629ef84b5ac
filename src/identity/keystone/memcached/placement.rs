//! Which servers hold a key.

/// How keys are spread over the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// On one, by the key's hash: python-memcached, which keystonemiddleware uses without TLS and SASL.
    Hashed,
    /// On all, read from the first that has it: python-binary-memcached, which it uses with TLS or SASL.
    Replicated,
}

/// How many servers python-memcached tries before it gives up.
const ATTEMPTS: u32 = 10;

/// The servers to try for a key, best first: each is taken only if those before it are dead. May repeat itself,
/// and may leave a living server out.
///
/// Source: python-memcached 1.62, `cmemcache_hash` and `Client._get_server`.
pub(super) fn candidates(key: &[u8], servers: usize) -> impl Iterator<Item = usize> {
    let mut hash = hash(key);
    (0..ATTEMPTS).filter_map(move |attempt| {
        let server = usize::try_from(hash).ok()?.checked_rem(servers);
        hash = self::hash(format!("{hash}{attempt}").as_bytes());
        server
    })
}

fn hash(bytes: &[u8]) -> u32 {
    (crc32fast::hash(bytes) >> 16) & 0x7fff
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::fmt::Write;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    fn key(number: usize) -> String {
        format!("tokens/{}", hex(&Sha256::digest(number.to_string())))
    }

    fn chosen(key: &str, servers: usize, dead: usize) -> Option<usize> {
        candidates(key.as_bytes(), servers).find(|server| dead >> server & 1 == 0)
    }

    /// Made with python-memcached 1.62, `Client._get_server`: all servers alive, 1 to 5 of them.
    #[test]
    fn chooses_as_python_memcached_does() {
        for (number, expected) in [
            [0, 1, 2, 1, 4],
            [0, 1, 1, 1, 4],
            [0, 0, 1, 2, 0],
            [0, 1, 2, 3, 1],
            [0, 1, 0, 3, 2],
            [0, 0, 2, 0, 2],
            [0, 1, 2, 3, 4],
            [0, 1, 0, 1, 1],
            [0, 0, 2, 2, 1],
            [0, 0, 2, 2, 3],
        ]
        .into_iter()
        .enumerate()
        {
            let found = [1, 2, 3, 4, 5].map(|servers| chosen(&key(number), servers, 0).unwrap());
            assert_eq!(found, expected, "{}", key(number));
        }
    }

    /// Made with python-memcached 1.62: 200 keys, 1 to 5 servers, every subset of them dead (`-`: none is left, or
    /// none found in ten tries). The first three keys in full, the rest by the SHA-256 of the text.
    #[test]
    fn chooses_as_python_memcached_does_whichever_are_dead() {
        let text: String = (0..200)
            .flat_map(|number| (1..=5).map(move |servers| (number, servers)))
            .flat_map(|(number, servers)| (0..1 << servers).map(move |dead| (number, servers, dead)))
            .map(|(number, servers, dead)| {
                chosen(&key(number), servers, dead).map_or("-".to_owned(), |server| server.to_string())
            })
            .collect();
        assert_eq!(
            text.get(..186),
            Some(concat!(
                "0-110-2222110-112211031122110-4444444444444444222211332222110-",
                "0-110-1102110-112211331122110-4444444444444444222211332222110-",
                "0-010-1102110-222211332222110-0202010-0202010-0202010-0202010-",
            ))
        );
        assert_eq!(text.matches('-').count(), 1183);
        assert_eq!(
            hex(&Sha256::digest(&text)),
            "62581932ca3eab65e128884b658d815cc7b912e1335694e797ba1deb25775a61"
        );
    }

    #[test]
    fn no_server_is_no_candidate() {
        assert_eq!(candidates(b"key", 0).next(), None);
    }
}
