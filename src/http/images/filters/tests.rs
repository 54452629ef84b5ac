use proptest::prelude::*;

use super::*;

fn parse(query: &str) -> Result<ListRequest, u16> {
    let query = QueryPairs::parse(Some(query)).unwrap();
    request(&query).map_err(|error| error.status.as_u16())
}

fn conditions(query: &str) -> Vec<Condition> {
    let mut conditions = parse(query).unwrap().filter.0;
    let hidden = conditions
        .iter()
        .position(|c| *c == Condition::Is(Flag::Hidden, false));
    conditions.remove(hidden.expect("hidden images are left out"));
    conditions
}

fn keys(query: &str) -> Vec<(SortKey, Direction)> {
    parse(query).unwrap().order.keys().to_vec()
}

#[test]
fn a_list_without_query_is_the_newest_visible_images() {
    let request = parse("").unwrap();
    assert_eq!(request.order, Order::newest_first());
    assert_eq!(request.member_status, Some(MemberStatus::Accepted));
    assert_eq!(request.visibility, None);
    assert_eq!(request.limit, None);
    assert_eq!(request.filter.0, [Condition::Is(Flag::Hidden, false)]);
}

#[test]
fn hidden_images_are_listed_when_asked_for() {
    assert_eq!(
        parse("os_hidden=True").unwrap().filter.0,
        [Condition::Is(Flag::Hidden, true)]
    );
    assert_eq!(parse("os_hidden=yes"), Err(400));
    assert_eq!(parse("protected=True"), Err(400));
    assert_eq!(
        conditions("protected=true"),
        [Condition::Is(Flag::Protected, true)]
    );
}

#[test]
fn text_is_compared_or_looked_up_in_a_list() {
    assert_eq!(
        conditions("name=in:%22a,b%22,c"),
        [Condition::OneOf(Text::Name, vec!["a,b".into(), "c".into()])]
    );
    assert_eq!(
        conditions("status=eq:active"),
        [Condition::OneOf(Text::Status, vec!["active".into()])]
    );
    assert_eq!(
        conditions("owner=a:b"),
        [Condition::OneOf(Text::Owner, vec!["a:b".into()])]
    );
    assert_eq!(
        conditions("name=2026-11-21T08:35:46Z"),
        [Condition::OneOf(Text::Name, vec!["2026-11-21T08:35:46Z".into()])]
    );
    assert_eq!(parse("name=like:x"), Err(400));
}

#[test]
fn times_have_operators() {
    let at = Timestamp::from_micros(1_795_250_146_000_000);
    assert_eq!(
        conditions("updated_at=gte:2026-11-21T08:35:46Z"),
        [Condition::Time(
            TimeField::UpdatedAt,
            Comparison::GreaterOrEqual,
            at
        )]
    );
    assert_eq!(
        conditions("created_at=2026-11-21T08:35:46Z"),
        [Condition::Time(TimeField::CreatedAt, Comparison::Equal, at)]
    );
    assert_eq!(parse("created_at=after:2026-11-21T08:35:46Z"), Err(400));
    assert_eq!(parse("created_at=gt:soon"), Err(400));
    assert_eq!(parse("changes-since=2026-11-21"), Err(400));
}

#[test]
fn numbers_have_bounds() {
    assert_eq!(conditions("size_min=10"), [Condition::AtLeast(Number::Size, 10)]);
    assert_eq!(
        conditions("min_ram_max=10"),
        [Condition::AtMost(Number::MinRam, 10)]
    );
    assert_eq!(conditions("min_disk=3"), [Condition::Exactly(Number::MinDisk, 3)]);
    assert_eq!(conditions("size_min=-1"), [Condition::AtLeast(Number::Size, 0)]);
    assert_eq!(conditions("size_max=-1"), [nothing()]);
    assert_eq!(conditions("size=big"), [nothing()]);
    assert_eq!(parse("size_min=big"), Err(400));
    assert_eq!(parse("created_at_max=big"), Err(400));
    assert_eq!(parse("a_property_min=big"), Err(400));
}

#[test]
fn any_other_name_is_a_property() {
    assert_eq!(
        conditions("os_distro=debian"),
        [Condition::Property("os_distro".into(), "debian".into())]
    );
    assert_eq!(
        conditions("p=1&p=2"),
        [Condition::Property("p".into(), "2".into())]
    );
}

#[test]
fn tags_are_all_wanted() {
    assert_eq!(
        conditions("tag=a&tag=+b"),
        [Condition::Tag("a".into()), Condition::Tag("b".into())]
    );
}

#[test]
fn limits_are_whole_and_not_negative() {
    assert_eq!(parse("limit=0").unwrap().limit, Some(0));
    assert_eq!(parse("limit=99999999999999999999").unwrap().limit, Some(u64::MAX));
    for bad in ["limit=-1", "limit=x", "limit="] {
        assert_eq!(parse(bad), Err(400), "{bad}");
    }
}

#[test]
fn both_ways_of_sorting_are_understood_but_not_together() {
    use Direction::{Ascending, Descending};
    let ties = [(SortKey::CreatedAt, Descending), (SortKey::Id, Descending)];
    assert_eq!(
        keys("sort=name:asc,size")[..2],
        [(SortKey::Name, Ascending), (SortKey::Size, Descending)]
    );
    assert_eq!(keys("sort=name:asc,size")[2..], ties);
    assert_eq!(
        keys("sort_key=name&sort_key=size&sort_dir=asc"),
        [SortKey::Name, SortKey::Size, SortKey::CreatedAt, SortKey::Id].map(|key| (key, Ascending))
    );
    assert_eq!(keys("sort_key=name")[..1], [(SortKey::Name, Descending)]);
    assert_eq!(keys("sort_dir=asc")[0], (SortKey::CreatedAt, Ascending));
    for bad in [
        "sort=name&sort_key=name",
        "sort_key=owner",
        "sort_dir=up",
        "sort_key=name&sort_dir=asc&sort_dir=desc",
        "sort=",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn words_that_mean_nothing_are_refused() {
    for bad in ["visibility=secret", "member_status=maybe"] {
        assert_eq!(parse(bad), Err(400), "{bad}");
    }
    assert_eq!(
        parse("visibility=all").unwrap().visibility,
        Some(VisibilityFilter::All)
    );
    assert_eq!(parse("member_status=all").unwrap().member_status, None);
}

proptest! {
    #[test]
    fn no_query_panics(
        name in "(name|id|status|size|size_min|size_max|created_at|sort|sort_key|sort_dir|limit|marker|tag|p)",
        value in "\\PC{0,20}",
    ) {
        let query = QueryPairs::parse(Some(&format!("{name}={value}")));
        if let Ok(query) = query {
            let _ = request(&query);
        }
    }
}
