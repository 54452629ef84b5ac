use std::{fs, path::Path};

use super::{
    Authorized, Denied, Download, ImportKind, Policy, PolicyError, PolicyFile, PolicyFiles, Proposal, Rule,
    ScopeType, Warning, WarningKind,
    language::{self, Fault},
};
use crate::{
    identity::{Caller, Scope, Service},
    image::{Image, ImageId, Member, MemberStatus, Revision, Status, Timestamp, Viewer, Visibility},
};

/// A member of project `us` with these roles.
pub(super) fn caller(roles: &[&str]) -> Caller {
    Caller {
        user_id: "user".into(),
        user_name: None,
        user_domain_id: Some("default".into()),
        project_id: Some("us".into()),
        project_name: None,
        project_domain_id: Some("default".into()),
        scope: Scope::Project,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        domain_id: None,
        service: None,
        is_admin_project: true,
    }
}

pub(super) fn scoped(scope: Scope, roles: &[&str]) -> Caller {
    Caller {
        project_id: None,
        scope,
        ..caller(roles)
    }
}

pub(super) fn persona(name: &str) -> Caller {
    match name {
        "admin" => caller(&["admin", "member", "reader"]),
        "member" => caller(&["member", "reader"]),
        "reader" => caller(&["reader"]),
        "only_member" => caller(&["member"]),
        "stranger" => caller(&["other"]),
        "service" => caller(&["service", "member", "reader"]),
        "system_admin" => scoped(Scope::System, &["admin", "member", "reader"]),
        "domain_member" => scoped(Scope::Domain, &["member", "reader"]),
        _ => panic!("no persona {name}"),
    }
}

pub(super) fn image(name: &str) -> Image {
    let (owner, visibility, member) = match name {
        "own_private" => (Some("us"), Visibility::Private, None),
        "own_shared" => (Some("us"), Visibility::Shared, Some("them")),
        "own_community" => (Some("us"), Visibility::Community, None),
        "own_public" => (Some("us"), Visibility::Public, None),
        "their_private" => (Some("them"), Visibility::Private, None),
        "their_shared" => (Some("them"), Visibility::Shared, None),
        "shared_with_us" => (Some("them"), Visibility::Shared, Some("us")),
        "their_community" => (Some("them"), Visibility::Community, None),
        "their_public" => (Some("them"), Visibility::Public, None),
        "nobodys_private" => (None, Visibility::Private, None),
        _ => panic!("no image {name}"),
    };
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    let mut image = Image::new(ImageId::from_bytes([7; 16]), now);
    image.owner = owner.map(str::to_owned);
    image.visibility = visibility;
    image.members.extend(member.map(|member| {
        let membership = Member {
            status: MemberStatus::Pending,
            created_at: now,
            updated_at: now,
        };
        (member.to_owned(), membership)
    }));
    image
}

type Operation = fn(&Policy, &Caller, &Image) -> Result<(), Denied>;

/// The columns of [`DEFAULTS`].
const OPERATIONS: [(&str, Operation); 21] = [
    ("show", Policy::authorize_show),
    ("modify", Policy::authorize_modify),
    ("publicize", |p, c, i| {
        p.authorize_visibility(c, i, Visibility::Public)
    }),
    ("communitize", |p, c, i| {
        p.authorize_visibility(c, i, Visibility::Community)
    }),
    ("delete", Policy::authorize_delete),
    ("upload", |p, c, i| {
        p.authorize_upload(c, i).map(|granted| assert_for(&granted, i))
    }),
    ("download", |p, c, i| {
        p.authorize_download(c, i).map(|granted| assert_for(&granted, i))
    }),
    ("download from a store", Policy::authorize_store_choice),
    ("set locations", Policy::authorize_set_locations),
    ("delete locations", Policy::authorize_delete_locations),
    ("see locations", |p, c, i| {
        p.authorize_image(Rule::GetImageLocation, c, i)
    }),
    ("add a location", |p, c, i| {
        p.authorize_add_location(c, i).map(drop)
    }),
    ("fetch locations", Policy::authorize_fetch_locations),
    ("deactivate", Policy::authorize_deactivate),
    ("reactivate", Policy::authorize_reactivate),
    ("copy", |p, c, i| {
        p.authorize_import(c, i, ImportKind::Copy)
            .map(|granted| assert_for(&granted, i))
    }),
    ("add a member", Policy::authorize_add_member),
    ("list members", Policy::authorize_list_members),
    ("show a member", Policy::authorize_show_member),
    ("modify a member", Policy::authorize_modify_member),
    ("delete a member", Policy::authorize_delete_member),
];

fn assert_for<A>(granted: &Authorized<A>, image: &Image) {
    assert_eq!(
        (granted.image_id(), granted.revision()),
        (image.id, image.revision)
    );
}

/// What Glance 33.0.0's own policy classes answered over oslo.policy 6.0.1: who, to which image, and one letter per
/// operation: `y`es, `f`orbidden, `-` not found.
///
/// One thing was changed: Glance forbids a change of visibility even to a caller that `get_image` hides the image
/// from, which then knows that it exists; here the answer is "not found" as for everything else.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("admin", "own_private", "yyyyyyyyyyyyyyyyyyyyy"),
    ("admin", "own_shared", "yyyyyyyyyyyyyyyyyyyyy"),
    ("admin", "own_community", "yyyyyyyyyyyyyyyyyyyyy"),
    ("admin", "own_public", "yyyyyyyyyyyyyyyyyyyyy"),
    ("admin", "their_private", "yyyyyyyyyyyyyyyyyyyyy"),
    ("admin", "their_shared", "yyyyyyyyyyyyyyyyyyyyy"),
    ("admin", "shared_with_us", "yyyyyyyyyyyyyyyyyyyyy"),
    ("admin", "their_community", "yyyyyyyyyyyyyyyyyyyyy"),
    ("admin", "their_public", "yyyyyyyyyyyyyyyyyyyyy"),
    ("admin", "nobodys_private", "yyyyyyyyyyyyyyyyyyyyy"),
    ("member", "own_private", "yyfyyyyyyfyyfyyfyyyfy"),
    ("member", "own_shared", "yyfyyyyyyfyyfyyfyyyfy"),
    ("member", "own_community", "yyfyyyyyyfyyfyyfyyyfy"),
    ("member", "own_public", "yyfyyyyyyfyyfyyfyyyfy"),
    ("member", "their_private", "---------------------"),
    ("member", "their_shared", "---------------------"),
    ("member", "shared_with_us", "yfffffyyfffffffffyyyf"),
    ("member", "their_community", "yfffffyyfffffffffffff"),
    ("member", "their_public", "yfffffyyfffffffffffff"),
    ("member", "nobodys_private", "---------------------"),
    ("reader", "own_private", "yfffffffffyffffffyyff"),
    ("reader", "own_shared", "yfffffffffyffffffyyff"),
    ("reader", "own_community", "yfffffffffyffffffyyff"),
    ("reader", "own_public", "yfffffffffyffffffyyff"),
    ("reader", "their_private", "---------------------"),
    ("reader", "their_shared", "---------------------"),
    ("reader", "shared_with_us", "yffffffffffffffffyyff"),
    ("reader", "their_community", "yffffffffffffffffffff"),
    ("reader", "their_public", "yffffffffffffffffffff"),
    ("reader", "nobodys_private", "---------------------"),
    ("only_member", "own_private", "-y-yyyyyy--y-yy------"),
    ("only_member", "own_shared", "-y-yyyyyy--y-yy------"),
    ("only_member", "own_community", "-y-yyyyyy--y-yy------"),
    ("only_member", "own_public", "-y-yyyyyy--y-yy------"),
    ("only_member", "their_private", "---------------------"),
    ("only_member", "their_shared", "---------------------"),
    ("only_member", "shared_with_us", "------yy-------------"),
    ("only_member", "their_community", "------yy-------------"),
    ("only_member", "their_public", "------yy-------------"),
    ("only_member", "nobodys_private", "---------------------"),
    ("stranger", "own_private", "---------------------"),
    ("stranger", "own_shared", "---------------------"),
    ("stranger", "own_community", "---------------------"),
    ("stranger", "own_public", "---------------------"),
    ("stranger", "their_private", "---------------------"),
    ("stranger", "their_shared", "---------------------"),
    ("stranger", "shared_with_us", "---------------------"),
    ("stranger", "their_community", "---------------------"),
    ("stranger", "their_public", "---------------------"),
    ("stranger", "nobodys_private", "---------------------"),
    ("service", "own_private", "yyfyyyyyyfyyyyyfyyyfy"),
    ("service", "own_shared", "yyfyyyyyyfyyyyyfyyyfy"),
    ("service", "own_community", "yyfyyyyyyfyyyyyfyyyfy"),
    ("service", "own_public", "yyfyyyyyyfyyyyyfyyyfy"),
    ("service", "their_private", "---------------------"),
    ("service", "their_shared", "---------------------"),
    ("service", "shared_with_us", "yfffffyyfffyyffffyyyf"),
    ("service", "their_community", "yfffffyyfffyyffffffff"),
    ("service", "their_public", "yfffffyyfffyyffffffff"),
    ("service", "nobodys_private", "-----------yy--------"),
    ("system_admin", "own_private", "---------------------"),
    ("system_admin", "own_shared", "---------------------"),
    ("system_admin", "own_community", "---------------------"),
    ("system_admin", "own_public", "---------------------"),
    ("system_admin", "their_private", "---------------------"),
    ("system_admin", "their_shared", "---------------------"),
    ("system_admin", "shared_with_us", "---------------------"),
    ("system_admin", "their_community", "---------------------"),
    ("system_admin", "their_public", "---------------------"),
    ("system_admin", "nobodys_private", "---------------------"),
    ("domain_member", "own_private", "---------------------"),
    ("domain_member", "own_shared", "---------------------"),
    ("domain_member", "own_community", "---------------------"),
    ("domain_member", "own_public", "---------------------"),
    ("domain_member", "their_private", "---------------------"),
    ("domain_member", "their_shared", "---------------------"),
    ("domain_member", "shared_with_us", "---------------------"),
    ("domain_member", "their_community", "---------------------"),
    ("domain_member", "their_public", "---------------------"),
    ("domain_member", "nobodys_private", "---------------------"),
];

fn letter(answer: Result<(), Denied>) -> char {
    match answer {
        Ok(()) => 'y',
        Err(Denied::Forbidden { .. }) => 'f',
        Err(Denied::NotFound) => '-',
        Err(Denied::Deactivated) => 'd',
    }
}

#[test]
fn the_defaults_answer_as_glance_does() {
    let policy = Policy::with_defaults();
    for (who, which, expected) in DEFAULTS {
        let (caller, image) = (persona(who), image(which));
        assert_eq!(expected.len(), OPERATIONS.len());
        for ((operation, ask), expected) in OPERATIONS.iter().zip(expected.chars()) {
            assert_eq!(
                letter(ask(&policy, &caller, &image)),
                expected,
                "{who}, {which}: {operation}"
            );
        }
        let viewer = policy.viewer(&caller);
        let shown = policy.authorize_show(&caller, &image).is_ok();
        assert_eq!(policy.may_list(&viewer, &caller, &image), shown, "{who}, {which}");
    }
}

/// Who; may they create for `us`, `them` and nobody, each with visibility unset, private, shared, community and
/// public; may they list images, use the tasks API, see store details, list the cache; are they administrators.
/// From the same run as [`DEFAULTS`].
const DEFAULTS_WITHOUT_IMAGE: &[(&str, &str, &str, bool)] = &[
    ("admin", "yyyyyyyyyyyyyyy", "yyyy", true),
    ("member", "yyyyfffffffffff", "yfff", false),
    ("reader", "fffffffffffffff", "yfff", false),
    ("only_member", "yyyyfffffffffff", "ffff", false),
    ("stranger", "fffffffffffffff", "ffff", false),
    ("service", "yyyyfffffffffff", "yfyf", false),
    ("system_admin", "fffffffffffffff", "ffff", true),
    ("domain_member", "fffffffffffffff", "ffff", false),
];

#[test]
fn the_defaults_answer_as_glance_does_where_there_is_no_image_yet() {
    let policy = Policy::with_defaults();
    for (who, create, others, admin) in DEFAULTS_WITHOUT_IMAGE {
        let caller = persona(who);
        let mut answers = String::new();
        for owner in [Some("us"), Some("them"), None] {
            for visibility in [
                None,
                Some(Visibility::Private),
                Some(Visibility::Shared),
                Some(Visibility::Community),
                Some(Visibility::Public),
            ] {
                answers.push(letter(
                    policy.authorize_create(&caller, &Proposal { owner, visibility }),
                ));
            }
        }
        assert_eq!(answers, *create, "{who}");
        let answers: String = [
            policy.authorize_list(&caller).map(drop),
            policy.authorize(Rule::TasksApiAccess, &caller),
            policy.authorize(Rule::StoresInfoDetail, &caller),
            policy.authorize(Rule::CacheList, &caller),
        ]
        .into_iter()
        .map(letter)
        .collect();
        assert_eq!(answers, *others, "{who}");
        assert_eq!(policy.is_admin(&caller), *admin, "{who}");
    }
}

#[test]
fn all_of_glances_rules_have_defaults_without_fault() {
    assert_eq!(Rule::ALL.len(), 67);
    let any_scope: Vec<Rule> = Rule::ALL
        .iter()
        .copied()
        .filter(|rule| rule.scope() == ScopeType::Any)
        .collect();
    assert_eq!(
        any_scope,
        [
            Rule::Default,
            Rule::ContextIsAdmin,
            Rule::ServiceApi,
            Rule::MetadefDefault,
            Rule::MetadefAdmin
        ]
    );
    for rule in Rule::ALL {
        assert_eq!(
            language::parse(rule.default_check()).faults,
            [],
            "{}",
            rule.name()
        );
    }
    let (_, warnings) = Policy::load(&PolicyFiles::default()).unwrap();
    assert_eq!(warnings, []);
}

#[test]
fn an_administrator_sees_everything_and_others_what_their_project_sees() {
    let policy = Policy::with_defaults();
    assert_eq!(policy.viewer(&persona("admin")), Viewer::Admin(Some("us".into())));
    assert_eq!(policy.viewer(&persona("system_admin")), Viewer::Admin(None));
    assert_eq!(policy.viewer(&persona("reader")), Viewer::Project("us".into()));
}

#[test]
fn a_token_without_scope_is_denied_even_with_roles() {
    let policy = Policy::with_defaults();
    let unscoped = scoped(Scope::Unscoped, &["member", "reader"]);
    let without_project = scoped(Scope::Project, &["member", "reader"]);
    for caller in [unscoped, without_project] {
        assert_eq!(
            policy.authorize_show(&caller, &image("their_public")),
            Err(Denied::NotFound)
        );
        assert!(policy.authorize_list(&caller).is_err());
    }
}

#[test]
fn the_roles_of_a_service_token_are_not_the_users() {
    let policy = Policy::with_defaults();
    let mut caller = persona("member");
    caller.service = Some(Service {
        roles: vec!["service".into()],
        ..Service::default()
    });
    assert!(policy.authorize(Rule::StoresInfoDetail, &caller).is_err());
}

#[test]
fn only_an_administrator_downloads_a_deactivated_image() {
    let policy = Policy::with_defaults();
    let mut image = image("own_private");
    image.status = Status::Deactivated;
    let answer = |who| policy.authorize_download(&persona(who), &image).map(drop);
    assert_eq!(answer("admin"), Ok(()));
    assert_eq!(answer("member"), Err(Denied::Deactivated));
    assert_eq!(
        answer("reader"),
        Err(Denied::Forbidden {
            rule: "download_image"
        })
    );
}

#[test]
fn permission_names_the_image_and_its_revision() {
    let policy = Policy::with_defaults();
    let mut image = image("own_private");
    image.revision = Revision::from_number(12);
    let granted: Authorized<Download> = policy.authorize_download(&persona("member"), &image).unwrap();
    assert_eq!(granted.image_id(), image.id);
    assert_eq!(granted.revision(), Revision::from_number(12));
    assert_for(
        &policy.authorize_stage(&persona("member"), &image).unwrap(),
        &image,
    );
}

#[test]
fn an_import_of_new_data_is_a_modification() {
    let policy = Policy::with_defaults();
    let import = |who, kind| {
        let granted = policy.authorize_import(&persona(who), &image("own_private"), kind);
        granted.map(drop)
    };
    assert_eq!(import("member", ImportKind::NewData), Ok(()));
    assert_eq!(
        import("reader", ImportKind::NewData),
        Err(Denied::Forbidden { rule: "modify_image" })
    );
    assert_eq!(
        import("member", ImportKind::Copy),
        Err(Denied::Forbidden { rule: "copy_image" })
    );
}

#[test]
fn deleting_from_a_store_needs_both_location_rules() {
    let image = image("own_private");
    let answer = |policy: &Policy, who| policy.authorize_delete_from_store(&persona(who), &image);
    let forbidden = |rule| Err(Denied::Forbidden { rule });
    let policy = Policy::with_defaults();
    assert_eq!(answer(&policy, "admin"), Ok(()));
    assert_eq!(answer(&policy, "member"), forbidden("delete_image_location"));
    assert_eq!(
        answer(&with("get_image_location: '!'"), "admin"),
        forbidden("get_image_location")
    );
}

/// The defaults with one policy file of this text.
fn load(text: &str) -> Result<(Policy, Vec<Warning>), PolicyError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.yaml");
    fs::write(&path, text).unwrap();
    Policy::load(&PolicyFiles {
        file: PolicyFile::Required(path),
        ..PolicyFiles::default()
    })
}

fn with(text: &str) -> Policy {
    load(text).unwrap().0
}

#[test]
fn a_file_changes_the_rules_it_names_and_no_others() {
    let policy = with("delete_image: role:janitor\nupload_image: \"\"\n# comment\n");
    let image = image("own_private");
    let member = persona("member");
    assert_eq!(
        policy.authorize_delete(&member, &image),
        Err(Denied::Forbidden { rule: "delete_image" })
    );
    assert_eq!(
        policy.authorize_delete(&caller(&["janitor", "reader"]), &image),
        Ok(())
    );
    assert_eq!(policy.authorize_modify(&member, &image), Ok(()));
    assert!(policy.authorize_upload(&persona("stranger"), &image).is_ok());
}

#[test]
fn no_rule_of_a_file_opens_what_the_caller_does_not_see_or_another_scope() {
    let policy = with("get_image: ''\nmodify_image: ''\n");
    assert_eq!(
        policy.authorize_modify(&persona("member"), &image("their_private")),
        Err(Denied::NotFound)
    );
    assert_eq!(
        policy.authorize_modify(&persona("domain_member"), &image("their_public")),
        Err(Denied::NotFound)
    );
    assert_eq!(
        policy.authorize_modify(&persona("stranger"), &image("their_public")),
        Ok(())
    );
}

#[test]
fn rules_see_attributes_and_custom_properties_by_name() {
    let mut image = image("own_private");
    image.name = Some("base".into());
    image.min_ram = 512;
    image.properties.insert("team".into(), "us".into());
    image.properties.insert("a.b".into(), "us".into());
    image.properties.insert("owner".into(), "forged".into());
    image.properties.insert("member_id".into(), "forged".into());
    let id = image.id;
    for (rule, expected) in [
        ("project_id:%(owner)s".to_owned(), true),
        ("project_id:%(project_id)s".to_owned(), true),
        ("project_id:%(team)s".to_owned(), true),
        ("project_id:%(a.b)s".to_owned(), true),
        ("project_id:%(absent)s".to_owned(), false),
        (format!("'{id}':%(id)s and '{id}':%(image_id)s"), true),
        (
            "'base':%(name)s and 512:%(min_ram)s and 'queued':%(status)s".to_owned(),
            true,
        ),
        (
            "False:%(protected)s and None:%(size)s and None:%(checksum)s".to_owned(),
            true,
        ),
        ("None:%(member_id)s".to_owned(), true),
        ("'forged':%(owner)s or 'forged':%(member_id)s".to_owned(), false),
        ("'{}':%(tags)s".to_owned(), false),
    ] {
        let policy = with(&format!("modify_image: \"{rule}\"\n"));
        let answer = policy.authorize_modify(&persona("member"), &image);
        assert_eq!(answer.is_ok(), expected, "{rule}");
    }
}

#[test]
fn an_administrator_can_be_someone_else() {
    let policy = with("context_is_admin: \"role:cloud_admin and project_id:us\"\n");
    assert!(!policy.is_admin(&persona("admin")));
    assert!(policy.is_admin(&caller(&["cloud_admin"])));
    assert_eq!(
        policy.authorize_show(&caller(&["cloud_admin"]), &image("their_private")),
        Ok(())
    );
}

#[test]
fn json_and_the_old_list_form_are_read() {
    let policy =
        with(r#"{"delete_image": [["role:janitor", "role:member"], ["role:admin"]], "upload_image": []}"#);
    let image = image("own_private");
    let may = |roles: &[&str]| policy.authorize_delete(&caller(roles), &image).is_ok();
    assert!(may(&["janitor", "member", "reader"]));
    assert!(may(&["admin"]));
    assert!(!may(&["member", "reader"]));
    assert!(policy.authorize_upload(&persona("stranger"), &image).is_ok());
}

#[test]
fn json_may_be_indented_with_tabs() {
    let policy = with("{\n\t\"modify_image\":\t\"!\"\n}\n");
    assert!(
        policy
            .authorize_modify(&persona("admin"), &image("own_private"))
            .is_err()
    );
}

#[test]
fn a_rule_of_the_operators_own_can_be_referred_to() {
    let (policy, warnings) = load("curators: role:curator\npublicize_image: rule:curators\n").unwrap();
    assert_eq!(warnings, []);
    let curator = caller(&["curator", "member", "reader"]);
    let image = image("own_private");
    assert_eq!(
        policy.authorize_visibility(&curator, &image, Visibility::Public),
        Ok(())
    );
}

#[test]
fn an_empty_file_changes_nothing() {
    for text in ["", "\n\n", "# nothing\n", "{}", "---\n"] {
        let (policy, warnings) = load(text).unwrap();
        assert_eq!(warnings, [], "{text:?}");
        assert!(
            policy
                .authorize_delete(&persona("reader"), &image("own_private"))
                .is_err()
        );
        assert!(
            policy
                .authorize_delete(&persona("member"), &image("own_private"))
                .is_ok()
        );
    }
}

#[test]
fn directories_are_read_after_the_file_in_the_order_of_names() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("policy.d/below")).unwrap();
    fs::write(at("policy.yaml"), "delete_image: '@'\nmodify_image: '!'\n").unwrap();
    fs::write(
        at("policy.d/10-first.yaml"),
        "delete_image: '@'\nupload_image: '!'\n",
    )
    .unwrap();
    fs::write(at("policy.d/20-second.yaml"), "delete_image: '!'\n").unwrap();
    fs::write(at("policy.d/.hidden"), "not: [a policy").unwrap();
    let (policy, warnings) = Policy::load(&PolicyFiles {
        file: PolicyFile::FirstOf(vec![at("policy.json"), at("policy.yaml")]),
        directories: vec![vec![at("policy.d")], vec![at("absent.d")]],
        ..PolicyFiles::default()
    })
    .unwrap();
    assert_eq!(warnings, []);
    let (member, image) = (persona("member"), image("own_private"));
    assert!(policy.authorize_delete(&member, &image).is_err());
    assert!(policy.authorize_modify(&member, &image).is_err());
    assert!(policy.authorize_upload(&member, &image).is_err());
    assert!(policy.authorize_download(&member, &image).is_ok());
}

#[test]
fn a_file_that_an_operator_named_has_to_be_there() {
    let path = Path::new("/nonexistent/policy.yaml").to_owned();
    let load = |file| {
        Policy::load(&PolicyFiles {
            file,
            ..PolicyFiles::default()
        })
    };
    assert!(load(PolicyFile::FirstOf(vec![path.clone()])).is_ok());
    let error = load(PolicyFile::Required(path)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the policy file /nonexistent/policy.yaml"
    );
}

#[test]
fn the_default_rule_has_a_name_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.yaml");
    fs::write(&path, "fallback: '!'\nmodify_image: rule:typo\n").unwrap();
    let load = |default_rule: &str| {
        Policy::load(&PolicyFiles {
            file: PolicyFile::Required(path.clone()),
            default_rule: default_rule.into(),
            ..PolicyFiles::default()
        })
        .unwrap()
    };
    let answer = |policy: &Policy| {
        policy
            .authorize_modify(&persona("member"), &image("own_private"))
            .is_ok()
    };
    let fault = |warnings: &[Warning]| {
        warnings
            .iter()
            .find_map(|warning| match &warning.kind {
                WarningKind::Fault(fault) if warning.rule == "modify_image" => Some(fault.clone()),
                _ => None,
            })
            .unwrap()
    };
    let (policy, warnings) = load("default");
    assert!(answer(&policy));
    assert_eq!(fault(&warnings), Fault::Undefined("typo".into()));
    let (policy, _) = load("fallback");
    assert!(!answer(&policy));
    let (policy, warnings) = load("absent");
    assert!(!answer(&policy));
    assert_eq!(fault(&warnings), Fault::UndefinedWithoutDefault("typo".into()));
}

#[test]
fn warns_of_rules_that_are_not_understood_and_denies() {
    let (policy, warnings) = load("modify_image: role:member or\ndelete_image: http://x/y\n").unwrap();
    let texts: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts[0].starts_with("policy rule modify_image: it is not a valid expression (in /"));
    assert!(
        texts[1]
            .starts_with("policy rule delete_image: remote checks (`http://x/y`) are not supported (in /")
    );
    assert!(
        policy
            .authorize_modify(&persona("admin"), &image("own_private"))
            .is_err()
    );
    assert!(
        policy
            .authorize_delete(&persona("admin"), &image("own_private"))
            .is_err()
    );
}

#[test]
fn warns_of_cycles_and_denies() {
    let (policy, warnings) = load("a: rule:b\nb: not rule:a\nmodify_image: rule:a\n").unwrap();
    assert_eq!(
        warnings,
        [Warning {
            rule: "b".into(),
            place: warnings[0].place.clone(),
            kind: WarningKind::Fault(Fault::Cycle("a".into()))
        }]
    );
    assert!(
        policy
            .authorize_modify(&persona("admin"), &image("own_private"))
            .is_err()
    );
}

#[test]
fn the_last_of_two_definitions_holds() {
    let (policy, warnings) = load("modify_image: '@'\nmodify_image: '!'\n").unwrap();
    assert!(
        matches!(&warnings[..], [Warning { rule, place: Some(place), kind: WarningKind::Duplicate }] if rule == "modify_image" && place.line == 2)
    );
    assert!(
        policy
            .authorize_modify(&persona("admin"), &image("own_private"))
            .is_err()
    );
}

#[test]
fn refuses_files_that_are_not_policies_and_names_file_and_rule() {
    for (text, expected) in [
        ("a: [b", "is neither YAML nor JSON"),
        ("a: @", "is neither YAML nor JSON"),
        ("- a\n- b\n", "is not a mapping from rule names to rules"),
        ("text", "is not a mapping from rule names to rules"),
        ("1: role:x\n", "is not a mapping from rule names to rules"),
        ("mine:\n", "rule mine in /"),
        ("mine: !\n", "rule mine in /"),
        ("mine: !custom x\n", "is neither YAML nor JSON"),
        ("mine: ~\n", "rule mine in /"),
        ("mine: true\n", "rule mine in /"),
        ("mine: 5\n", "rule mine in /"),
        ("mine: {a: b}\n", "rule mine in /"),
        ("mine: [[a, 5]]\n", "rule mine in /"),
        ("mine: [[[a]]]\n", "rule mine in /"),
    ] {
        let message = load(text).unwrap_err().to_string();
        assert!(
            message.contains(expected) && message.contains("policy.yaml"),
            "{text:?}: {message}"
        );
    }
}

#[test]
fn refuses_files_that_are_too_large_or_multiply_themselves() {
    let large = format!("a: '{}'\n", "x".repeat(1024 * 1024));
    assert!(matches!(load(&large), Err(PolicyError::TooLarge { .. })));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert!(load(&bomb).is_err());
    assert!(load(&format!("a: {}", "[".repeat(100_000))).is_err());
}

#[test]
fn errors_and_warnings_name_the_line() {
    for (text, line) in [
        ("# comment\n\na: role:x\nmine:\n", 4),
        ("a: role:x\n\nmine: {a: b}\n", 3),
        ("a: >-\n  role:x\n  or role:y\n'mine': 5\n", 4),
        ("{\n \"a\": \"@\",\n \"mine\": 5}", 3),
        ("a: role:x\n\n\n1: role:x\n", 4),
        ("a: role:x\nb: @\n", 2),
    ] {
        let message = load(text).unwrap_err().to_string();
        assert!(
            message.contains(&format!("policy.yaml:{line} ")),
            "{text:?}: {message}"
        );
    }
    let (_, warnings) = load("delete_image: '@'\n\nmodify_image: >-\n  rule:typo\n").unwrap();
    let place = warnings[0].place.as_ref().unwrap();
    assert_eq!((warnings.len(), place.line), (1, 3));
}

#[test]
fn warns_of_rules_that_nothing_asks_for() {
    let text = "dowload_image: role:x\nget_task: '@'\nhelper: role:y\ndeeper: role:z\n\
                add_image: rule:helper\nhelper: rule:deeper\nlost: rule:also_lost\nalso_lost: '@'\n";
    let (_, warnings) = load(text).unwrap();
    let idle: Vec<_> = warnings
        .iter()
        .filter(|warning| warning.kind != WarningKind::Duplicate)
        .map(|warning| (warning.rule.as_str(), warning.kind.clone()))
        .collect();
    assert_eq!(
        idle,
        [
            ("also_lost", WarningKind::Unused),
            ("dowload_image", WarningKind::Unused),
            ("get_task", WarningKind::Obsolete),
            ("lost", WarningKind::Unused),
        ]
    );
}

#[test]
fn definitions_tell_where_each_rule_is_from() {
    let policy = with("zebra: role:z\nadd_image: [['rule:zebra', 'role:a'], ['role:b']]\n");
    let definitions = policy.definitions();
    assert_eq!(definitions.len(), Rule::ALL.len() + 1);
    let line = |name: &str| {
        let found = definitions.iter().find(|definition| definition.name == name);
        let found = found.unwrap();
        (
            found.text.as_str(),
            found.place.as_ref().map(|place| place.line),
            found.rule,
        )
    };
    assert_eq!(line("zebra"), ("role:z", Some(1), None));
    assert_eq!(
        line("add_image"),
        (
            "((rule:zebra and role:a) or role:b)",
            Some(2),
            Some(Rule::AddImage)
        )
    );
    assert_eq!(
        line("default"),
        (Rule::Default.default_check(), None, Some(Rule::Default))
    );
    assert_eq!(definitions[0].name, "default");
    assert_eq!(definitions.last().unwrap().name, "zebra");
}
