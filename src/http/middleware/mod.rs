//! What every request passes through.

mod context;
mod observe;
mod render;

pub(super) use self::{context::context, observe::observe, render::render};
