//! Members and (de)activation where the record changes meanwhile, and where policy is not Glance's.

use std::collections::BTreeMap;

use super::*;
use crate::image::{Location, MemberChange, Visibility};

fn stranger() -> Caller {
    caller("them", &["reader", "member"])
}

async fn offered(fixture: &Fixture) -> String {
    let id = fixture.put(|_| {}).await.to_string();
    kind(fixture.catalog.add_member(&member(), &id, "them").await).unwrap();
    id
}

#[tokio::test]
async fn a_lost_race_is_run_again_for_members_and_activation() {
    let fixture = fixture();
    let active = fixture
        .put(|image| image.status = Status::Active)
        .await
        .to_string();
    let (catalog, them) = (&fixture.catalog, stranger());
    let lose = |times| fixture.metadata.lost.store(times, Ordering::SeqCst);
    lose(3);
    kind(catalog.add_member(&member(), &active, "them").await).unwrap();
    lose(3);
    let changed = catalog.set_member_status(&them, &active, "them", "rejected");
    assert_eq!(kind(changed.await).unwrap().member.status, MemberStatus::Rejected);
    lose(3);
    kind(catalog.remove_member(&member(), &active, "them").await).unwrap();
    lose(3);
    let deactivated = kind(catalog.deactivate(&member(), &active).await).unwrap();
    assert_eq!(deactivated.status, Status::Deactivated);
    lose(u32::MAX);
    assert_eq!(
        kind(catalog.reactivate(&member(), &active).await),
        Err(Kind::Contended)
    );
}

#[tokio::test]
async fn a_status_that_is_there_is_not_set_again() {
    let fixture = fixture();
    let id = offered(&fixture).await;
    let them = stranger();
    let set = async |status| {
        let set = fixture.catalog.set_member_status(&them, &id, "them", status);
        kind(set.await).unwrap()
    };
    let pending = set("pending").await;
    assert_eq!(pending.member.created_at, pending.member.updated_at);
    let before = kind(fixture.catalog.show(&member(), &id).await).unwrap();
    let accepted = set("accepted").await;
    assert_eq!(set("accepted").await, accepted);
    let after = kind(fixture.catalog.show(&member(), &id).await).unwrap();
    assert_eq!(after.revision, before.revision.next());
    assert_eq!(after.updated_at, before.updated_at);
}

#[tokio::test]
async fn an_image_that_is_not_shared_any_more_keeps_its_members_for_later() {
    let fixture = fixture();
    let id = offered(&fixture).await;
    let parsed: ImageId = id.parse().unwrap();
    let hide = [replace("visibility", json!("private"))];
    update(&fixture, &member(), parsed, &hide).await.unwrap();
    let catalog = &fixture.catalog;
    assert!(matches!(
        kind(catalog.list_members(&member(), &id).await),
        Err(Kind::NotShared { .. })
    ));
    assert!(matches!(
        kind(
            catalog
                .set_member_status(&stranger(), &id, "them", "accepted")
                .await
        ),
        Err(Kind::NotFound { .. })
    ));
    let share = [replace("visibility", json!("shared"))];
    update(&fixture, &member(), parsed, &share).await.unwrap();
    assert_eq!(kind(catalog.list_members(&member(), &id).await).unwrap().len(), 1);
}

#[tokio::test]
async fn members_are_listed_oldest_first() {
    let fixture = fixture();
    let id = fixture.put(|_| {}).await;
    for (number, project) in [(5, "a"), (3, "b"), (4, "c")] {
        let revision = kind(fixture.catalog.show(&member(), &id.to_string()).await)
            .unwrap()
            .revision;
        let change = Change {
            id,
            at: Timestamp::from_micros(number),
            kind: ChangeKind::Member {
                expected: revision,
                project: project.to_owned(),
                change: MemberChange::Add { maximum: None },
            },
        };
        fixture.metadata.inner.commit(change).await.unwrap();
    }
    let listed = kind(fixture.catalog.list_members(&member(), &id.to_string()).await).unwrap();
    let projects: Vec<&str> = listed.iter().map(|found| found.project.as_str()).collect();
    assert_eq!(projects, ["b", "c", "a"]);
}

#[tokio::test]
async fn a_deactivated_image_is_read_by_administrators_alone() {
    let fixture = fixture();
    let id = fixture
        .put(|image| {
            image.status = Status::Active;
            image.visibility = Visibility::Public;
            image.locations.push(Location {
                store: None,
                url: "file:///images/1".to_owned(),
                metadata: BTreeMap::new(),
            });
        })
        .await
        .to_string();
    let catalog = &fixture.catalog;
    let places = async |who: Caller| kind(catalog.show(&who, &id).await).unwrap().locations.len();
    let may_read = async |who: Caller| kind(catalog.authorize_download(&who, &id).await).map(|_| ());
    kind(catalog.deactivate(&admin(), &id).await).unwrap();
    assert_eq!(may_read(member()).await, Err(Kind::Deactivated));
    assert_eq!(may_read(stranger()).await, Err(Kind::Deactivated));
    assert_eq!(may_read(admin()).await, Ok(()));
    // Nor does anybody else learn where the data is.
    assert_eq!((places(member()).await, places(admin()).await), (0, 1));
    kind(catalog.reactivate(&admin(), &id).await).unwrap();
    assert_eq!(may_read(stranger()).await, Ok(()));
    assert_eq!(places(member()).await, 1);
}
