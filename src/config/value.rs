//! Values: from text to types, with oslo.config's rules for Glance's options and units for our own.

use std::{fmt, net::SocketAddr, time::Duration};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A password or a key in clear. Never shown by `Debug`; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// `bytes` bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// The largest binary unit that divides the size: `64MiB`, `1500B`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in BINARY_UNITS {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// How many of something one image may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountLimit {
    /// Glance's negative values.
    Unlimited,
    /// This many, and no more.
    AtMost(u64),
}

/// The name of a hash that Python's hashlib knows and that has a fixed length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashAlgorithm(String);

impl HashAlgorithm {
    /// In lower case, as in `os_hash_algo`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The permission bits of an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(u32);

impl FileMode {
    /// As `chmod(2)` takes them.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// Why a value is not taken: what would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejected(pub(super) String);

impl Rejected {
    pub(super) fn accepts(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

const BINARY_UNITS: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];
const HASHES: [&str; 12] = [
    "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_224", "sha3_256", "sha3_384", "sha3_512",
    "blake2b", "blake2s",
];

/// oslo.config's words, in any case.
pub(super) fn boolean(text: &str) -> Result<bool, Rejected> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Ok(true),
        "false" | "0" | "off" | "no" => Ok(false),
        _ => Err(Rejected::accepts("one of true, yes, on, 1, false, no, off, 0")),
    }
}

/// Python's `int()`: a sign and underscores between digits are allowed.
pub(super) fn integer(text: &str) -> Result<i64, Rejected> {
    let rejected = || Rejected::accepts("a whole number");
    let text = text.trim();
    if text.starts_with('_')
        || text.ends_with('_')
        || text.contains("__")
        || text.contains("+_")
        || text.contains("-_")
    {
        return Err(rejected());
    }
    text.replace('_', "").parse().map_err(|_| rejected())
}

pub(super) fn integer_within(min: i64, max: i64) -> impl FnOnce(&str) -> Result<i64, Rejected> {
    move |text| {
        integer(text)
            .ok()
            .filter(|n| (min..=max).contains(n))
            .ok_or_else(|| Rejected::accepts(format!("a whole number from {min} to {max}")))
    }
}

pub(super) fn unsigned_within(min: u32, max: u32) -> impl FnOnce(&str) -> Result<u64, Rejected> {
    move |text| integer_within(min.into(), max.into())(text).map(i64::unsigned_abs)
}

/// Glance's quotas on things in an image: negative is unlimited.
pub(super) fn count_limit(text: &str) -> Result<CountLimit, Rejected> {
    let n = integer(text).map_err(|_| Rejected::accepts("a whole number; a negative one means unlimited"))?;
    Ok(u64::try_from(n).map_or(CountLimit::Unlimited, CountLimit::AtMost))
}

/// Glance's `user_storage_quota`: bytes, or a number with a unit of powers of 1024; 0 is no limit.
pub(super) fn storage_quota(text: &str) -> Result<Option<ByteSize>, Rejected> {
    let rejected =
        || Rejected::accepts("a number with B, KB, MB, GB or TB and no space, such as 500GB; 0 is no limit");
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit {
        "" | "B" => 0,
        "KB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return Err(rejected()),
    };
    let number: u64 = digits.parse().map_err(|_| rejected())?;
    let bytes = number.checked_mul(1 << shift).ok_or_else(rejected)?;
    Ok(Some(ByteSize(bytes)).filter(|_| bytes > 0))
}

/// oslo.config's list: commas divide, spaces around an item are dropped, one or more commas at the end do not
/// count.
pub(super) fn list(text: &str) -> Vec<String> {
    let text = text.trim().trim_end_matches(',');
    if text.is_empty() {
        Vec::new()
    } else {
        text.split(',').map(|item| item.trim().to_owned()).collect()
    }
}

/// A list that must stand in square brackets.
pub(super) fn bounded_list(text: &str) -> Result<Vec<String>, Rejected> {
    text.trim()
        .trim_end_matches(',')
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .map(|inside| {
            if inside.is_empty() {
                Vec::new()
            } else {
                inside.split(',').map(|i| i.trim().to_owned()).collect()
            }
        })
        .ok_or_else(|| Rejected::accepts("a list in square brackets, such as [glance-direct,web-download]"))
}

/// An address over HTTP; empty is none.
pub(super) fn endpoint(text: &str) -> Result<Option<String>, Rejected> {
    match text {
        "" => Ok(None),
        _ if text.starts_with("http://") || text.starts_with("https://") => Ok(Some(text.to_owned())),
        _ => Err(Rejected::accepts("a URL, such as https://image.example.com:9292")),
    }
}

/// Sizes of `[saccade]`: a number of bytes, or a number and a binary unit.
pub(super) fn byte_size(text: &str) -> Result<ByteSize, Rejected> {
    let rejected =
        || Rejected::accepts("a number of bytes, or a number with KiB, MiB, GiB or TiB, such as 64MiB");
    let (digits, unit) = divide(text);
    let factor = match unit {
        "" | "B" => 1,
        unit => BINARY_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, size)| *size)
            .ok_or_else(rejected)?,
    };
    let number: u64 = digits.parse().map_err(|_| rejected())?;
    number.checked_mul(factor).map(ByteSize).ok_or_else(rejected)
}

/// Times of `[saccade]`: a number of seconds, or a number with its unit.
pub(super) fn duration(text: &str) -> Result<Duration, Rejected> {
    let rejected =
        || Rejected::accepts("a number of seconds, or a number with ms, s, m, h or d, such as 30s");
    let (digits, unit) = divide(text);
    let number: u64 = digits.parse().map_err(|_| rejected())?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(rejected()),
    };
    // A century: far beyond use, and far below what clock arithmetic can bear.
    number
        .checked_mul(seconds)
        .filter(|s| *s <= 3_153_600_000)
        .map(Duration::from_secs)
        .ok_or_else(rejected)
}

pub(super) fn duration_from(min: Duration) -> impl FnOnce(&str) -> Result<Duration, Rejected> {
    move |text| match duration(text)? {
        short if short < min => Err(Rejected::accepts(format!("at least {min:?}"))),
        enough => Ok(enough),
    }
}

fn divide(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    (digits, unit.trim_start())
}

/// An address and a port. Names are not resolved: where a daemon listens should not depend on a name server.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, Rejected> {
    let address = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    address
        .parse()
        .map_err(|_| Rejected::accepts("an IP address and a port, such as 127.0.0.1:9292 or [::]:9292"))
}

/// An `http` or `https` URL that may be logged, and stand in a header: nobody's name or password in it, and nothing
/// after the path.
pub(super) fn http_url(text: &str) -> Result<String, Rejected> {
    let rejected = || {
        Rejected::accepts(
            "a URL without user, query and fragment, such as http://controller:5000 or https://cloud.example/identity/v3",
        )
    };
    let plain = text
        .chars()
        .all(|c| c.is_ascii_graphic() && !"\"'<>\\^`{|}?#@".contains(c));
    let uri: http::Uri = text.parse().map_err(|_| rejected())?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri.host().is_some_and(|host| !host.is_empty());
    if plain && web && host {
        Ok(text.to_owned())
    } else {
        Err(rejected())
    }
}

pub(super) fn hash_algorithm(text: &str) -> Result<HashAlgorithm, Rejected> {
    let name = text.to_lowercase();
    if HASHES.contains(&name.as_str()) {
        Ok(HashAlgorithm(name))
    } else {
        Err(Rejected::accepts(format!("one of {}", HASHES.join(", "))))
    }
}

/// `filesystem_store_file_perm`: octal digits read as a decimal number; zero or less leaves the mode to the
/// umask.
///
/// glance_store refuses a mode that takes reading away from the owner; so do we.
pub(super) fn file_mode(text: &str) -> Result<Option<FileMode>, Rejected> {
    let rejected =
        || Rejected::accepts("0, or an octal mode from 400 to 777 that lets the owner read, such as 640");
    let number = integer(text).map_err(|_| rejected())?;
    if number <= 0 {
        return Ok(None);
    }
    let bits = u32::from_str_radix(&number.to_string(), 8).map_err(|_| rejected())?;
    if bits > 0o777 || bits & 0o400 == 0 {
        Err(rejected())
    } else {
        Ok(Some(FileMode(bits)))
    }
}

pub(super) fn not_empty(text: &str) -> Result<String, Rejected> {
    if text.is_empty() {
        Err(Rejected::accepts("a value that is not empty"))
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_the_words_of_oslo_config() {
        for yes in ["True", "1", "on", "YES"] {
            assert_eq!(boolean(yes), Ok(true));
        }
        for no in ["false", "0", "Off", "no"] {
            assert_eq!(boolean(no), Ok(false));
        }
        for wrong in ["", "t", "enabled", "2", "true "] {
            assert!(boolean(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn integers_are_read_as_python_reads_them() {
        assert_eq!(integer("010"), Ok(10));
        assert_eq!(integer("1_000"), Ok(1000));
        assert_eq!(integer(" -1 "), Ok(-1));
        assert_eq!(integer("+5"), Ok(5));
        for wrong in ["", "1.0", "0x10", "1__0", "_1", "-_1", "9223372036854775808"] {
            assert!(integer(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn lists_are_divided_by_commas_and_quotes_mean_nothing() {
        assert_eq!(list("\"a, b\",c,"), ["\"a", "b\"", "c"]);
        assert_eq!(list(""), Vec::<String>::new());
        assert_eq!(list(",,"), Vec::<String>::new());
        assert_eq!(bounded_list("[a, b]"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(bounded_list("[]"), Ok(Vec::new()));
        assert!(bounded_list("a,b").is_err());
    }

    #[test]
    fn sizes_take_binary_units_only() {
        assert_eq!(byte_size("64MiB"), Ok(ByteSize(64 << 20)));
        assert_eq!(byte_size("64 KiB"), Ok(ByteSize(65536)));
        assert_eq!(byte_size("17"), Ok(ByteSize(17)));
        for wrong in ["", "MiB", "-1", "1MB", "1.5GiB", "99999999999TiB", "1 MiB x"] {
            assert!(byte_size(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(ByteSize(64 << 20).to_string(), "64MiB");
        assert_eq!(ByteSize(1500).to_string(), "1500B");
        assert_eq!(ByteSize(0).to_string(), "0B");
    }

    #[test]
    fn durations_take_a_unit_and_default_to_seconds() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for wrong in ["", "s", "-1s", "1w", "1.5s", "18446744073709551615d"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
        assert!(duration_from(Duration::from_secs(1))("0").is_err());
    }

    #[test]
    fn a_file_mode_is_octal_and_never_locks_out_its_owner() {
        assert_eq!(file_mode("0"), Ok(None));
        assert_eq!(file_mode("640"), Ok(Some(FileMode(0o640))));
        assert_eq!(file_mode("0644"), Ok(Some(FileMode(0o644))));
        for wrong in ["40", "689", "4777", "rw-"] {
            assert!(file_mode(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn addresses_need_no_name_server() {
        assert_eq!(
            socket_address("localhost:9292"),
            Ok(SocketAddr::from(([127, 0, 0, 1], 9292)))
        );
        assert!(socket_address("[::1]:80").is_ok());
        for wrong in ["glance.example:9292", "127.0.0.1", "127.0.0.1:70000", "::1:80x"] {
            assert!(socket_address(wrong).is_err(), "{wrong:?}");
        }
    }
}
