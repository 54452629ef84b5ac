//! Saccade

pub mod inspect;
