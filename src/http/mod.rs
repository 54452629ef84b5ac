//! The API: decode, call, encode; no rules of its own.

pub mod keystone_v3;
