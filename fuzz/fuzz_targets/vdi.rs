//! VDI: the header.

#![no_main]

saccade_fuzz::format_target!(saccade_fuzz::image::DENSE);
