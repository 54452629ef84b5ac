//! QED: the header and the name of the backing file.

#![no_main]

saccade_fuzz::format_target!(saccade_fuzz::image::DENSE);
