//! `enforce_new_defaults = false`.

use super::{
    Defaults, Denied, Policy, PolicyFile, PolicyFiles, Proposal, Rule,
    tests::{caller, image, persona, scoped},
};
use crate::{identity::Scope, image::Visibility};

fn old(text: &str) -> Policy {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.yaml");
    std::fs::write(&path, text).unwrap();
    let files = PolicyFiles {
        file: PolicyFile::Required(path),
        defaults: Defaults::WithOld,
        ..PolicyFiles::default()
    };
    Policy::load(&files).unwrap().0
}

fn forbidden(rule: Rule) -> Result<(), Denied> {
    Err(Denied::Forbidden { rule: rule.name() })
}

#[test]
fn what_was_permitted_before_is_permitted_in_the_bounds_of_ownership() {
    let policy = old("{}");
    // A role that no default names.
    let nobody = caller(&["_member_"]);
    let own = image("own_private");
    assert_eq!(policy.authorize_modify(&nobody, &own), Ok(()));
    assert_eq!(policy.authorize_delete(&nobody, &own), Ok(()));
    assert!(policy.authorize_upload(&nobody, &own).is_ok());
    assert!(policy.authorize_download(&nobody, &own).is_ok());
    assert_eq!(policy.authorize_deactivate(&nobody, &own), Ok(()));
    assert_eq!(policy.authorize_reactivate(&nobody, &own), Ok(()));
    assert_eq!(policy.authorize_delete_locations(&nobody, &own), Ok(()));
    let theirs = image("shared_with_us");
    assert_eq!(policy.authorize_show(&nobody, &theirs), Ok(()));
    assert_eq!(
        policy.authorize_modify(&nobody, &theirs),
        forbidden(Rule::ModifyImage)
    );
    assert_eq!(
        policy.authorize_delete(&nobody, &theirs),
        forbidden(Rule::DeleteImage)
    );
    assert_eq!(
        policy.authorize_deactivate(&nobody, &theirs),
        forbidden(Rule::Deactivate)
    );
    assert_eq!(
        policy.authorize_reactivate(&nobody, &theirs),
        forbidden(Rule::Reactivate)
    );
    assert!(policy.authorize_upload(&nobody, &theirs).is_err());
    assert!(policy.authorize_stage(&nobody, &theirs).is_err());
    assert_eq!(
        policy.authorize_delete_locations(&nobody, &theirs),
        forbidden(Rule::DeleteImageLocation)
    );
    assert_eq!(
        policy.authorize_show(&nobody, &image("their_private")),
        Err(Denied::NotFound)
    );
    let mut ownerless = image("own_public");
    ownerless.owner = None;
    assert_eq!(
        policy.authorize_modify(&nobody, &ownerless),
        forbidden(Rule::ModifyImage)
    );
    for image in [&own, &theirs, &ownerless] {
        assert_eq!(policy.authorize_modify(&persona("admin"), image), Ok(()));
    }
}

#[test]
fn images_are_made_for_ones_own_project_and_published_by_administrators() {
    let policy = old("{}");
    let nobody = caller(&["_member_"]);
    let proposal = |owner, visibility| Proposal { owner, visibility };
    assert_eq!(
        policy.authorize_create(&nobody, &proposal(Some("us"), None)),
        Ok(())
    );
    for owner in [Some("them"), None] {
        assert_eq!(
            policy.authorize_create(&nobody, &proposal(owner, None)),
            forbidden(Rule::AddImage)
        );
        assert_eq!(
            policy.authorize_create(&persona("admin"), &proposal(owner, None)),
            Ok(())
        );
    }
    assert_eq!(
        policy.authorize_create(&nobody, &proposal(Some("us"), Some(Visibility::Public))),
        forbidden(Rule::PublicizeImage)
    );
    assert_eq!(
        policy.authorize_create(&nobody, &proposal(Some("us"), Some(Visibility::Community))),
        Ok(())
    );
}

#[test]
fn owners_share_and_others_accept() {
    let policy = old("{}");
    let nobody = caller(&["_member_"]);
    let (own, theirs) = (image("own_shared"), image("shared_with_us"));
    assert_eq!(policy.authorize_add_member(&nobody, &own), Ok(()));
    assert_eq!(policy.authorize_delete_member(&nobody, &own), Ok(()));
    assert_eq!(
        policy.authorize_modify_member(&nobody, &own),
        forbidden(Rule::ModifyMember)
    );
    assert_eq!(
        policy.authorize_add_member(&nobody, &theirs),
        forbidden(Rule::AddMember)
    );
    assert_eq!(
        policy.authorize_delete_member(&nobody, &theirs),
        forbidden(Rule::DeleteMember)
    );
    assert_eq!(policy.authorize_modify_member(&nobody, &theirs), Ok(()));
    assert_eq!(policy.authorize_modify_member(&persona("admin"), &own), Ok(()));
}

#[test]
fn the_scope_of_tokens_is_enforced_all_the_same() {
    let policy = old("{}");
    let system = scoped(Scope::System, &["admin", "member", "reader"]);
    assert_eq!(
        policy.authorize(Rule::TasksApiAccess, &system),
        forbidden(Rule::TasksApiAccess)
    );
    assert!(policy.authorize_list(&system).is_err());
}

#[test]
fn a_rule_of_the_file_takes_the_place_of_both_defaults() {
    let policy = old("modify_image: role:editor\ndefault: role:insider\n");
    let own = image("own_private");
    assert_eq!(
        policy.authorize_modify(&persona("member"), &own),
        forbidden(Rule::ModifyImage)
    );
    assert_eq!(
        policy.authorize_modify(&caller(&["editor", "insider"]), &own),
        Ok(())
    );
    // The old defaults are what the file's `default` says.
    assert_eq!(policy.authorize_delete(&caller(&["insider"]), &own), Ok(()));
    assert!(policy.authorize_delete(&caller(&["other"]), &own).is_err());
}

#[test]
fn lists_of_rules_show_what_holds() {
    let policy = old("{}");
    let text = |rule: Rule| {
        let listed = policy.definitions();
        listed
            .iter()
            .find(|it| it.rule == Some(rule))
            .unwrap()
            .text
            .clone()
    };
    assert_eq!(
        text(Rule::DeleteImage),
        "(rule:context_is_admin or (role:member and project_id:%(project_id)s)) or rule:default"
    );
    assert_eq!(text(Rule::PublicizeImage), "rule:context_is_admin");
    assert_eq!(
        text(Rule::CacheList),
        "(rule:context_is_admin) or rule:manage_image_cache"
    );
    assert_eq!(
        Rule::ALL.iter().filter(|rule| rule.old_check().is_some()).count(),
        32
    );
}

#[test]
fn the_secure_defaults_leave_everything_to_the_rules() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.yaml");
    std::fs::write(&path, "modify_image: '@'\n").unwrap();
    let files = PolicyFiles {
        file: PolicyFile::Required(path),
        ..PolicyFiles::default()
    };
    let policy = Policy::load(&files).unwrap().0;
    assert_eq!(
        policy.authorize_modify(&caller(&[]), &image("their_public")),
        Ok(())
    );
}
