//! saccade-store-contract
