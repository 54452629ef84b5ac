//! GPT and MBR: boot record, header, entries.

#![no_main]

saccade_fuzz::format_target!(saccade_fuzz::image::DENSE);
