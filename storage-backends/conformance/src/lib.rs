//! What every storage backend must pass, and stores that fail on demand.
//!
//! [`conformance_suite!`] makes one test for each rule of the contract (and for what follows from the rules) out of a
//! [`Harness`], which a backend writes in its own tests. [`model`] compares a store with the one in
//! memory, whatever is done in whatever order. [`FaultyStore`] wraps any store for tests of its callers.
//!
//! A check that fails panics, as tests do; nothing here is for a running daemon.

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

mod faulty;
mod gate;
pub mod glance_store;
mod harness;
pub mod model;
pub mod proxy;
pub mod rules;
pub mod stalled;

pub use self::{
    faulty::{Fault, FaultyStore},
    gate::Gate,
    harness::{Harness, bytes_of, run},
};

/// Makes the tests of a backend: one `#[tokio::test]` for each function of [`rules`], by its name.
///
/// `conformance_suite!(MyHarness);` in a module of its own; the crate needs `tokio` with `rt` and `macros`. A store that
/// only reads ([`saccade_store_contract::Capabilities::writable`]) has `conformance_suite!(read_only MyHarness);`.
#[macro_export]
macro_rules! conformance_suite {
    (read_only $harness:ty) => {
        $crate::conformance_suite! { @tests $harness, READ_ONLY_COUNT:
            ranges_are_cut_to_the_blob
            an_empty_blob_has_empty_ranges
            what_others_wrote_is_read
            many_readers_at_once_do_not_mix
            what_is_missing_is_not_found
            foreign_locations_are_invalid
            a_location_has_one_spelling
            foreign_handles_are_invalid
            a_read_only_store_changes_nothing
        }
    };
    ($harness:ty) => {
        $crate::conformance_suite! { @tests $harness, COUNT:
            create_leaves_nothing
            a_blob_is_found_by_its_location_after_a_restart
            no_location_reads_before_commit
            commit_is_whole_whatever_the_chunks
            an_empty_blob_can_be_published
            zeroes_read_as_zeroes
            a_blob_may_be_longer_or_shorter_than_was_declared
            a_size_beyond_the_room_is_refused_at_once
            commit_never_replaces_a_foreign_blob
            of_concurrent_attempts_exactly_one_commits
            a_late_attempt_neither_overwrites_nor_removes_a_newer_blob
            discard_before_the_first_write_leaves_nothing
            discard_removes_what_was_written
            discard_removes_what_was_published
            discard_works_after_a_restart
            discard_of_a_published_blob_works_after_a_restart
            discard_twice_is_as_once
            discard_leaves_a_foreign_blob
            discard_leaves_a_foreign_blob_that_came_after_delete
            discard_stops_a_writer_that_is_still_there
            a_name_is_free_again_after_discard
            abort_leaves_nothing
            settle_keeps_the_blob
            settle_twice_is_as_once
            discard_after_settle_keeps_the_blob
            settle_after_delete_is_quiet
            delete_removes_and_then_finds_nothing
            delete_works_on_what_the_store_did_not_write
            prepare_delete_changes_nothing
            an_open_reader_outlives_delete
            dropping_a_writer_publishes_nothing
            ranges_are_cut_to_the_blob
            an_empty_blob_has_empty_ranges
            what_others_wrote_is_read
            many_readers_at_once_do_not_mix
            what_is_missing_is_not_found
            foreign_locations_are_invalid
            a_location_has_one_spelling
            foreign_handles_are_invalid
            a_writer_holds_few_chunks
            many_blobs_at_once_do_not_mix
        }
    };
    (@tests $harness:ty, $count:ident: $($rule:ident)*) => {
        $(
            #[tokio::test]
            async fn $rule() {
                $crate::run::<$harness>(async |harness| $crate::rules::$rule(harness).await).await;
            }
        )*

        /// The list above has every rule there is.
        #[test]
        fn no_rule_was_forgotten() {
            assert_eq!([$(stringify!($rule)),*].len(), $crate::rules::$count);
        }
    };
}
