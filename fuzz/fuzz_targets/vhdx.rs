//! VHDX: headers, region tables, metadata, of which each has its place in the input.

#![no_main]

saccade_fuzz::format_target!(saccade_fuzz::image::VHDX);
