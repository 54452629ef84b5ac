//! qcow2: header, extensions and names.

#![no_main]

saccade_fuzz::format_target!(saccade_fuzz::image::DENSE);
