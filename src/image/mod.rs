//! What an image is, and which changes to one are legal: plain data and rules, no I/O and no async.
//!
//! * [`Image`]: everything the catalogue knows of one image; [`Entry`]: an image or the tombstone it left
//! * [`Status`]: the status machine, one table
//! * [`Change`]: one atomic change to one image, a pure value with its preconditions; applying it gives the
//!   next [`Entry`] or a [`Rejection`]. Every metadata store applies the same function.
//! * [`Task`]: what became of an import
//! * [`Amendments`]: what an import changes beside the data; `progress`: what an image says of its import
//! * [`Member`]: a project that an image is shared with; [`MemberChange`]: what may be done to one
//! * [`Viewer`], [`Visibility`]: who sees which image, by id and in lists

mod amendments;
pub mod change;
mod ids;
mod progress;
mod record;
mod sharing;
mod status;
mod task;
#[cfg(test)]
mod tests;
mod time;
mod usage;
mod visibility;

pub use self::{
    amendments::Amendments,
    change::{Change, ChangeKind, Rejection},
    ids::{AttemptId, ImageId, InvalidImageId, NodeId, RemovalId, StoreId},
    progress::{IMPORT_TASK, IMPORTING_TO, STAGE_HOST},
    record::{
        Claim, ClaimPhase, Content, Entry, INTERNAL_PROPERTY_PREFIX, Image, Location, Retired, Revision,
        Tombstone,
    },
    sharing::{Member, MemberChange, MemberStatus},
    status::Status,
    task::{Task, TaskId, TaskKind, TaskStatus},
    time::Timestamp,
    usage::{Allowance, Excess, Resource, StorageBound, Usage},
    visibility::{Listing, Viewer, Visibility, VisibilityFilter},
};
