//! What the inspector sees of disk images, beside what QEMU and Glance's own inspector see; and what a client sees of
//! it.

mod images;
mod others;
mod uploads;

#[test]
fn the_documentation_names_every_format_and_every_hazard() {
    use saccade::inspect::{Format, HazardKind};
    let text = include_str!("../../docs/formats.md");
    let formats = Format::ALL.into_iter().map(Format::name);
    for name in formats.chain(HazardKind::ALL.into_iter().map(HazardKind::name)) {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
}
