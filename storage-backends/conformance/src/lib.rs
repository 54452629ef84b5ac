//! saccade-store-conformance
