//! `Accept`, as webob reads it.

use http::{HeaderMap, header::ACCEPT};

/// The media ranges that a client would take.
#[derive(Debug)]
pub(super) struct Accept<'h> {
    /// Each with its weight in thousandths.
    ranges: Vec<(&'h str, u16)>,
}

impl<'h> Accept<'h> {
    /// `None` without the header. One that cannot be understood stands for `*/*`.
    pub(super) fn of(headers: &'h HeaderMap) -> Option<Self> {
        let accept = headers.get(ACCEPT)?.to_str().unwrap_or_default();
        let elements = accept.split(',').filter(|element| !element.trim().is_empty());
        let ranges: Option<Vec<_>> = elements.map(media_range).collect();
        Some(Self {
            ranges: ranges.unwrap_or_else(|| vec![("*/*", 1000)]),
        })
    }

    /// How much a media type is wanted, from 0 to 1000: the most specific range counts.
    pub(super) fn quality(&self, offer: &str) -> u16 {
        let mut best = (0_u8, 0_u16);
        for &(range, q) in &self.ranges {
            let specificity = match range {
                range if range.eq_ignore_ascii_case(offer) => 3,
                "*/*" => 1,
                range => match (range.split_once('/'), offer.split_once('/')) {
                    (Some((kind, "*")), Some((offered, _))) if kind.eq_ignore_ascii_case(offered) => 2,
                    _ => 0,
                },
            };
            if specificity > best.0 {
                best = (specificity, q);
            }
        }
        best.1
    }
}

/// `type/subtype;q=0.5` → the range and its weight.
fn media_range(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| range.contains('/'))?;
    let weight = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("q")
            .then(|| value.trim().parse::<f32>().ok())?
    });
    let weight = weight.unwrap_or(1.0).clamp(0.0, 1.0);
    Some((range, (weight * 1000.0) as u16))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_most_specific_range_counts() {
        let mut headers = HeaderMap::new();
        assert!(Accept::of(&headers).is_none());
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("text/*;q=0.5, text/html;q=0, */*;q=0.1"),
        );
        let accept = Accept::of(&headers).unwrap();
        assert_eq!(accept.quality("text/plain"), 500);
        assert_eq!(accept.quality("text/html"), 0);
        assert_eq!(accept.quality("application/json"), 100);
    }
}
