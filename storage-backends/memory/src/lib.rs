//! saccade-store-memory
