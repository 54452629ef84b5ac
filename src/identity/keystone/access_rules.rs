//! Access rules of application credentials: which requests a restricted token is good for.
//!
//! As keystonemiddleware's `validate_allowed_request`, with three differences, each the stricter way: characters of a
//! rule mean themselves (there, `.` and others act as in a regular expression), a token without catalog is refused
//! (there, an error 500), and so is a path with an encoded slash, which a router may read differently.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::super::RequestHead;

/// The most rules of one credential, and the longest path of one: bounds, far above any that Keystone stores.
pub(super) const MAX_RULES: usize = 256;
const MAX_RULE_PATH_BYTES: usize = 1024;

/// The most work that one request may be: some milliseconds, which only a credential made for it would take.
const MAX_STEPS: usize = 4_000_000;

/// What WebOb leaves as it is when it spells a decoded path.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b'/')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// The rules of one token. None at all allow nothing.
#[derive(Debug)]
pub(super) struct AccessRules {
    rules: Vec<Rule>,
    /// Service types of the token's catalog; `None` without one.
    catalog: Option<Vec<String>>,
}

#[derive(Debug)]
struct Rule {
    service: String,
    method: String,
    path: Pattern,
}

/// Why a request is not covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAllowed {
    /// `service_type` is not configured.
    NoServiceType,
    /// The token came without a catalog.
    NoCatalog,
    /// `service_type` is not in the token's catalog.
    NotInCatalog,
    /// No rule covers it.
    NoRule,
}

/// A rule beyond the bounds.
#[derive(Debug)]
pub(super) struct TooMuch;

impl AccessRules {
    /// `rules`: service, method and path of each.
    pub(super) fn new(
        rules: impl ExactSizeIterator<Item = (String, String, String)>,
        catalog: Option<Vec<String>>,
    ) -> Result<Self, TooMuch> {
        if rules.len() > MAX_RULES {
            return Err(TooMuch);
        }
        let rules = rules
            .map(|(service, method, path)| {
                Ok(Rule {
                    service,
                    method,
                    path: Pattern::new(&path)?,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { rules, catalog })
    }

    pub(super) fn has_catalog(&self) -> bool {
        self.catalog.is_some()
    }

    /// Bytes of memory, roughly.
    pub(super) fn weight(&self) -> usize {
        let rule = |rule: &Rule| {
            size_of::<Rule>()
                + rule.service.len()
                + rule.method.len()
                + rule.path.steps.len() * size_of::<Step>()
        };
        let catalog = self.catalog.iter().flatten();
        self.rules.iter().map(rule).sum::<usize>()
            + catalog
                .map(|kind| size_of::<String>() + kind.len())
                .sum::<usize>()
    }

    /// `chained`: a service token came along, so that this request is part of another one, which was checked.
    pub(super) fn check(
        &self,
        request: RequestHead<'_>,
        service_type: Option<&str>,
        chained: bool,
    ) -> Result<(), NotAllowed> {
        let service_type = service_type.ok_or(NotAllowed::NoServiceType)?;
        let catalog = self.catalog.as_ref().ok_or(NotAllowed::NoCatalog)?;
        if !catalog.iter().any(|kind| kind == service_type) {
            return Err(NotAllowed::NotInCatalog);
        }
        if chained {
            return Ok(());
        }
        let path = spelled_as_webob(request.path).ok_or(NotAllowed::NoRule)?;
        let mut steps_left = MAX_STEPS;
        let covered = self.rules.iter().any(|rule| {
            rule.method == request.method.as_str()
                && rule.service == service_type
                && rule.path.matches(path.as_bytes(), &mut steps_left)
        });
        if covered { Ok(()) } else { Err(NotAllowed::NoRule) }
    }
}

/// Decoded once and encoded again in one way, as rules are held against it; `None` with an encoded slash.
fn spelled_as_webob(path: &str) -> Option<String> {
    let slash = |triplet: &[u8]| triplet.eq_ignore_ascii_case(b"%2f");
    if path.as_bytes().windows(3).any(slash) {
        return None;
    }
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    Some(percent_encode(&decoded, QUOTED).to_string())
}

/// A path with wildcards: `*` and `{name}` are one segment or a part of one, at least one character; `**` is
/// anything. A brace without its partner is nothing.
#[derive(Debug)]
struct Pattern {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Byte(u8),
    OneNotSlash,
    ManyNotSlash,
    Many,
}

impl Step {
    /// May be passed without a byte, and passed again.
    fn repeats(self) -> bool {
        matches!(self, Self::ManyNotSlash | Self::Many)
    }

    fn takes(self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => own == byte,
            Self::OneNotSlash | Self::ManyNotSlash => byte != b'/',
            Self::Many => true,
        }
    }
}

impl Pattern {
    fn new(path: &str) -> Result<Self, TooMuch> {
        if path.len() > MAX_RULE_PATH_BYTES {
            return Err(TooMuch);
        }
        let mut steps = Vec::with_capacity(path.len());
        let segment = [Step::OneNotSlash, Step::ManyNotSlash];
        let mut rest = path.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'*' => {
                    if let Some(after) = rest.strip_prefix(b"*") {
                        rest = after;
                        steps.push(Step::Many);
                    } else {
                        steps.extend(segment);
                    }
                }
                b'{' => {
                    let mut parts = after.splitn(2, |&byte| byte == b'}');
                    if let (Some(_name), Some(after)) = (parts.next(), parts.next()) {
                        rest = after;
                        steps.extend(segment);
                    }
                }
                b'}' => {}
                byte => steps.push(Step::Byte(byte)),
            }
        }
        Ok(Self { steps })
    }

    /// Follows all ways through the pattern at once, for a path of ASCII: never more than steps × bytes, which are taken off `steps_left`.
    fn matches(&self, path: &[u8], steps_left: &mut usize) -> bool {
        let literal = self.steps.iter().zip(path).map_while(|(step, &byte)| match step {
            Step::Byte(own) => Some(*own == byte),
            _ => None,
        });
        if literal.into_iter().any(|same| !same) {
            return false;
        }
        let cost = self.steps.len().saturating_add(1).saturating_mul(path.len());
        let Some(left) = steps_left.checked_sub(cost) else {
            return false;
        };
        *steps_left = left;
        // Bit i: everything before step i has been passed.
        let mut here = vec![false; self.steps.len() + 1];
        let mut next = here.clone();
        self.arrive(&mut here, 0);
        for &byte in path {
            next.fill(false);
            for (index, (step, reached)) in self.steps.iter().zip(&here).enumerate() {
                if *reached && step.takes(byte) {
                    self.arrive(&mut next, if step.repeats() { index } else { index + 1 });
                }
            }
            std::mem::swap(&mut here, &mut next);
        }
        here.last().copied().unwrap_or(false)
    }

    /// Marks a place, and those after it that cost nothing.
    fn arrive(&self, places: &mut [bool], at: usize) {
        for (index, place) in places.iter_mut().enumerate().skip(at) {
            // Whatever is beyond a marked place has been marked with it.
            if std::mem::replace(place, true) {
                return;
            }
            if !self.steps.get(index).is_some_and(|step| step.repeats()) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    fn rules(rules: &[(&str, &str, &str)], catalog: Option<&[&str]>) -> AccessRules {
        let own = |text: &&str| (*text).to_owned();
        AccessRules::new(
            rules.iter().map(|(s, m, p)| (own(s), own(m), own(p))),
            catalog.map(|kinds| kinds.iter().map(own).collect()),
        )
        .unwrap()
    }

    fn check(rules: &AccessRules, method: &Method, path: &str, chained: bool) -> Result<(), NotAllowed> {
        let headers = HeaderMap::new();
        let request = RequestHead {
            method,
            path,
            headers: &headers,
        };
        rules.check(request, Some("image"), chained)
    }

    const CATALOG: Option<&[&str]> = Some(&["identity", "image"]);

    #[test]
    fn a_rule_covers_its_service_method_and_path_alone() {
        let rules = rules(
            &[
                ("image", "GET", "/v2/images"),
                ("image", "GET", "/v2/images/{image_id}/file"),
                ("compute", "DELETE", "/v2/images"),
                ("image", "PUT", "/v2/**"),
            ],
            CATALOG,
        );
        for (method, path) in [
            (Method::GET, "/v2/images"),
            (Method::GET, "/v2/images/a/file"),
            (Method::GET, "/v2/im%61ges"),
            (Method::PUT, "/v2/a/b/c"),
            (Method::PUT, "/v2/"),
        ] {
            assert_eq!(check(&rules, &method, path, false), Ok(()), "{method} {path}");
        }
        for (method, path) in [
            (Method::POST, "/v2/images"),
            (Method::DELETE, "/v2/images"),
            (Method::GET, "/v2/images/"),
            (Method::GET, "/v2/images/a"),
            (Method::GET, "/v2/images//file"),
            (Method::GET, "/v2/images/a/b/file"),
            (Method::GET, "/v2/images/a%2Fb/file"),
            (Method::GET, "/v2/images/a%2ffile"),
            (Method::PUT, "/v2/a%2Fb"),
            (Method::GET, "/v2/images%0a"),
            (Method::GET, "/v2/images\n"),
            (Method::PUT, "/v3/a"),
        ] {
            assert_eq!(
                check(&rules, &method, path, false),
                Err(NotAllowed::NoRule),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn no_rules_at_all_allow_nothing() {
        let rules = rules(&[], CATALOG);
        assert_eq!(
            check(&rules, &Method::GET, "/v2/images", false),
            Err(NotAllowed::NoRule)
        );
    }

    #[test]
    fn a_service_in_between_needs_no_rule_but_the_catalog() {
        let with = rules(&[], CATALOG);
        assert_eq!(check(&with, &Method::GET, "/v2/images", true), Ok(()));
        let other = rules(&[("image", "GET", "/**")], Some(&["identity"]));
        for chained in [true, false] {
            assert_eq!(
                check(&other, &Method::GET, "/v2", chained),
                Err(NotAllowed::NotInCatalog)
            );
        }
    }

    #[test]
    fn refuses_what_it_cannot_judge() {
        let headers = HeaderMap::new();
        let request = RequestHead {
            method: &Method::GET,
            path: "/v2/images",
            headers: &headers,
        };
        let all = [("image", "GET", "/**")];
        assert_eq!(
            rules(&all, CATALOG).check(request, None, true),
            Err(NotAllowed::NoServiceType)
        );
        assert_eq!(
            rules(&all, None).check(request, Some("image"), true),
            Err(NotAllowed::NoCatalog)
        );
        assert_eq!(
            rules(&[("image", "GET", "/v2/image.")], CATALOG).check(request, Some("image"), false),
            Err(NotAllowed::NoRule),
            "a point is a point"
        );
    }

    #[test]
    fn refuses_too_much() {
        let rule = || ("image".to_owned(), "GET".to_owned(), "/".to_owned());
        assert!(AccessRules::new((0..MAX_RULES).map(|_| rule()), None).is_ok());
        assert!(AccessRules::new((0..MAX_RULES + 1).map(|_| rule()), None).is_err());
        assert!(Pattern::new(&"/".repeat(MAX_RULE_PATH_BYTES + 1)).is_err());
    }

    #[test]
    fn a_hostile_credential_costs_milliseconds() {
        let hostile = format!("/{}b", "*a".repeat(300));
        let hostile: Vec<_> = (0..MAX_RULES)
            .map(|_| ("image", "GET", hostile.as_str()))
            .collect();
        let rules = rules(&hostile, CATALOG);
        let begun = std::time::Instant::now();
        let path = format!("/{}", "a".repeat(8000));
        assert_eq!(check(&rules, &Method::GET, &path, false), Err(NotAllowed::NoRule));
        // Loosely: debug build, busy machine.
        assert!(begun.elapsed().as_millis() < 2000, "{:?}", begun.elapsed());
    }

    /// The regular expression that keystonemiddleware 13 makes of a rule.
    fn as_keystonemiddleware_does(pattern: &str) -> Regex {
        let tokens =
            Regex::new(r"(?P<tag>\{[^}]*\})|(?P<rec>\*\*)|(?P<wild>\*)|(?P<literal>[^{}*])").unwrap();
        let mut regex = String::from("^");
        for token in tokens.captures_iter(pattern) {
            if token.name("tag").is_some() || token.name("wild").is_some() {
                regex.push_str("[^/]+");
            } else if token.name("rec").is_some() {
                regex.push_str(".*");
            } else if let Some(literal) = token.name("literal") {
                regex.push_str(&regex::escape(literal.as_str()));
            }
        }
        regex.push('$');
        Regex::new(&regex).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn matches_as_keystonemiddleware_does(
            pattern in r"(/|[ab]|\*|\*\*|\{x\}|\{|\}|é){0,10}",
            path in r"[/ab]{0,12}",
        ) {
            let ours = Pattern::new(&pattern).unwrap().matches(path.as_bytes(), &mut MAX_STEPS.clone());
            prop_assert_eq!(ours, as_keystonemiddleware_does(&pattern).is_match(&path));
        }

        #[test]
        fn any_rule_and_any_path_end_in_an_answer(pattern in ".{0,60}", path in ".{0,60}") {
            let rules = rules(&[("image", "GET", &pattern)], CATALOG);
            let _ = check(&rules, &Method::GET, &path, false);
        }
    }
}
