//! What every request passes through.

mod context;
mod cors;
mod gzip;
mod observe;
mod render;

pub(super) use self::{context::context, cors::cors, gzip::gzip, observe::observe, render::render};
