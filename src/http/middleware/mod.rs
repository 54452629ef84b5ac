//! What every request passes through.

mod context;
mod cors;
mod observe;
mod render;

pub(super) use self::{context::context, cors::cors, observe::observe, render::render};
