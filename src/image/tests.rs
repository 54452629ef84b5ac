mod imports;

use super::*;

fn image() -> Image {
    Image {
        disk_format: Some("raw".into()),
        container_format: Some("bare".into()),
        ..Image::new(ImageId::from_bytes([1; 16]), Timestamp::from_micros(5))
    }
}

const A: AttemptId = AttemptId::from_bytes([0xA; 16]);
const B: AttemptId = AttemptId::from_bytes([0xB; 16]);

fn claim(attempt: AttemptId) -> Claim {
    Claim {
        attempt,
        node: NodeId::from_bytes([7; 16]),
        expires_at: Timestamp::from_micros(100),
        phase: ClaimPhase::Open,
    }
}

fn content(attempt: AttemptId) -> Content {
    Content {
        attempt,
        size: 3,
        virtual_size: None,
        checksum: None,
        hash_algorithm: None,
        hash_value: None,
    }
}

fn commit(attempt: AttemptId) -> ChangeKind {
    let location = Location {
        store: None,
        url: "file:///x".into(),
        metadata: Default::default(),
    };
    ChangeKind::Commit {
        content: content(attempt),
        location,
    }
}

fn apply(current: &Entry, kind: ChangeKind) -> Result<Entry, Rejection> {
    Change {
        id: ImageId::from_bytes([1; 16]),
        at: Timestamp::from_micros(9),
        kind,
    }
    .apply(Some(current))
}

fn after(kinds: impl IntoIterator<Item = ChangeKind>) -> Entry {
    kinds
        .into_iter()
        .fold(Entry::Live(image()), |entry, kind| apply(&entry, kind).unwrap())
}

#[test]
fn the_status_table_has_the_twenty_five_legal_moves_and_no_other() {
    let moves = |from: Status| Status::ALL.into_iter().filter(|to| from.may_become(*to)).count();
    assert_eq!(Status::ALL.into_iter().map(moves).sum::<usize>(), 25);
    assert!(Status::ALL.into_iter().all(|status| !status.may_become(status)));
    assert!(Status::ALL.into_iter().all(|to| !Status::Deleted.may_become(to)));
}

#[test]
fn an_upload_goes_from_queued_over_saving_to_active() {
    let Entry::Live(image) = after([ChangeKind::Claim(claim(A)), commit(A)]) else {
        panic!()
    };
    assert_eq!(image.status, Status::Active);
    assert_eq!(image.size(), Some(3));
    assert_eq!(image.claim, None);
    assert_eq!(image.revision, Revision::from_number(3));
}

#[test]
fn a_second_claim_is_refused_while_the_first_holds() {
    let saving = after([ChangeKind::Claim(claim(A))]);
    let refused = Rejection::Status {
        from: Status::Saving,
        to: Status::Saving,
    };
    assert_eq!(apply(&saving, ChangeKind::Claim(claim(B))), Err(refused));
}

#[test]
fn a_claim_needs_both_formats() {
    let bare = Entry::Live(Image {
        disk_format: None,
        ..image()
    });
    assert_eq!(
        apply(&bare, ChangeKind::Claim(claim(A))),
        Err(Rejection::FormatMissing)
    );
}

#[test]
fn only_the_attempt_that_holds_the_image_commits() {
    let saving = after([ChangeKind::Claim(claim(A))]);
    assert_eq!(apply(&saving, commit(B)), Err(Rejection::NotHeld));
    assert_eq!(apply(&after([]), commit(A)), Err(Rejection::NotHeld));
}

#[test]
fn a_fenced_attempt_never_commits_and_its_release_makes_the_image_queued() {
    let fenced = after([ChangeKind::Claim(claim(A)), ChangeKind::Fence { attempt: A }]);
    assert_eq!(apply(&fenced, commit(A)), Err(Rejection::Fenced));
    let Entry::Live(released) = apply(&fenced, ChangeKind::Release { attempt: A }).unwrap() else {
        panic!()
    };
    assert_eq!((released.status, released.claim), (Status::Queued, None));
}

#[test]
fn an_open_attempt_is_not_released() {
    let saving = after([ChangeKind::Claim(claim(A))]);
    assert_eq!(
        apply(&saving, ChangeKind::Release { attempt: A }),
        Err(Rejection::NotFenced)
    );
}

#[test]
fn a_fence_finds_out_that_the_attempt_had_committed() {
    let active = after([ChangeKind::Claim(claim(A)), commit(A)]);
    assert_eq!(
        apply(&active, ChangeKind::Fence { attempt: A }),
        Err(Rejection::Committed)
    );
}

#[test]
fn an_update_during_an_upload_keeps_the_claim_and_the_upload_commits_into_it() {
    let saving = after([ChangeKind::Claim(claim(A))]);
    let Entry::Live(now) = &saving else { panic!() };
    let renamed = Image {
        name: Some("new".into()),
        status: Status::Queued,
        claim: None,
        ..now.clone()
    };
    let update = ChangeKind::Update {
        expected: now.revision,
        image: Box::new(renamed),
    };
    let Entry::Live(done) = apply(&apply(&saving, update).unwrap(), commit(A)).unwrap() else {
        panic!()
    };
    assert_eq!((done.name.as_deref(), done.status), (Some("new"), Status::Active));
}

#[test]
fn an_update_from_an_older_revision_is_refused() {
    let saving = after([ChangeKind::Claim(claim(A))]);
    let update = ChangeKind::Update {
        expected: Revision::FIRST,
        image: Box::new(image()),
    };
    assert_eq!(apply(&saving, update), Err(Rejection::Revision));
}

#[test]
fn a_touch_voids_what_was_computed_from_the_revision_before_and_changes_nothing_seen() {
    let touched = after([ChangeKind::Touch {
        expected: Revision::FIRST,
    }]);
    assert_eq!(touched.live().unwrap().updated_at, image().updated_at);
    assert_eq!(
        apply(
            &touched,
            ChangeKind::Delete {
                expected: Revision::FIRST
            }
        ),
        Err(Rejection::Revision)
    );
}

#[test]
fn a_deleted_id_is_never_used_again() {
    let gone = after([ChangeKind::Delete {
        expected: Revision::FIRST,
    }]);
    assert_eq!(
        apply(&gone, ChangeKind::Create(Box::new(image()))),
        Err(Rejection::Deleted)
    );
    assert_eq!(apply(&gone, commit(A)), Err(Rejection::Deleted));
    assert_eq!(
        apply(&after([]), ChangeKind::Create(Box::new(image()))),
        Err(Rejection::Exists)
    );
}

#[test]
fn a_protected_image_is_not_deleted() {
    let protected = Entry::Live(Image {
        protected: true,
        ..image()
    });
    assert_eq!(
        apply(
            &protected,
            ChangeKind::Delete {
                expected: Revision::FIRST
            }
        ),
        Err(Rejection::Protected)
    );
}

#[test]
fn an_image_id_has_one_spelling() {
    let id: ImageId = "3F9A1C2E-0B5D-4C43-9D0E-5A7F8B6C1D20".parse().unwrap();
    assert_eq!(id.to_string(), "3f9a1c2e-0b5d-4c43-9d0e-5a7f8b6c1d20");
    assert!("3f9a1c2e0b5d4c439d0e5a7f8b6c1d20".parse::<ImageId>().is_err());
    assert!("../../../../../../../etc/passwd-abcd".parse::<ImageId>().is_err());
}

#[test]
fn times_are_printed_in_whole_seconds() {
    assert_eq!(
        Timestamp::from_micros(1_795_248_816_999_999).to_string(),
        "2026-11-21T08:13:36Z"
    );
}

fn shared_with(members: &[&str]) -> Entry {
    members.iter().fold(Entry::Live(image()), |entry, project| {
        apply(
            &entry,
            member_change(&entry, project, MemberChange::Add { maximum: None }),
        )
        .unwrap()
    })
}

fn member_change(entry: &Entry, project: &str, change: MemberChange) -> ChangeKind {
    ChangeKind::Member {
        expected: entry.live().unwrap().revision,
        project: project.into(),
        change,
    }
}

#[test]
fn a_member_is_added_pending_answers_and_is_removed() {
    let added = shared_with(&["them"]);
    let member = added.live().unwrap().members["them"].clone();
    assert_eq!(member.status, MemberStatus::Pending);
    assert_eq!(member.created_at, Timestamp::from_micros(9));
    let answer = MemberChange::SetStatus(MemberStatus::Rejected);
    let answered = apply(&added, member_change(&added, "them", answer)).unwrap();
    assert_eq!(
        answered.live().unwrap().members["them"].status,
        MemberStatus::Rejected
    );
    let removed = apply(&answered, member_change(&answered, "them", MemberChange::Remove)).unwrap();
    assert!(removed.live().unwrap().members.is_empty());
}

#[test]
fn a_member_change_is_a_revision_and_leaves_the_images_own_time() {
    let before = image();
    let after = shared_with(&["them"]);
    let after = after.live().unwrap();
    assert_eq!(after.updated_at, before.updated_at);
    assert_eq!(after.revision, before.revision.next());
    let late = ChangeKind::Member {
        expected: before.revision,
        project: "others".into(),
        change: MemberChange::Add { maximum: None },
    };
    assert_eq!(apply(&Entry::Live(after.clone()), late), Err(Rejection::Revision));
}

#[test]
fn a_member_is_added_once_and_only_while_there_is_room() {
    let one = shared_with(&["them"]);
    let add = |project, maximum| {
        let change = MemberChange::Add { maximum };
        apply(&one, member_change(&one, project, change))
    };
    assert_eq!(add("them", None), Err(Rejection::MemberExists));
    let full = Rejection::TooManyMembers {
        attempted: 2,
        maximum: 1,
    };
    assert_eq!(add("others", Some(1)), Err(full));
    assert!(add("others", Some(2)).is_ok());
}

#[test]
fn who_is_no_member_neither_answers_nor_is_removed() {
    let entry = shared_with(&["them"]);
    for change in [
        MemberChange::SetStatus(MemberStatus::Accepted),
        MemberChange::Remove,
    ] {
        assert_eq!(
            apply(&entry, member_change(&entry, "others", change)),
            Err(Rejection::NoMember)
        );
    }
}

#[test]
fn members_of_an_image_that_is_not_shared_are_left_alone() {
    for visibility in [Visibility::Private, Visibility::Public, Visibility::Community] {
        let entry = shared_with(&["them"]);
        let entry = Entry::Live(Image {
            visibility,
            ..entry.live().unwrap().clone()
        });
        for change in [
            MemberChange::Add { maximum: None },
            MemberChange::SetStatus(MemberStatus::Accepted),
            MemberChange::Remove,
        ] {
            assert_eq!(
                apply(&entry, member_change(&entry, "them", change)),
                Err(Rejection::NotShared)
            );
        }
    }
}

#[test]
fn an_update_leaves_the_members() {
    let entry = shared_with(&["them"]);
    let now = entry.live().unwrap();
    let update = ChangeKind::Update {
        expected: now.revision,
        image: Box::new(image()),
    };
    let updated = apply(&entry, update).unwrap();
    assert_eq!(updated.live().unwrap().members, now.members);
}

#[test]
fn a_member_is_known_to_itself_the_owner_and_administrators() {
    let image = Image {
        owner: Some("us".into()),
        ..image()
    };
    let project = |name: &str| Viewer::Project(name.into());
    assert!(project("us").sees_member(&image, "them"));
    assert!(project("them").sees_member(&image, "them"));
    assert!(Viewer::Admin(None).sees_member(&image, "them"));
    assert!(!project("others").sees_member(&image, "them"));
    let ownerless = Image { owner: None, ..image };
    assert!(!project("us").sees_member(&ownerless, "them"));
}

#[test]
fn deactivation_and_reactivation_change_the_status_and_nothing_else() {
    let active = after([ChangeKind::Claim(claim(A)), commit(A)]);
    let now = active.live().unwrap();
    let deactivate = ChangeKind::Deactivate {
        expected: now.revision,
    };
    let deactivated = apply(&active, deactivate).unwrap();
    let was = deactivated.live().unwrap();
    let expected = Image {
        status: Status::Deactivated,
        revision: now.revision.next(),
        ..now.clone()
    };
    assert_eq!(*was, expected);
    let reactivate = ChangeKind::Reactivate {
        expected: was.revision,
    };
    let again = apply(&deactivated, reactivate).unwrap();
    assert_eq!(again.live().unwrap().status, Status::Active);
}

#[test]
fn only_active_images_are_deactivated_and_only_deactivated_ones_reactivated() {
    for from in Status::ALL {
        let entry = Entry::Live(Image {
            status: from,
            ..image()
        });
        let expected = Revision::FIRST;
        let refused = |to| Err(Rejection::Status { from, to });
        let deactivated = apply(&entry, ChangeKind::Deactivate { expected });
        if from == Status::Active {
            assert!(deactivated.is_ok());
        } else {
            assert_eq!(deactivated, refused(Status::Deactivated));
        }
        let reactivated = apply(&entry, ChangeKind::Reactivate { expected });
        if from == Status::Deactivated {
            assert!(reactivated.is_ok());
        } else {
            assert_eq!(reactivated, refused(Status::Active));
        }
    }
}

#[test]
fn a_deactivation_computed_from_an_older_revision_is_refused() {
    let active = after([ChangeKind::Claim(claim(A)), commit(A)]);
    let expected = Revision::FIRST;
    assert_eq!(
        apply(&active, ChangeKind::Deactivate { expected }),
        Err(Rejection::Revision)
    );
}

mod visibility {
    use super::*;

    fn seen(owner: &str, visibility: Visibility, member: Option<MemberStatus>) -> Image {
        let at = Timestamp::from_micros(0);
        let members = member
            .map(|status| {
                (
                    "me".to_owned(),
                    Member {
                        status,
                        created_at: at,
                        updated_at: at,
                    },
                )
            })
            .into_iter()
            .collect();
        Image {
            owner: Some(owner.into()),
            visibility,
            members,
            ..image()
        }
    }

    fn listed(image: &Image, visibility: Option<VisibilityFilter>) -> bool {
        let viewer = Viewer::Project("me".into());
        Listing {
            viewer,
            visibility,
            member_status: Some(MemberStatus::Accepted),
        }
        .holds(image)
    }

    #[test]
    fn a_member_reaches_a_shared_image_by_id_whatever_it_made_of_the_offer() {
        let me = Viewer::Project("me".into());
        assert!(me.sees(&seen("them", Visibility::Shared, Some(MemberStatus::Rejected))));
        assert!(!me.sees(&seen("them", Visibility::Shared, None)));
        assert!(!me.sees(&seen("them", Visibility::Private, Some(MemberStatus::Accepted))));
        assert!(me.sees(&seen("them", Visibility::Community, None)));
    }

    #[test]
    fn the_default_list_has_own_public_and_accepted_images() {
        assert!(listed(&seen("me", Visibility::Private, None), None));
        assert!(listed(&seen("them", Visibility::Public, None), None));
        assert!(listed(
            &seen("them", Visibility::Shared, Some(MemberStatus::Accepted)),
            None
        ));
        assert!(!listed(
            &seen("them", Visibility::Shared, Some(MemberStatus::Pending)),
            None
        ));
        assert!(!listed(&seen("them", Visibility::Community, None), None));
        assert!(listed(&seen("me", Visibility::Community, None), None));
    }

    #[test]
    fn community_images_of_others_are_listed_when_asked_for() {
        let community = seen("them", Visibility::Community, None);
        assert!(listed(&community, Some(VisibilityFilter::All)));
        assert!(listed(
            &community,
            Some(VisibilityFilter::Only(Visibility::Community))
        ));
        assert!(!listed(
            &community,
            Some(VisibilityFilter::Only(Visibility::Public))
        ));
    }

    #[test]
    fn an_administrator_lists_everything_but_the_community_images_of_others() {
        let listing = Listing {
            viewer: Viewer::Admin(Some("me".into())),
            visibility: None,
            member_status: None,
        };
        assert!(listing.holds(&seen("them", Visibility::Private, None)));
        assert!(!listing.holds(&seen("them", Visibility::Community, None)));
        assert!(listing.holds(&seen("me", Visibility::Community, None)));
    }
}

fn at_url(url: &str) -> Location {
    Location {
        store: Some(StoreId::new("s")),
        url: url.into(),
        metadata: Default::default(),
    }
}

fn own() -> Location {
    at_url(&format!(
        "s3://key:secret@host/bucket/{}",
        ImageId::from_bytes([1; 16])
    ))
}

/// The change that gives the image these locations.
fn relocation(entry: &Entry, locations: &[Location], removal: u8) -> ChangeKind {
    let image = entry.live().unwrap();
    ChangeKind::Relocate {
        expected: image.revision,
        image: Box::new(Image {
            locations: locations.to_vec(),
            name: Some("renamed".into()),
            ..image.clone()
        }),
        content: Some(content(B)),
        removal: RemovalId::from_bytes([removal; 16]),
    }
}

fn deferred(entry: &Entry) -> Entry {
    let expected = entry.live().unwrap().revision;
    apply(entry, ChangeKind::Defer { expected }).unwrap()
}

fn pending_revision(entry: &Entry) -> Revision {
    match entry {
        Entry::Deleted(tombstone) if tombstone.is_pending() => tombstone.image.revision,
        other => panic!("{other:?}"),
    }
}

#[test]
fn data_is_an_images_own_by_its_name() {
    let id = ImageId::from_bytes([1; 16]);
    let upper = format!("rbd://fsid/pool/{}/snap", id.to_string().to_uppercase());
    assert!(own().is_own_of(id));
    assert!(at_url(&upper).is_own_of(id));
    for url in [
        format!("s3://{id}/bucket/other"),
        format!("s3://host/bucket/{id}-00001"),
        format!("s3://host/bucket/{}", ImageId::from_bytes([2; 16])),
        id.to_string(),
    ] {
        assert!(!at_url(&url).is_own_of(id), "{url}");
    }
}

#[test]
fn a_location_is_shown_to_no_log() {
    let shown = format!("{:?}", own());
    assert!(shown.contains("s3://…") && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_location_makes_a_queued_image_active_and_needs_both_formats() {
    let entry = after([]);
    let located = apply(&entry, relocation(&entry, &[own()], 1)).unwrap();
    let image = located.live().unwrap();
    assert_eq!((image.status, image.size()), (Status::Active, Some(3)));
    assert_eq!(image.name.as_deref(), Some("renamed"));
    let bare = Entry::Live(Image {
        container_format: None,
        ..entry.live().unwrap().clone()
    });
    assert_eq!(
        apply(&bare, relocation(&bare, &[own()], 1)),
        Err(Rejection::FormatMissing)
    );
}

#[test]
fn own_data_that_is_removed_is_retired_until_it_is_erased_and_not_taken_back() {
    let foreign = [at_url("http://web/a"), at_url("http://web/b")];
    let [a, b] = &foreign;
    let entry = after([]);
    let entry = apply(&entry, relocation(&entry, &[own(), a.clone(), b.clone()], 1)).unwrap();
    let removed = apply(&entry, relocation(&entry, std::slice::from_ref(b), 2)).unwrap();
    let retired = &removed.live().unwrap().retired;
    let urls: Vec<_> = retired.iter().map(|retired| &retired.location.url).collect();
    assert_eq!(urls, [&own().url]);
    let back = relocation(&removed, &[own(), b.clone()], 3);
    assert_eq!(apply(&removed, back), Err(Rejection::Retired));
    assert_eq!(
        apply(&removed, relocation(&removed, &[], 3)),
        Err(Rejection::LastLocation)
    );
    let erase = |removal| ChangeKind::Erase {
        removal: RemovalId::from_bytes([removal; 16]),
    };
    assert_eq!(apply(&removed, erase(1)), Err(Rejection::NotRetired));
    let erased = apply(&removed, erase(2)).unwrap();
    assert!(erased.live().unwrap().retired.is_empty());
    assert!(apply(&erased, relocation(&erased, &[own(), b.clone()], 3)).is_ok());
}

#[test]
fn an_upload_learns_that_its_data_is_kept_while_its_image_waits_to_be_deleted() {
    let waiting = deferred(&after([ChangeKind::Claim(claim(A)), commit(A)]));
    assert_eq!(
        apply(&waiting, ChangeKind::Fence { attempt: A }),
        Err(Rejection::Committed)
    );
    assert_eq!(
        apply(&waiting, ChangeKind::Fence { attempt: B }),
        Err(Rejection::NotHeld)
    );
    assert_eq!(apply(&waiting, commit(A)), Err(Rejection::Committed));
}

#[test]
fn of_restoring_and_deleting_for_good_one_wins() {
    let waiting = deferred(&after([ChangeKind::Claim(claim(A)), commit(A)]));
    let expected = pending_revision(&waiting);
    let restored = apply(&waiting, ChangeKind::Restore { expected }).unwrap();
    assert_eq!(restored.live().unwrap().status, Status::Active);
    assert_eq!(
        apply(&restored, ChangeKind::Delete { expected }),
        Err(Rejection::Revision)
    );
    let gone = apply(&waiting, ChangeKind::Delete { expected }).unwrap();
    assert_eq!(
        apply(&gone, ChangeKind::Restore { expected }),
        Err(Rejection::Deleted)
    );
    let touched = apply(&waiting, ChangeKind::Touch { expected }).unwrap();
    assert_eq!(
        apply(&touched, ChangeKind::Restore { expected }),
        Err(Rejection::Revision)
    );
    assert_eq!(
        apply(&waiting, ChangeKind::Claim(claim(B))),
        Err(Rejection::Pending)
    );
}

#[test]
fn hashes_come_once_and_to_the_content_that_was_hashed() {
    let active = after([ChangeKind::Claim(claim(A)), commit(A)]);
    let hashed = |attempt| ChangeKind::Describe {
        content: Content {
            hash_value: Some("h".into()),
            ..content(attempt)
        },
    };
    assert_eq!(apply(&active, hashed(B)), Err(Rejection::OtherContent));
    let described = apply(&active, hashed(A)).unwrap();
    let found = described.live().unwrap().content.as_ref().unwrap();
    assert_eq!(found.hash_value.as_deref(), Some("h"));
    assert_eq!(apply(&described, hashed(A)), Err(Rejection::OtherContent));
}

fn readdress(entry: &Entry, urls: &[&str], retired: &[&str]) -> ChangeKind {
    let location = |url: &&str| Location {
        store: Some(StoreId::new("new")),
        url: (*url).to_owned(),
        metadata: Default::default(),
    };
    ChangeKind::Readdress {
        expected: entry.live().unwrap().revision,
        locations: urls.iter().map(location).collect(),
        retired: retired.iter().map(location).collect(),
    }
}

#[test]
fn locations_in_other_words_change_nothing_else_and_retire_nothing() {
    let active = after([ChangeKind::Claim(claim(A)), commit(A)]);
    let before = active.live().unwrap().clone();
    let changed = apply(&active, readdress(&active, &["file:///y"], &[])).unwrap();
    let after = changed.live().unwrap();
    assert_eq!(after.locations[0].url, "file:///y");
    assert_eq!(
        *after,
        Image {
            locations: after.locations.clone(),
            revision: before.revision.next(),
            ..before
        }
    );
    assert_eq!(
        apply(&changed, readdress(&active, &["file:///z"], &[])),
        Err(Rejection::Revision)
    );
    assert_eq!(
        apply(&changed, readdress(&changed, &[], &[])),
        Err(Rejection::LastLocation)
    );
}

#[test]
fn retired_locations_keep_their_removal_in_other_words() {
    let active = after([ChangeKind::Claim(claim(A)), commit(A)]);
    let removal = RemovalId::from_bytes([3; 16]);
    let mut image = active.live().unwrap().clone();
    image.retired = vec![Retired {
        removal,
        location: image.locations[0].clone(),
    }];
    let entry = Entry::Live(image);
    let changed = apply(&entry, readdress(&entry, &["file:///y"], &["file:///w"])).unwrap();
    let retired = &changed.live().unwrap().retired;
    assert_eq!(
        (
            retired.len(),
            retired[0].removal,
            retired[0].location.url.as_str()
        ),
        (1, removal, "file:///w")
    );
}

#[test]
fn keys_of_s3_and_swift_are_never_shown() {
    let shown = |url: &str| {
        let location = Location {
            store: None,
            url: url.to_owned(),
            metadata: Default::default(),
        };
        location.shown_url().into_owned()
    };
    for (url, expected) in [
        ("s3://AK:S/K+=@h:80/b/id", "s3://h:80/b/id"),
        ("s3+https://AK:S@K/@h/b/id", "s3+https://h/b/id"),
        ("s3+http://h/b/id", "s3+http://h/b/id"),
        ("S3://AK:S@h/b/id", "S3://h/b/id"),
        ("swift://p:u:k@h/v3/c/id", "swift://h/v3/c/id"),
        ("swift+https://p%3Au:k/@+@h/v3/c/id", "swift+https://h/v3/c/id"),
        ("swift+http://p:u:k@h:5000/c/id", "swift+http://h:5000/c/id"),
        ("swift+config://ref1/c/id", "swift+config://ref1/c/id"),
        ("http://u:p@h/x", "http://u:p@h/x"),
        ("file:///a@b", "file:///a@b"),
    ] {
        assert_eq!(shown(url), expected);
    }
}
