//! VMDK: sparse header, descriptor, footer; descriptors that are text.

#![no_main]

saccade_fuzz::format_target!(saccade_fuzz::image::DENSE);
