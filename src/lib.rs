//! Saccade
pub mod digest;
