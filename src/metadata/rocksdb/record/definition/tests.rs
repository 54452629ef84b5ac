use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any, prop_assert_eq, proptest},
};
use serde_json::json;

use super::*;
use crate::metadefs::NamespaceDraft;

/// A namespace with something in every field.
fn namespace() -> Namespace {
    let draft = NamespaceDraft::parse(json!({
        "namespace": "N", "display_name": "D", "description": "é", "visibility": "public", "protected": true,
        "owner": "me",
        "resource_type_associations": [{ "name": "R", "prefix": "p", "properties_target": "t" }],
        "properties": { "p": { "title": "T", "type": "string", "default": null } },
        "objects": [{
            "name": "o", "description": "d", "required": ["q"],
            "properties": { "q": { "title": "Q", "type": "number", "minimum": 1.5 } },
        }],
        "tags": [{ "name": "t" }],
    }));
    let mut namespace = Namespace::new(draft.unwrap(), None, Timestamp::from_micros(300)).unwrap();
    namespace.id = NamespaceId::from_bytes([0x11; 16]);
    namespace.revision = 7;
    namespace.tags[0].updated_at = None;
    namespace
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Field by field: what a version has stored, every later version reads.
const FULL: &str = concat!(
    "01",       // version
    "014e",     // name
    "010144",   // display_name
    "0102c3a9", // description
    "0101",     // visibility, protected
    "01026d65", // owner
    "0101520101700101",
    "74ac0201ac02",                     // one association
    "ac0201ac02",                       // created_at, updated_at
    "11111111111111111111111111111111", // content: id
    "07",                               // revision
    "0101702c",                         // one property, 44 bytes of JSON
    "7b2274797065223a22737472696e67222c227469746c65223a2254222c2264656661756c74223a6e756c6c7d",
    "01016f01016401",
    "0171",     // one object: description, required
    "0101712b", // its property, 43 bytes of JSON
    "7b2274797065223a226e756d626572222c227469746c65223a2251222c226d696e696d756d223a312e357d",
    "ac0201ac02",   // its times
    "010174ac0200", // one tag, never changed
);

#[test]
fn a_namespace_is_stored_as_in_every_release() {
    assert_eq!(hex(&encode(&namespace()).unwrap()), FULL);
    let bytes = encode_resource_type(Timestamp::from_micros(300)).unwrap();
    assert_eq!(hex(&bytes), "01ac02");
}

#[test]
fn what_is_stored_is_read_again() {
    let namespace = namespace();
    let bytes = encode(&namespace).unwrap();
    assert_eq!(decode("N", &bytes).unwrap(), namespace);
    assert_eq!(decode_head("N", &bytes).unwrap(), namespace.head);
    let bytes = encode_resource_type(Timestamp::from_micros(300)).unwrap();
    let resource_type = decode_resource_type("R", &bytes).unwrap();
    assert_eq!(resource_type.created_at, Timestamp::from_micros(300));
}

#[test]
fn bytes_that_are_no_namespace_are_refused() {
    let bytes = encode(&namespace()).unwrap();
    assert!(matches!(decode("N", &[]), Err(CorruptDefinition::Empty)));
    assert!(matches!(decode("N", &[2]), Err(CorruptDefinition::Version(2))));
    assert!(matches!(decode("M", &bytes), Err(CorruptDefinition::OtherName)));
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(
        decode("N", &longer),
        Err(CorruptDefinition::Trailing(1))
    ));
    for end in 0..bytes.len() {
        assert!(decode("N", &bytes[..end]).is_err(), "{end} bytes");
    }
    assert!(decode_resource_type("R", &[1, 0, 0]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200), at in 0..200_usize, byte in any::<u8>()) {
        let _ = decode("N", &bytes);
        let _ = decode("N", &[&[VERSION], bytes.as_slice()].concat());
        let mut damaged = encode(&namespace()).unwrap();
        let index = at % damaged.len();
        damaged[index] = byte;
        if let Ok(decoded) = decode("N", &damaged) {
            // Whatever it is now, it is one that can be stored.
            let again = encode(&decoded).unwrap();
            prop_assert_eq!(decode("N", &again).unwrap(), decoded);
        }
    }
}
