//! saccade-store-file
