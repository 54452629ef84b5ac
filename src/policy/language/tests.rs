use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{
    Attributes, Check, Fault, MAX_NESTING, MAX_RULE_BYTES, Parsed, RuleSet, Template, Value, Verdict,
    evaluate,
    oracle::{ALLOWED, ALLOWED_THERE_ONLY, DENIED, RAISED},
    parse, parse_lists,
};

/// The caller, target and rules that oslo.policy was asked with.
struct Fixture {
    roles: Vec<String>,
    service_roles: Vec<String>,
}

struct Token;
struct TokenProject;
struct TokenRole(&'static str);
const TOKEN_ROLES: [TokenRole; 2] = [TokenRole("auditor"), TokenRole("member")];

fn text(text: &str) -> Value<'_> {
    Value::Text(text.into())
}

impl Attributes for Fixture {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        Some(match name {
            "user_id" => text("u1"),
            "project_id" => text("p1"),
            "user_domain_id" => Value::Null,
            "roles" => Value::Texts(&self.roles),
            "service_roles" => Value::Texts(&self.service_roles),
            "is_admin_project" => Value::Bool(true),
            "token" => Value::Nested(&Token),
            _ => return None,
        })
    }
}

impl Attributes for Token {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "project" => Some(Value::Nested(&TokenProject)),
            "roles" => Some(Value::List(
                TOKEN_ROLES.iter().map(|role| Value::Nested(role)).collect(),
            )),
            _ => None,
        }
    }
}

impl Attributes for TokenProject {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        (name == "id").then(|| text("p1"))
    }
}

impl Attributes for TokenRole {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        (name == "name").then(|| text(self.0))
    }
}

struct Target;

impl Attributes for Target {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        Some(match name {
            "project_id" | "a.b" | "tenant" | "x(y)" => text("p1"),
            "owner" => text("p2"),
            "member_id" | "size" => Value::Null,
            "visibility" => text("public"),
            "protected" => Value::Bool(true),
            "os_hidden" => Value::Bool(false),
            "min_disk" => Value::Number(0),
            "min_ram" => Value::Number(512),
            "rolename" => text("MEMBER"),
            "percent" => text("50%"),
            "empty" => text(""),
            _ => return None,
        })
    }
}

fn rules() -> RuleSet {
    let mut rules = RuleSet::new("default");
    for (name, rule) in [
        ("default", "!"),
        ("yes", "@"),
        ("no", "!"),
        ("owner", "project_id:%(project_id)s"),
        ("chain", "rule:owner"),
        ("hyphen-rule", "@"),
    ] {
        rules.define(name, parse(rule).check);
    }
    rules
}

fn verdict_with(check: &Check, rules: &RuleSet) -> Verdict {
    let caller = Fixture {
        roles: vec!["member".into(), "reader".into(), "mixed".into()],
        service_roles: vec!["service".into()],
    };
    evaluate(check, rules, &caller, &Target)
}

fn verdict(rule: &str) -> Verdict {
    verdict_with(&parse(rule).check, &rules())
}

#[test]
fn answers_as_oslo_policy_does() {
    for rule in ALLOWED {
        assert_eq!(verdict(rule), Verdict::True, "{rule}");
    }
    for rule in DENIED {
        assert_ne!(verdict(rule), Verdict::True, "{rule}");
    }
}

#[test]
fn denies_what_oslo_policy_fails_on_or_misunderstands_and_says_so() {
    for rule in RAISED.iter().chain(ALLOWED_THERE_ONLY) {
        assert_ne!(verdict(rule), Verdict::True, "{rule}");
        // A name below a plain value is only known not to exist when it is looked up.
        assert!(
            !parse(rule).faults.is_empty() || rule.starts_with("project_id.x:"),
            "{rule}"
        );
    }
}

#[test]
fn what_is_understood_gives_no_faults() {
    for rule in ALLOWED {
        let faults = parse(rule).faults;
        assert!(
            faults.is_empty() || rule.contains("nocolon"),
            "{rule}: {faults:?}"
        );
    }
}

#[test]
fn a_printed_rule_reads_back_the_same() {
    for rule in ALLOWED.iter().chain(DENIED) {
        let check = parse(rule).check;
        assert_eq!(
            parse(&check.to_string()).check,
            check,
            "{rule} printed as {check}"
        );
    }
}

#[test]
fn not_does_not_turn_a_broken_check_into_permission() {
    for broken in [
        "nocolon",
        "http://policy.example/check",
        "https://policy.example/%(owner)s",
        "1.5:x",
        "x:%(y)d",
        "project_id.below:x",
    ] {
        assert_eq!(verdict(broken), Verdict::Unknown, "{broken}");
        assert_eq!(verdict(&format!("not {broken}")), Verdict::Unknown, "{broken}");
        assert_eq!(
            verdict(&format!("@ and not {broken}")),
            Verdict::Unknown,
            "{broken}"
        );
        assert_eq!(verdict(&format!("@ or {broken}")), Verdict::True, "{broken}");
        assert_eq!(verdict(&format!("! and {broken}")), Verdict::False, "{broken}");
    }
}

#[test]
fn says_what_is_wrong() {
    let faults = |rule| parse(rule).faults;
    assert_eq!(faults("role:admin or"), [Fault::Syntax]);
    assert_eq!(faults("x or role:y"), [Fault::NoColon("x".into())]);
    assert_eq!(faults("http://h/p"), [Fault::Remote("http://h/p".into())]);
    assert_eq!(faults("a:%(b)"), [Fault::Conversion("%(b".into()), Fault::Syntax]);
    assert_eq!(faults("a:100%"), [Fault::Conversion("100%".into())]);
    assert_eq!(faults("[1]:x"), [Fault::Left("[1]".into())]);
    assert_eq!(faults(":x"), [Fault::Left(String::new())]);
}

#[test]
fn refuses_a_rule_that_is_too_long_or_too_deep() {
    let long = format!("role:{}", "x".repeat(MAX_RULE_BYTES));
    assert_eq!(parse(&long).faults, [Fault::TooLong]);
    assert_eq!(parse_lists(&[vec![long]]).faults, [Fault::TooLong]);

    let nested = |depth: usize| format!("{}@{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(verdict(&nested(MAX_NESTING)), Verdict::True);
    assert_eq!(parse(&nested(MAX_NESTING + 1)).faults, [Fault::TooDeep]);
    assert_eq!(parse(&"(".repeat(60_000)).faults, [Fault::TooDeep]);
    assert_eq!(parse(&"not ".repeat(15_000)).faults, [Fault::TooDeep]);
}

#[test]
fn the_old_list_form_is_an_or_of_ands() {
    let lists = |lists: &[&[&str]]| {
        let lists: Vec<Vec<String>> = lists
            .iter()
            .map(|list| list.iter().map(|text| (*text).to_owned()).collect())
            .collect();
        verdict_with(&parse_lists(&lists).check, &rules())
    };
    assert_eq!(lists(&[]), Verdict::True);
    assert_eq!(lists(&[&[]]), Verdict::False);
    assert_eq!(lists(&[&[], &["role:member"]]), Verdict::True);
    assert_eq!(lists(&[&["role:member", "role:admin"]]), Verdict::False);
    assert_eq!(
        lists(&[&["role:member", "role:admin"], &["rule:owner"]]),
        Verdict::True
    );
    assert_eq!(lists(&[&["role:member", "role:reader"]]), Verdict::True);
    assert_eq!(lists(&[&["role:member and role:reader"]]), Verdict::False);
    assert_eq!(lists(&[&["nonsense"]]), Verdict::Unknown);
}

#[test]
fn an_undefined_rule_is_the_default_rule_or_unknown_without_one() {
    let missing = parse("rule:missing").check;
    let negated = parse("not rule:missing").check;
    let mut rules = RuleSet::new("default");
    assert_eq!(verdict_with(&missing, &rules), Verdict::Unknown);
    assert_eq!(verdict_with(&negated, &rules), Verdict::Unknown);
    rules.define("default", Check::Always);
    assert_eq!(verdict_with(&missing, &rules), Verdict::True);
    assert_eq!(verdict_with(&negated, &rules), Verdict::False);
}

#[test]
fn finds_references_that_lead_nowhere_or_back() {
    let mut rules = RuleSet::new("default");
    for (name, rule) in [
        ("a", "role:x or (not rule:b)"),
        ("b", "@ and rule:c"),
        ("c", "rule:a"),
        ("self", "rule:self"),
        ("typo", "rule:abc"),
        ("fine", "rule:d and rule:d"),
        ("d", "@"),
    ] {
        rules.define(name, parse(rule).check);
    }
    let fault = |name: &str, fault| (name.to_owned(), fault);
    assert_eq!(
        rules.faults(),
        [
            fault("c", Fault::Cycle("a".into())),
            fault("self", Fault::Cycle("self".into())),
            fault("typo", Fault::UndefinedWithoutDefault("abc".into())),
        ]
    );
    for name in ["a", "b", "c", "self"] {
        assert_eq!(
            verdict_with(&parse(&format!("rule:{name}")).check, &rules),
            Verdict::Unknown
        );
    }
    rules.define("default", Check::Never);
    assert!(
        rules
            .faults()
            .contains(&fault("typo", Fault::Undefined("abc".into())))
    );
}

#[test]
fn a_chain_of_rules_that_is_too_long_is_reported_and_denies() {
    let mut rules = RuleSet::new("default");
    for link in 0..1000 {
        rules.define(
            format!("r{link:04}"),
            parse(&format!("rule:r{:04}", link + 1)).check,
        );
    }
    rules.define("r1000", Check::Always);
    let faults = rules.faults();
    assert!(faults.iter().any(|(_, fault)| *fault == Fault::TooManyLevels));
    assert_eq!(verdict_with(&parse("rule:r0000").check, &rules), Verdict::Unknown);
    assert_eq!(verdict_with(&parse("rule:r0900").check, &rules), Verdict::True);
}

#[test]
fn rules_that_multiply_are_cut_off() {
    let mut rules = RuleSet::new("default");
    for link in 0..64 {
        let next = link + 1;
        rules.define(
            format!("r{link}"),
            parse(&format!("rule:r{next} and rule:r{next}")).check,
        );
    }
    rules.define("r64", Check::Always);
    assert_eq!(verdict_with(&parse("rule:r0").check, &rules), Verdict::Unknown);
}

/// Text that reads as a template, without white space and parentheses of its own.
fn template() -> impl Strategy<Value = Template> {
    let piece = prop_oneof![
        "[a-z0-9'\"_.:-]{1,4}",
        Just("%%".to_owned()),
        "%\\([a-z._]{0,5}\\)s"
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| Template::parse(&pieces.concat()).unwrap())
}

fn check() -> impl Strategy<Value = Check> {
    let leaf = prop_oneof![
        Just(Check::Always),
        Just(Check::Never),
        Just(Check::Unusable),
        "[a-z_:%-]{0,6}".prop_map(Check::Rule),
        template().prop_map(Check::Role),
        ("[a-z0-9.%_-]{0,5}", template()).prop_map(|(value, expected)| Check::Literal { value, expected }),
        (proptest::collection::vec("x_[a-z0-9-]{0,3}", 1..4), template())
            .prop_map(|(path, expected)| Check::Credential { path, expected }),
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|check| Check::Not(Box::new(check))),
            proptest::collection::vec(inner.clone(), 2..5).prop_map(Check::All),
            proptest::collection::vec(inner, 2..5).prop_map(Check::Any),
        ]
    })
}

/// Text out of the language's own pieces, so that much of it is nearly right.
fn nearly_a_rule() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "(", ")", " ", "and", "or", "not", "@", "!", "rule:", "role:", "x", ":", "%", "%(", ")s", "'", "\"",
        "True", "-1", ".", "http:", "\u{1c}", "é", "\\",
    ]);
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_check_printed_and_read_is_the_same(check in check()) {
        let Parsed { check: read, .. } = parse(&check.to_string());
        prop_assert_eq!(read, check);
    }

    #[test]
    fn no_text_panics_or_is_permission_without_being_understood(rule in prop_oneof![any::<String>(), nearly_a_rule()]) {
        let Parsed { check, faults } = parse(&rule);
        let verdict = verdict_with(&check, &rules());
        if check == Check::Unusable {
            prop_assert!(verdict != Verdict::True && !faults.is_empty());
        }
        prop_assert_eq!(parse(&check.to_string()).check, check);
    }

    #[test]
    fn no_lists_panic(lists in proptest::collection::vec(proptest::collection::vec(nearly_a_rule(), 0..4), 0..4)) {
        verdict_with(&parse_lists(&lists).check, &rules());
    }
}
