//! VHD: the footer in front, the header, the footer behind.

#![no_main]

saccade_fuzz::format_target!(saccade_fuzz::image::VHD);
