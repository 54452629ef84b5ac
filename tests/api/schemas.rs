use crate::harness::Daemon;

#[test]
fn the_schema_of_an_image_names_what_clients_look_for() {
    let daemon = Daemon::fresh();
    let schema = daemon.admin().get("/v2/schemas/image").expect_status(200).json();
    assert_eq!(schema["name"], "image");
    assert_eq!(schema["additionalProperties"]["type"], "string");
    let properties = schema["properties"].as_object().unwrap();
    // What glanceclient takes for attributes, and everything else for a property.
    for key in [
        "id",
        "name",
        "status",
        "visibility",
        "protected",
        "os_hidden",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
        "owner",
        "size",
        "virtual_size",
        "container_format",
        "disk_format",
        "created_at",
        "updated_at",
        "tags",
        "direct_url",
        "min_ram",
        "min_disk",
        "self",
        "file",
        "schema",
        "locations",
    ] {
        assert!(properties.contains_key(key), "{key}");
    }
    let formats = properties["disk_format"]["enum"].as_array().unwrap();
    for format in ["raw", "qcow2", "vmdk", "iso"] {
        assert!(formats.iter().any(|found| found == format), "{formats:?}");
    }
    for read_only in ["status", "size", "checksum", "created_at"] {
        assert_eq!(properties[read_only]["readOnly"], true, "{read_only}");
    }
}

#[test]
fn the_schema_of_a_list_holds_that_of_an_image() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let schema = admin.get("/v2/schemas/images").expect_status(200).json();
    assert_eq!(schema["name"], "images");
    let item = &schema["properties"]["images"]["items"];
    assert_eq!(item, &admin.get("/v2/schemas/image").json());
}

#[test]
fn schemas_are_for_callers_with_a_token() {
    let daemon = Daemon::fresh();
    daemon.anonymous().get("/v2/schemas/image").expect_status(401);
}
