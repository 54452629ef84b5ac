//! Stored records: any bytes give an error, or what is stored again as bytes that read the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade::{
    image::ImageId,
    metadata::rocksdb::fuzzing::{
        decode, decode_namespace, decode_task, encode, encode_namespace, encode_task,
    },
};
use saccade_fuzz::within;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, bytes)) = input.split_first() else {
        return;
    };
    let bound = 64 * 1024 + 512 * bytes.len();
    if kind & 3 == 2 {
        if let Ok(task) = within(bound, || decode_task(bytes)) {
            let again = encode_task(&task).unwrap();
            assert!(again.len() <= bytes.len(), "what is stored is the shortest form");
            assert_eq!(decode_task(&again).unwrap(), task);
        }
    } else if kind & 1 == 0 {
        // A record holds its own id, behind the version.
        let own = bytes
            .get(1..17)
            .and_then(|id| id.try_into().ok())
            .unwrap_or([0; 16]);
        let id = ImageId::from_bytes(own);
        if let Ok(entry) = within(bound, || decode(id, bytes)) {
            let again = encode(&entry).unwrap();
            assert!(again.len() <= bytes.len(), "what is stored is the shortest form");
            assert_eq!(decode(id, &again).unwrap(), entry);
            let other = ImageId::from_bytes([own[0] ^ 1; 16]);
            assert!(decode(other, bytes).is_err() || own == [own[0] ^ 1; 16]);
        }
    } else {
        let name = bytes
            .get(1)
            .and_then(|&length| bytes.get(2..2 + usize::from(length)))
            .and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or_default();
        if let Ok(namespace) = within(bound, || decode_namespace(name, bytes)) {
            let again = encode_namespace(&namespace).unwrap();
            assert_eq!(decode_namespace(name, &again).unwrap(), namespace);
        }
    }
});
