//! ISO 9660 and UDF: a boot sector, then volume descriptors.

#![no_main]

saccade_fuzz::format_target!(saccade_fuzz::image::ISO);
