use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any, prop_assert_eq, proptest},
};

use super::*;
use crate::image::{
    AttemptId, Claim, ClaimPhase, Content, Image, Location, Member, MemberStatus, NodeId, RemovalId, Retired,
    Revision, Status, StoreId, Timestamp, Tombstone, Visibility,
};

const ID: ImageId = ImageId::from_bytes([0x11; 16]);

/// An image with something in every field.
fn image() -> Image {
    let at = Timestamp::from_micros;
    let content = Content {
        attempt: AttemptId::from_bytes([0x22; 16]),
        size: 300,
        virtual_size: Some(1 << 40),
        checksum: Some("d4".into()),
        hash_algorithm: Some("sha512".into()),
        hash_value: Some("e5".into()),
    };
    let location = Location {
        store: Some(StoreId::new("fast")),
        url: "file:///a".into(),
        metadata: [("k".to_owned(), "v".to_owned())].into(),
    };
    let member = Member {
        status: MemberStatus::Rejected,
        created_at: at(5),
        updated_at: at(6),
    };
    Image {
        status: Status::Saving,
        name: Some("né\0".into()),
        visibility: Visibility::Public,
        protected: true,
        hidden: true,
        owner: Some("me".into()),
        disk_format: Some("raw".into()),
        container_format: Some("bare".into()),
        min_disk: 1,
        min_ram: u32::MAX,
        content: Some(content),
        locations: vec![location],
        tags: ["t".to_owned()].into(),
        properties: [("os".to_owned(), String::new())].into(),
        members: [("you".to_owned(), member)].into(),
        claim: Some(Claim {
            attempt: AttemptId::from_bytes([0x33; 16]),
            node: NodeId::from_bytes([0x44; 16]),
            expires_at: at(u64::MAX),
            phase: ClaimPhase::Fenced,
        }),
        created_at: at(7),
        updated_at: at(8),
        revision: Revision::from_number(9),
        ..Image::new(ID, at(0))
    }
}

fn tombstone() -> Entry {
    Entry::Deleted(Tombstone {
        image: Image {
            status: Status::Deleted,
            ..Image::new(ID, Timestamp::from_micros(1))
        },
        last_status: Status::Deactivated,
        deleted_at: Timestamp::from_micros(2),
    })
}

/// With a location that was removed.
fn retiring() -> Image {
    let location = Location {
        store: Some(StoreId::new("fast")),
        url: "s3://b".into(),
        metadata: Default::default(),
    };
    let removal = RemovalId::from_bytes([0x55; 16]);
    Image {
        retired: vec![Retired { removal, location }],
        ..Image::new(ID, Timestamp::from_micros(1))
    }
}

/// Deleted, with data that is kept for a time, and a location that was removed before.
fn pending() -> Entry {
    Entry::Deleted(Tombstone {
        image: Image {
            status: Status::PendingDelete,
            ..retiring()
        },
        last_status: Status::Active,
        deleted_at: Timestamp::from_micros(2),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Field by field: what a version has stored, every later version reads.
const FULL: &str = concat!(
    "01",                                 // version
    "11111111111111111111111111111111",   // id
    "01",                                 // status
    "01046ec3a900",                       // name
    "010101",                             // visibility, protected, hidden
    "01026d65",                           // owner
    "0103726177",                         // disk_format
    "010462617265",                       // container_format
    "01ffffffff0f",                       // min_disk, min_ram
    "0122222222222222222222222222222222", // content: attempt
    "ac0201808080808020",                 // size, virtual_size
    "01026434010673686135313201026535",   // checksum, hash_algorithm, hash_value
    "01010466617374",                     // one location: store
    "0966696c653a2f2f2f61",               // url
    "01016b0176",                         // metadata
    "010174",                             // tags
    "01026f7300",                         // properties
    "0103796f75020506",                   // members
    "0133333333333333333333333333333333", // claim: attempt
    "44444444444444444444444444444444",   // node
    "ffffffffffffffffff01",               // expires_at
    "01",                                 // phase
    "070809",                             // created_at, updated_at, revision
    "00",                                 // not deleted
);
const TOMBSTONE: &str = concat!(
    "01",
    "11111111111111111111111111111111",
    "04000300000000000000000000000000010101",
    "010208"
);

/// The first version, with what was removed after it.
const RETIRING: &str = concat!(
    "02",                                     // version
    "11111111111111111111111111111111",       // id
    "00000300000000000000000000000000010101", // status and all that follows
    "00",                                     // not deleted
    "01",                                     // one location was removed
    "55555555555555555555555555555555",       // the removal
    "010466617374",                           // store
    "0673333a2f2f6200",                       // url, no metadata
);
const PENDING: &str = concat!(
    "02",
    "11111111111111111111111111111111",
    "07000300000000000000000000000000010101",
    "010202", // deleted: when, from active
    "01",
    "55555555555555555555555555555555",
    "010466617374",
    "0673333a2f2f6200",
);

#[test]
fn records_have_the_bytes_they_had_in_every_release() {
    for (entry, golden) in [
        (Entry::Live(image()), FULL),
        (tombstone(), TOMBSTONE),
        (Entry::Live(retiring()), RETIRING),
        (pending(), PENDING),
    ] {
        assert_eq!(hex(&encode(&entry).unwrap()), golden);
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    for entry in [
        Entry::Live(image()),
        tombstone(),
        Entry::Live(retiring()),
        pending(),
    ] {
        assert_eq!(decode(ID, &encode(&entry).unwrap()).unwrap(), entry);
    }
}

#[test]
fn every_status_visibility_and_member_status_comes_back() {
    use MemberStatus::{Accepted, Pending, Rejected};
    use Visibility::{Community, Private, Public, Shared};
    for (index, status) in Status::ALL.into_iter().enumerate() {
        let mut image = image();
        image.status = status;
        image.visibility = [Community, Public, Private, Shared][index % 4];
        for member in image.members.values_mut() {
            member.status = [Pending, Accepted, Rejected][index % 3];
        }
        let entry = Entry::Live(image);
        assert_eq!(decode(ID, &encode(&entry).unwrap()).unwrap(), entry);
    }
}

#[test]
fn a_record_of_a_later_version_says_so() {
    let error = decode(ID, &[9, 0]).unwrap_err();
    assert!(error.to_string().contains("version 9"), "{error}");
}

#[test]
fn the_record_of_another_image_is_refused() {
    let bytes = encode(&tombstone()).unwrap();
    let other = ImageId::from_bytes([0x12; 16]);
    assert!(matches!(
        decode(other, &bytes),
        Err(CorruptRecord::OtherImage(ID))
    ));
}

#[test]
fn bytes_behind_a_record_and_missing_ones_are_refused() {
    for image in [image(), retiring()] {
        let mut bytes = encode(&Entry::Live(image)).unwrap();
        for length in 0..bytes.len() {
            assert!(decode(ID, &bytes[..length]).is_err(), "{length}");
        }
        bytes.push(0);
        assert!(matches!(decode(ID, &bytes), Err(CorruptRecord::Trailing(1))));
    }
}

#[test]
fn a_length_that_lies_allocates_no_more_than_the_record_is_long() {
    // Everything up to the locations, then a list of 2^60 of them.
    let mut bytes = vec![1; 1];
    bytes.extend([0x11; 16]);
    bytes.extend([0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
    assert!(matches!(decode(ID, &bytes), Err(CorruptRecord::Form(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn any_bytes_give_an_entry_or_an_error(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode(ID, &bytes);
        for version in [1, 2] {
            let mut versioned = vec![version];
            versioned.extend_from_slice(&bytes);
            let _ = decode(ID, &versioned);
        }
    }

    #[test]
    fn a_record_with_wrong_bytes_in_it_gives_an_entry_that_can_be_stored_or_an_error(
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for entry in [Entry::Live(image()), pending()] {
            let mut bytes = encode(&entry).unwrap();
            for (index, byte) in &changes {
                *index.get_mut(&mut bytes) = *byte;
            }
            if let Ok(entry) = decode(ID, &bytes) {
                prop_assert_eq!(decode(ID, &encode(&entry).unwrap()).unwrap(), entry);
            }
        }
    }
}
