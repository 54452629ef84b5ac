use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{
    guard::{Guard, guarded},
    *,
};
use crate::{
    catalog::tests::caller,
    inspect::Rules,
    transfer::{Incoming, PluginError},
};

/// What of the data passes, and why it ends, if it ends badly.
async fn passed(data: &[u8], disk_format: &str, chunk: usize) -> (Vec<u8>, Option<PluginError>) {
    let pieces: Vec<_> = data
        .chunks(chunk)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let incoming = Incoming {
        size: Some(data.len() as u64),
        chunks: stream::iter(pieces).boxed(),
    };
    let mut chunks = guarded(incoming, Guard::new(disk_format, &Rules::default())).chunks;
    let (mut all, mut failure) = (Vec::new(), None);
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => all.extend_from_slice(&chunk),
            Err(error) => {
                assert!(error.source().is_none());
                failure = Some(error.downcast_ref::<PluginError>().unwrap().clone());
            }
        }
    }
    (all, failure)
}

fn qcow2(crypt: u8) -> Vec<u8> {
    let mut header = vec![0; 65_536];
    header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
    header[23] = 16;
    header[30] = 1;
    header[35] = crypt;
    header
}

#[tokio::test]
async fn data_passes_as_what_it_is() {
    for chunk in [1000, usize::MAX] {
        for (data, format) in [
            (vec![7; 100_000], "raw"),
            (qcow2(0), "qcow2"),
            (Vec::new(), "raw"),
        ] {
            let (all, failure) = passed(&data, format, chunk.min(data.len().max(1))).await;
            assert_eq!(failure, None, "{format}");
            assert!(all == data);
        }
    }
}

#[tokio::test]
async fn nothing_passes_as_raw_that_is_another_format() {
    let (_, failure) = passed(&qcow2(0), "raw", 65_536).await;
    let failure = failure.unwrap();
    assert_eq!(failure.plugin, "image_conversion");
    assert!(failure.explanation.contains("the data is qcow2"), "{failure}");
}

#[tokio::test]
async fn what_is_raw_does_not_pass_as_another_format_and_is_noticed_early() {
    let (all, failure) = passed(&vec![7; 4 << 20], "qcow2", 65_536).await;
    assert!(failure.unwrap().explanation.contains("the data is raw"));
    assert!(all.len() < 2 << 20, "{}", all.len());
}

#[tokio::test]
async fn what_refers_to_another_file_does_not_pass_as_anything() {
    let mut image = qcow2(0);
    image[15] = 0xf0;
    image[19] = 11;
    image[0xf0..0xf0 + 11].copy_from_slice(b"/etc/passwd");
    for format in ["qcow2", "raw"] {
        let (_, failure) = passed(&image, format, 512).await;
        assert!(failure.unwrap().explanation.contains("/etc/passwd"), "{format}");
    }
}

#[test]
fn properties_are_injected_unless_the_caller_has_a_role_that_is_spared() {
    let injection = Injection {
        properties: [("a".to_owned(), "1".to_owned())].into(),
        ignore_user_roles: vec!["Admin".to_owned(), "operator".to_owned()],
    };
    let plugins = Plugins::new([Plugin::NoOp, Plugin::InjectMetadata(injection)]);
    let injected = |roles: &[&str]| {
        plugins
            .for_import_of(&caller("us", roles))
            .amendments
            .properties
            .len()
    };
    assert_eq!(injected(&["member", "reader"]), 1);
    assert_eq!(injected(&["member", "admin"]), 0);
    assert_eq!(injected(&["operator"]), 0);
}
