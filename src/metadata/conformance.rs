//! What every metadata store does: one named test per rule, for each implementation; and the two compared under random
//! operations.

mod commits;
mod definitions;
mod fixtures;
mod lists;
mod model;
mod tasks;

/// A store under test. The directory of one that has one lives as long as this.
struct Subject {
    store: std::sync::Arc<dyn super::Metadata>,
    handle: Box<dyn Fn() -> std::sync::Arc<dyn super::Metadata>>,
    definitions: std::sync::Arc<dyn super::MetadefStore>,
    tasks: Box<dyn Fn() -> std::sync::Arc<dyn super::TaskStore>>,
    _dir: Option<tempfile::TempDir>,
}

impl Subject {
    fn memory() -> Self {
        let store = super::memory::MemoryMetadata::new();
        Self {
            store: std::sync::Arc::new(store.clone()),
            definitions: std::sync::Arc::new(store.clone()),
            tasks: Box::new({
                let store = store.clone();
                move || std::sync::Arc::new(store.clone())
            }),
            handle: Box::new(move || std::sync::Arc::new(store.clone())),
            _dir: None,
        }
    }

    fn rocksdb() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = super::rocksdb::RocksMetadata::open(dir.path(), Default::default()).unwrap();
        Self {
            store: std::sync::Arc::new(store.clone()),
            definitions: std::sync::Arc::new(store.clone()),
            tasks: Box::new({
                let store = store.clone();
                move || std::sync::Arc::new(store.clone())
            }),
            handle: Box::new(move || std::sync::Arc::new(store.clone())),
            _dir: Some(dir),
        }
    }
}

macro_rules! conformance {
    ($($group:ident { $($rule:ident)* })*) => {
        conformance!(@of memory $($group $($rule)*;)*);
        conformance!(@of rocksdb $($group $($rule)*;)*);
    };
    (@of $implementation:ident $($group:ident $($rule:ident)*;)*) => {
        mod $implementation {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    let subject = super::Subject::$implementation();
                    super::$group::$rule(&subject).await;
                }
            )*)*
        }
    };
}

conformance! {
    commits {
        a_committed_change_is_there_at_once_through_every_handle
        a_rejected_change_changes_nothing
        of_many_claims_at_once_exactly_one_wins
        of_many_creations_at_once_exactly_one_wins
        updates_through_two_handles_lose_nothing
        a_handle_that_dies_stops_neither_its_commits_nor_others
        a_commit_whose_future_was_dropped_happens_or_not_but_whole
        a_stale_revision_is_refused
        a_renewal_is_no_new_revision
        a_fenced_attempt_never_commits
        a_deleted_id_is_never_used_again
        a_protected_image_is_not_deleted
        claims_are_those_of_transient_images_whatever_the_node
        an_unknown_id_has_no_entry
        members_come_answer_and_go_one_by_one
        of_many_members_at_once_no_more_are_added_than_there_may_be
        only_active_images_are_deactivated_and_only_those_reactivated
        a_deleted_image_that_can_be_restored_is_in_no_list_but_that_of_those
        those_that_wait_to_be_deleted_come_in_pages_by_the_time_of_their_deletion
        what_a_projects_images_take_up_follows_from_them
        of_many_commits_at_once_no_more_is_taken_up_than_allowed
    }
    lists {
        the_default_list_has_own_public_and_accepted_images
        a_member_status_says_which_shared_images_are_listed
        each_visibility_can_be_asked_for
        an_administrator_lists_everything_but_the_community_images_of_others
        an_image_without_owner_is_in_nobodys_list_but_the_administrators
        every_sort_key_orders_both_ways
        equal_values_are_told_apart_by_creation_and_id
        several_keys_with_own_directions_order_a_list
        every_condition_filters
        hidden_images_are_listed_when_asked_for
        killed_images_are_never_listed
        a_limit_of_nothing_gives_an_empty_page_that_is_not_full
        a_page_is_full_when_it_is_as_long_as_it_may_be
        a_walk_sees_every_unchanged_image_once_while_others_come_and_go
        a_deleted_marker_still_says_where_to_go_on
        a_marker_deleted_from_a_list_by_status_loses_no_image
        a_marker_that_was_never_an_image_is_unknown
        a_change_moves_an_image_in_every_list
        a_member_change_moves_an_image_in_the_lists_of_that_project_alone
        a_deactivated_image_moves_in_lists_by_status_and_nowhere_else
    }
    definitions {
        a_namespace_that_was_made_is_there_with_all_that_is_in_it
        a_name_is_taken_once
        of_many_namespaces_of_one_name_exactly_one_is_made
        a_change_from_an_older_version_is_refused_and_changes_nothing
        a_namespace_of_the_same_name_is_not_the_one_that_was_deleted
        a_renamed_namespace_is_there_under_its_new_name_only
        a_name_that_is_taken_is_given_to_nobody_else
        changes_at_once_lose_nothing
        resource_types_stay_when_their_namespaces_go
        a_namespace_larger_than_the_limit_is_refused
        a_list_has_what_the_viewer_sees
        lists_are_drawn_by_visibility_and_resource_type
        every_sort_key_orders_both_ways_without_gaps
        a_walk_in_pages_sees_every_namespace_once
        a_deleted_marker_still_says_where_to_go_on_in_a_list_of_namespaces
    }
    tasks {
        a_kept_task_is_there_at_once_through_every_handle
        a_task_that_is_kept_again_takes_the_place_of_what_was_kept
        a_forgotten_task_is_gone_and_no_other
        tasks_come_by_their_ids_all_or_those_of_one_image
        tasks_that_are_forgotten_at_once_go_at_once
        a_task_whose_keeper_was_dropped_is_kept_or_not_but_whole
    }
}
