//! The daemon in a cloud: a real Keystone says who callers are, real memcacheds keep what it said.

mod services;
