//! Query strings.

use percent_encoding::percent_decode_str;

/// The parameters of a query string, decoded.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned()
        };
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        };
        Self(
            query
                .unwrap_or_default()
                .split('&')
                .filter(|part| !part.is_empty())
                .map(pair)
                .collect(),
        )
    }

    /// The value of a parameter, the first where there are several.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a value passes the filter of that name; without the filter, every value does.
    pub(super) fn admits(&self, name: &str, value: &str) -> bool {
        self.value(name).is_none_or(|wanted| wanted == value)
    }

    /// Whether a flag passes the filter of that name, read as Keystone reads it: anything but `0` and `false` is true.
    pub(super) fn admits_flag(&self, name: &str, flag: bool) -> bool {
        self.value(name).is_none_or(|wanted| is_true(wanted) == flag)
    }

    /// Whether a flag is set: present, and not `0` or `false`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.value(name).is_some_and(is_true)
    }
}

fn is_true(value: &str) -> bool {
    !(value == "0" || value.eq_ignore_ascii_case("false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_names_and_values() {
        let query = Query::parse(Some("name=a+b%26c&enabled=False&flag&=x&&"));
        assert_eq!(query.value("name"), Some("a b&c"));
        assert!(query.admits("name", "a b&c") && !query.admits("name", "a"));
        assert!(query.admits_flag("enabled", false) && !query.admits_flag("enabled", true));
        assert!(query.flag("flag") && !query.flag("enabled") && !query.flag("other"));
        assert!(Query::parse(None).admits("name", "anything"));
    }
}
