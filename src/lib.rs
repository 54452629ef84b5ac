//! Saccade
