//! Rules 1 to 5: what a commit does, and what it leaves when it does not.

use futures_util::future::join_all;

use super::{
    super::{Metadata, MetadataErrorKind},
    Subject,
    fixtures::*,
};
use crate::image::{
    Allowance, Change, ChangeKind, Entry, Excess, Image, MemberChange, MemberStatus, Rejection, Resource,
    Revision, Status, Visibility,
};

pub(super) async fn a_committed_change_is_there_at_once_through_every_handle(subject: &Subject) {
    let (one, other) = ((subject.handle)(), (subject.handle)());
    let created = one.commit(creation(image(1))).await.unwrap();
    assert_eq!(other.entry(id(1)).await.unwrap(), Some(created));
    let claimed = other
        .commit(change(1, ChangeKind::Claim(claim(7))))
        .await
        .unwrap();
    assert_eq!(one.entry(id(1)).await.unwrap(), Some(claimed));
    assert_eq!(one.claims().await.unwrap(), [(id(1), claim(7))]);
    assert_eq!(numbers(&*one, mine()).await, [1]);
}

pub(super) async fn a_rejected_change_changes_nothing(subject: &Subject) {
    let store = &*subject.store;
    fill(store, [image(1)]).await;
    let (before, list) = (
        store.entry(id(1)).await.unwrap(),
        store.list(all()).await.unwrap(),
    );
    let renamed = Image {
        name: Some("else".into()),
        ..image(1)
    };
    for refused in [
        creation(renamed.clone()),
        update(renamed, 9),
        deletion(1, 9),
        change(1, ChangeKind::Fence { attempt: attempt(1) }),
        change(2, ChangeKind::Claim(claim(1))),
    ] {
        rejection(store.commit(refused).await);
    }
    assert_eq!(store.entry(id(1)).await.unwrap(), before);
    assert_eq!(store.entry(id(2)).await.unwrap(), None);
    assert_eq!(store.list(all()).await.unwrap(), list);
    assert_eq!(store.claims().await.unwrap(), []);
}

pub(super) async fn of_many_claims_at_once_exactly_one_wins(subject: &Subject) {
    fill(&*subject.store, [image(1)]).await;
    let claims = (0..100).map(|number| {
        let handle = (subject.handle)();
        tokio::spawn(async move {
            let claimed = handle.commit(change(1, ChangeKind::Claim(claim(number)))).await;
            claimed.is_ok().then_some(claim(number))
        })
    });
    let won: Vec<_> = join_all(claims)
        .await
        .into_iter()
        .filter_map(Result::unwrap)
        .collect();
    assert_eq!(won.len(), 1);
    assert_eq!(live(&*subject.store, 1).await.claim, Some(won[0]));
    assert_eq!(subject.store.claims().await.unwrap(), [(id(1), won[0])]);
}

pub(super) async fn of_many_creations_at_once_exactly_one_wins(subject: &Subject) {
    let creations = (0..50).map(|number| {
        let handle = (subject.handle)();
        let named = Image {
            name: Some(number.to_string()),
            ..image(1)
        };
        tokio::spawn(async move { handle.commit(creation(named)).await })
    });
    let results = join_all(creations).await.into_iter().map(Result::unwrap);
    let won: Vec<Entry> = results.filter_map(Result::ok).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(subject.store.entry(id(1)).await.unwrap().as_ref(), won.first());
    assert_eq!(numbers(&*subject.store, all()).await, [1]);
}

pub(super) async fn updates_through_two_handles_lose_nothing(subject: &Subject) {
    fill(&*subject.store, [image(1)]).await;
    let writers = ["a", "b"].map(|writer| {
        let handle = (subject.handle)();
        tokio::spawn(async move {
            for number in 0..20 {
                loop {
                    let mut next = live(&*handle, 1).await;
                    next.tags.insert(format!("{writer}{number}"));
                    let revision = next.revision.number();
                    match handle.commit(update(next, revision)).await {
                        Ok(_) => break,
                        refused => assert_eq!(rejection(refused), Rejection::Revision),
                    }
                }
            }
        })
    });
    for done in join_all(writers).await {
        done.unwrap();
    }
    let image = live(&*subject.store, 1).await;
    assert_eq!(image.tags.len(), 40);
    assert_eq!(image.revision, Revision::from_number(41));
}

pub(super) async fn a_handle_that_dies_stops_neither_its_commits_nor_others(subject: &Subject) {
    let (dying, living) = ((subject.handle)(), (subject.handle)());
    let commits: Vec<_> = (0..50)
        .map(|number| {
            let (dying, living) = (dying.clone(), living.clone());
            tokio::spawn(async move {
                if number % 2 == 0 {
                    let _ = tokio::time::timeout(
                        std::time::Duration::from_micros(u64::from(number) * 20),
                        dying.commit(creation(image(number))),
                    )
                    .await;
                    false
                } else {
                    living.commit(creation(image(number))).await.is_ok()
                }
            })
        })
        .collect();
    drop(dying);
    let acknowledged = join_all(commits)
        .await
        .into_iter()
        .filter(|done| *done.as_ref().unwrap());
    assert_eq!(acknowledged.count(), 25);
    drop(living);
    let listed = numbers(&*subject.store, all()).await;
    assert!(
        (0..50)
            .filter(|number| number % 2 == 1)
            .all(|number| listed.contains(&number))
    );
    // Whatever the dying handle left behind is whole: listed if and only if it is there.
    for number in (0..50).step_by(2) {
        let there = subject.store.entry(id(number)).await.unwrap().is_some();
        let listed = numbers(&*subject.store, all()).await.contains(&number);
        assert!(listed || !there);
    }
}

pub(super) async fn a_commit_whose_future_was_dropped_happens_or_not_but_whole(subject: &Subject) {
    fill(&*subject.store, [image(1)]).await;
    {
        let commit = subject.store.commit(change(1, ChangeKind::Claim(claim(3))));
        let mut commit = std::pin::pin!(commit);
        // Polled once: the change is on its way.
        tokio::select! {
            biased;
            _ = commit.as_mut() => {}
            () = std::future::ready(()) => {}
        }
    }
    // A later change that excludes it makes the question go away.
    let touched = subject
        .store
        .commit(change(
            1,
            ChangeKind::Touch {
                expected: Revision::from_number(2),
            },
        ))
        .await;
    assert!(
        touched.is_ok(),
        "the change that was polled came before the later one"
    );
    assert_eq!(live(&*subject.store, 1).await.status, Status::Saving);
    assert_eq!(subject.store.claims().await.unwrap(), [(id(1), claim(3))]);
}

pub(super) async fn a_stale_revision_is_refused(subject: &Subject) {
    let store = &*subject.store;
    fill(store, [image(1)]).await;
    store.commit(update(image(1), 1)).await.unwrap();
    let touch = |revision| {
        let expected = Revision::from_number(revision);
        change(1, ChangeKind::Touch { expected })
    };
    assert_eq!(rejection(store.commit(touch(1)).await), Rejection::Revision);
    assert_eq!(
        rejection(store.commit(update(image(1), 1)).await),
        Rejection::Revision
    );
    assert_eq!(rejection(store.commit(deletion(1, 1)).await), Rejection::Revision);
    store.commit(touch(2)).await.unwrap();
    assert_eq!(rejection(store.commit(deletion(1, 2)).await), Rejection::Revision);
    store.commit(deletion(1, 3)).await.unwrap();
}

pub(super) async fn a_renewal_is_no_new_revision(subject: &Subject) {
    let store = &*subject.store;
    fill(store, [image(1)]).await;
    store
        .commit(change(1, ChangeKind::Claim(claim(2))))
        .await
        .unwrap();
    let before = live(store, 1).await;
    let renewal = ChangeKind::Renew {
        attempt: attempt(2),
        expires_at: at(5000),
    };
    store.commit(change(1, renewal)).await.unwrap();
    let after = live(store, 1).await;
    assert_eq!(
        (after.revision, after.updated_at),
        (before.revision, before.updated_at)
    );
    assert_eq!(store.claims().await.unwrap()[0].1.expires_at, at(5000));
}

pub(super) async fn a_fenced_attempt_never_commits(subject: &Subject) {
    let store = &*subject.store;
    fill(store, [image(1)]).await;
    let commit = |number| {
        let kind = ChangeKind::Commit {
            content: content(number, 5),
            location: location(),
        };
        change(1, kind)
    };
    let fence = change(1, ChangeKind::Fence { attempt: attempt(1) });
    let release = change(1, ChangeKind::Release { attempt: attempt(1) });
    store
        .commit(change(1, ChangeKind::Claim(claim(1))))
        .await
        .unwrap();
    assert_eq!(
        rejection(store.commit(release.clone()).await),
        Rejection::NotFenced
    );
    store.commit(fence).await.unwrap();
    assert_eq!(rejection(store.commit(commit(1)).await), Rejection::Fenced);
    store.commit(release).await.unwrap();
    assert_eq!(rejection(store.commit(commit(1)).await), Rejection::NotHeld);
    store
        .commit(change(1, ChangeKind::Claim(claim(2))))
        .await
        .unwrap();
    store.commit(commit(2)).await.unwrap();
    assert_eq!(rejection(store.commit(commit(2)).await), Rejection::Committed);
    let image = live(store, 1).await;
    assert_eq!(
        (image.status, image.content),
        (Status::Active, Some(content(2, 5)))
    );
    assert_eq!(image.locations, [location()]);
}

pub(super) async fn a_deleted_id_is_never_used_again(subject: &Subject) {
    let store = &*subject.store;
    fill(store, [image(1)]).await;
    let deleted = store.commit(deletion(1, 1)).await.unwrap();
    assert_eq!(
        rejection(store.commit(creation(image(1))).await),
        Rejection::Deleted
    );
    assert_eq!(rejection(store.commit(deletion(1, 2)).await), Rejection::Deleted);
    let Some(Entry::Deleted(tombstone)) = store.entry(id(1)).await.unwrap() else {
        panic!("no tombstone")
    };
    assert_eq!(tombstone.image.status, Status::Deleted);
    assert_eq!(tombstone.image.name, image(1).name);
    assert_eq!(Entry::Deleted(tombstone), deleted);
    assert_eq!(numbers(store, all()).await, [0; 0]);
}

pub(super) async fn a_protected_image_is_not_deleted(subject: &Subject) {
    let store = &*subject.store;
    let protected = Image {
        protected: true,
        ..image(1)
    };
    fill(store, [protected]).await;
    assert_eq!(
        rejection(store.commit(deletion(1, 1)).await),
        Rejection::Protected
    );
    store.commit(update(image(1), 1)).await.unwrap();
    store.commit(deletion(1, 2)).await.unwrap();
}

pub(super) async fn claims_are_those_of_transient_images_whatever_the_node(subject: &Subject) {
    let store = &*subject.store;
    fill(store, (1..=5).map(image)).await;
    for number in 1..=4 {
        store
            .commit(change(number, ChangeKind::Claim(claim(number))))
            .await
            .unwrap();
    }
    let commit = ChangeKind::Commit {
        content: content(1, 5),
        location: location(),
    };
    store.commit(change(1, commit)).await.unwrap();
    store
        .commit(change(2, ChangeKind::Fence { attempt: attempt(2) }))
        .await
        .unwrap();
    store.commit(deletion(3, 2)).await.unwrap();
    let mut claims = store.claims().await.unwrap();
    claims.sort_by_key(|(id, _)| *id);
    let fenced = crate::image::Claim {
        phase: crate::image::ClaimPhase::Fenced,
        ..claim(2)
    };
    assert_eq!(claims, [(id(2), fenced), (id(4), claim(4))]);
}

pub(super) async fn an_unknown_id_has_no_entry(subject: &Subject) {
    assert_eq!(subject.store.entry(id(1)).await.unwrap(), None);
    assert_eq!(
        rejection(subject.store.commit(deletion(1, 1)).await),
        Rejection::NotFound
    );
    assert_eq!(subject.store.entry(id(1)).await.unwrap(), None);
}

pub(super) async fn members_come_answer_and_go_one_by_one(subject: &Subject) {
    let store = &*subject.store;
    fill(store, [image(1)]).await;
    let before = live(store, 1).await;
    let add = MemberChange::Add { maximum: None };
    for (revision, project) in (1..).zip(["you", "them"]) {
        store
            .commit(member_change(1, revision, project, add))
            .await
            .unwrap();
    }
    let answer = MemberChange::SetStatus(MemberStatus::Accepted);
    store.commit(member_change(1, 3, "them", answer)).await.unwrap();
    store
        .commit(member_change(1, 4, "you", MemberChange::Remove))
        .await
        .unwrap();
    let after = live(store, 1).await;
    let members: Vec<_> = after
        .members
        .iter()
        .map(|(project, member)| (project.as_str(), member.status))
        .collect();
    assert_eq!(members, [("them", MemberStatus::Accepted)]);
    assert_eq!(after.updated_at, before.updated_at);
    for (project, change, expected) in [
        ("them", add, Rejection::MemberExists),
        ("you", answer, Rejection::NoMember),
        ("you", MemberChange::Remove, Rejection::NoMember),
    ] {
        assert_eq!(
            rejection(store.commit(member_change(1, 5, project, change)).await),
            expected
        );
    }
    assert_eq!(live(store, 1).await, after);
}

pub(super) async fn of_many_members_at_once_no_more_are_added_than_there_may_be(subject: &Subject) {
    fill(&*subject.store, [image(1)]).await;
    let additions = (0..20).map(|number| {
        let handle = (subject.handle)();
        tokio::spawn(async move {
            let add = MemberChange::Add { maximum: Some(5) };
            loop {
                let revision = live(&*handle, 1).await.revision.number();
                let added = handle
                    .commit(member_change(1, revision, &format!("p{number}"), add))
                    .await;
                match added {
                    Ok(_) => return true,
                    refused => match rejection(refused) {
                        Rejection::Revision => {}
                        Rejection::TooManyMembers {
                            attempted: 6,
                            maximum: 5,
                        } => return false,
                        other => panic!("{other}"),
                    },
                }
            }
        })
    });
    let added = join_all(additions)
        .await
        .into_iter()
        .filter(|added| *added.as_ref().unwrap());
    assert_eq!(added.count(), 5);
    assert_eq!(live(&*subject.store, 1).await.members.len(), 5);
}

pub(super) async fn only_active_images_are_deactivated_and_only_those_reactivated(subject: &Subject) {
    let store = &*subject.store;
    let active = Image {
        status: Status::Active,
        content: Some(content(1, 5)),
        ..image(1)
    };
    fill(store, [active, image(2)]).await;
    let deactivate = |number, revision| {
        let expected = Revision::from_number(revision);
        change(number, ChangeKind::Deactivate { expected })
    };
    let reactivate = |number, revision| {
        let expected = Revision::from_number(revision);
        change(number, ChangeKind::Reactivate { expected })
    };
    store.commit(deactivate(1, 1)).await.unwrap();
    assert_eq!(live(store, 1).await.status, Status::Deactivated);
    for (refused, from, to) in [
        (deactivate(1, 2), Status::Deactivated, Status::Deactivated),
        (deactivate(2, 1), Status::Queued, Status::Deactivated),
        (reactivate(2, 1), Status::Queued, Status::Active),
    ] {
        assert_eq!(
            rejection(store.commit(refused).await),
            Rejection::Status { from, to }
        );
    }
    store.commit(reactivate(1, 2)).await.unwrap();
    let image = live(store, 1).await;
    assert_eq!(
        (image.status, image.content),
        (Status::Active, Some(content(1, 5)))
    );
}

/// Deletes the image at this instant so that it can be restored.
fn deferral(number: u8, revision: u64, deleted_at: u64) -> Change {
    Change {
        at: at(deleted_at),
        ..change(
            number,
            ChangeKind::Defer {
                expected: Revision::from_number(revision),
            },
        )
    }
}

async fn pending(store: &dyn Metadata, until: u64, after: Option<(u64, u8)>, limit: usize) -> Vec<(u64, u8)> {
    let after = after.map(|(deleted_at, number)| (at(deleted_at), id(number)));
    let found = store.pending(at(until), after, limit).await.unwrap();
    found
        .iter()
        .map(|tombstone| (tombstone.deleted_at.as_micros(), tombstone.image.id.as_bytes()[0]))
        .collect()
}

fn active(number: u8) -> Image {
    Image {
        status: Status::Active,
        content: Some(content(number, 5)),
        locations: vec![location()],
        ..image(number)
    }
}

pub(super) async fn a_deleted_image_that_can_be_restored_is_in_no_list_but_that_of_those(subject: &Subject) {
    let store = &*subject.store;
    fill(store, [active(1), image(2)]).await;
    let (from, to) = (Status::Queued, Status::PendingDelete);
    assert_eq!(
        rejection(store.commit(deferral(2, 1, 100)).await),
        Rejection::Status { from, to }
    );
    store.commit(deferral(1, 1, 100)).await.unwrap();
    assert_eq!(numbers(store, all()).await, [2]);
    assert_eq!(pending(store, 100, None, 9).await, [(100, 1)]);
    let restore = |revision| {
        let expected = Revision::from_number(revision);
        change(1, ChangeKind::Restore { expected })
    };
    assert_eq!(rejection(store.commit(restore(1)).await), Rejection::Revision);
    assert_eq!(
        rejection(store.commit(update(image(1), 2)).await),
        Rejection::Pending
    );
    store.commit(restore(2)).await.unwrap();
    let restored = live(store, 1).await;
    assert_eq!(
        (restored.status, restored.locations, restored.content),
        (Status::Active, active(1).locations, active(1).content)
    );
    assert_eq!(numbers(store, all()).await.len(), 2);
    assert_eq!(pending(store, 100, None, 9).await, []);
    assert_eq!(rejection(store.commit(restore(3)).await), Rejection::NotPending);
    store.commit(deferral(1, 3, 200)).await.unwrap();
    store.commit(deletion(1, 4)).await.unwrap();
    assert_eq!(pending(store, u64::MAX, None, 9).await, []);
    assert_eq!(rejection(store.commit(restore(5)).await), Rejection::Deleted);
}

pub(super) async fn those_that_wait_to_be_deleted_come_in_pages_by_the_time_of_their_deletion(
    subject: &Subject,
) {
    let store = &*subject.store;
    fill(store, (1..6).map(active)).await;
    for (number, deleted_at) in [(1, 400), (2, 300), (3, 300), (4, 500)] {
        store.commit(deferral(number, 1, deleted_at)).await.unwrap();
    }
    let all = [(300, 2), (300, 3), (400, 1), (500, 4)];
    assert_eq!(pending(store, u64::MAX, None, 9).await, all);
    assert_eq!(pending(store, 400, None, 9).await, all[..3]);
    assert_eq!(pending(store, 299, None, 9).await, []);
    assert_eq!(pending(store, u64::MAX, None, 2).await, all[..2]);
    assert_eq!(pending(store, u64::MAX, Some((300, 3)), 2).await, all[2..]);
    // Where the last page ended need not be there any more.
    assert_eq!(pending(store, u64::MAX, Some((350, 9)), 9).await, all[2..]);
    assert_eq!(pending(store, u64::MAX, Some((500, 4)), 9).await, []);
}

pub(super) async fn what_a_projects_images_take_up_follows_from_them(subject: &Subject) {
    let store = &*subject.store;
    let usage = async |project: &str| {
        let usage = (subject.handle)().usage(project).await.unwrap();
        [usage.images, usage.uploading, usage.stored, usage.staged]
    };
    assert_eq!(usage("me").await, [0; 4]);
    fill(store, [image(1), image(2), theirs(3, Visibility::Private)]).await;
    assert_eq!(
        (usage("me").await, usage("them").await),
        ([2, 0, 0, 0], [1, 0, 0, 0])
    );
    store
        .commit(change(1, ChangeKind::Claim(claim(7))))
        .await
        .unwrap();
    assert_eq!(usage("me").await, [2, 1, 0, 0]);
    let commit = ChangeKind::Commit {
        content: content(7, 100),
        location: location(),
    };
    store.commit(change(1, commit)).await.unwrap();
    assert_eq!(usage("me").await, [2, 0, 100, 0]);
    let current = live(store, 1).await;
    let given_away = Image {
        owner: Some("them".into()),
        ..current.clone()
    };
    store
        .commit(update(given_away, current.revision.number()))
        .await
        .unwrap();
    assert_eq!(
        (usage("me").await, usage("them").await),
        ([1, 0, 0, 0], [2, 0, 100, 0])
    );
    let revision = live(store, 1).await.revision.number();
    store.commit(deletion(1, revision)).await.unwrap();
    assert_eq!(
        (usage("me").await, usage("them").await),
        ([1, 0, 0, 0], [1, 0, 0, 0])
    );
}

pub(super) async fn of_many_commits_at_once_no_more_is_taken_up_than_allowed(subject: &Subject) {
    let allowance = Allowance {
        images: Some(3),
        ..Allowance::UNLIMITED
    };
    let creations = (0..20).map(|number| {
        let handle = (subject.handle)();
        tokio::spawn(async move { handle.commit_within(creation(image(number)), allowance).await })
    });
    let results: Vec<_> = join_all(creations)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
    for refused in results.into_iter().filter_map(Result::err) {
        let expected = Excess::Resource {
            resource: Resource::ImageCountTotal,
            limit: 3,
            usage: 3,
            delta: 1,
        };
        assert_eq!(
            refused.kind,
            MetadataErrorKind::Rejected(Rejection::OverLimit(expected))
        );
    }
    assert_eq!(subject.store.usage("me").await.unwrap().images, 3);
    assert_eq!(numbers(&*subject.store, mine()).await.len(), 3);
}
