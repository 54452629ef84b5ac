use super::{Settings, StoreNames};
use crate::catalog::Rules;

pub(super) fn settings() -> Settings {
    Settings {
        bind: "127.0.0.1:9292".parse().unwrap(),
        public_endpoint: None,
        believe_proxy: false,
        max_request_id_length: 64,
        disable_file: None,
        import_methods: vec!["glance-direct", "web-download", "copy-image"],
        stores: StoreNames::Hidden,
        show_direct_url: false,
        show_locations: false,
        disk_formats: ["ami", "raw", "qcow2"].map(str::to_owned).into(),
        container_formats: ["ami", "bare"].map(str::to_owned).into(),
    }
}

pub(super) fn rules() -> Rules {
    let settings = settings();
    Rules {
        disk_formats: settings.disk_formats,
        container_formats: settings.container_formats,
        max_properties: Some(4),
        max_tags: Some(3),
        page_default: 25,
        page_max: 1000,
    }
}
