//! What a program has said, so that it can be shown.

/// Of what a worker says so many bytes are kept.
pub(crate) const KEPT: usize = 4096;

/// Longest text shown, in characters.
const SHOWN: usize = 512;

/// One line of harmless characters: an image's bytes may be among what a program complains about, and what is shown goes into
/// logs, terminals and JSON. Names of open files mean nothing to anybody.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !shown.is_empty() {
            shown.push_str("; ");
        }
        shown.extend(line.chars().map(|c| if c.is_control() { '?' } else { c }));
    }
    let shown = shown.replace("/proc/self/fd/0", "the image");
    match shown.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", shown.get(..end).unwrap_or_default()),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_one_short_line_without_control_characters() {
        assert_eq!(shown(b"a\n\n  b\x1b[31m\0\n"), "a; b?[31m?");
        assert_eq!(shown(b"\xff"), "\u{fffd}");
        assert_eq!(
            shown(b"qemu-img: Could not open '/proc/self/fd/0'"),
            "qemu-img: Could not open 'the image'"
        );
        assert_eq!(shown("ä".repeat(10_000).as_bytes()).chars().count(), SHOWN + 1);
        assert_eq!(shown(b""), "");
    }
}
