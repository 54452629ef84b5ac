//! Many clients that patch the same images at once. `PATCH_SECONDS=30` goes on for so long.

use crate::harness::{Client, Setup};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

const CLIENTS: usize = 16;
const IMAGES: usize = 10;

fn seconds() -> Duration {
    let wanted = std::env::var("PATCH_SECONDS");
    Duration::from_secs(wanted.map_or(3, |text| text.parse().expect("PATCH_SECONDS is a number")))
}

/// What one client was acknowledged last, by image.
type Acknowledged = BTreeMap<String, u64>;

/// Both of a client's properties are written by one request, with a third operation that fails every third time: then
/// neither may be changed.
fn patch_for_a_while(
    client: &Client,
    own: usize,
    images: &[String],
    until: Instant,
) -> (Acknowledged, [u64; 3]) {
    let (first, second) = (format!("client_{own}_a"), format!("client_{own}_b"));
    let mut acknowledged = Acknowledged::new();
    let [mut done, mut refused, mut lost] = [0_u64; 3];
    let mut number = 0_u64;
    while Instant::now() < until {
        number += 1;
        let image = &images[usize::try_from(number).unwrap() % images.len()];
        let value = number.to_string();
        let mut operations = vec![
            json!({"op": "add", "path": format!("/{first}"), "value": value}),
            json!({"op": "add", "path": format!("/{second}"), "value": value}),
        ];
        let fails = number.is_multiple_of(3);
        if fails {
            operations.push(json!({"op": "remove", "path": "/there_is_no_such_property"}));
        }
        let answer = client.patch(&format!("/v2/images/{image}"), &Value::Array(operations));
        match (answer.status, fails) {
            (200, false) => {
                let shown = answer.json();
                assert_eq!(
                    shown[&first],
                    value.as_str(),
                    "the answer is what was just written"
                );
                acknowledged.insert(image.clone(), number);
                done += 1;
            }
            (409, true) => refused += 1,
            // Sixteen others were faster, sixteen times over: asked to try again.
            (409, false) => lost += 1,
            (status, _) => panic!("{status}: {}", answer.text()),
        }
    }
    (acknowledged, [done, refused, lost])
}

#[test]
fn of_many_clients_that_patch_the_same_images_none_loses_a_value() {
    let mut daemon = Setup::default().start();
    let admin = daemon.admin();
    let images: Vec<String> = (0..IMAGES)
        .map(|number| admin.queued(&format!("image {number}")))
        .collect();
    let until = Instant::now() + seconds();
    let results: Vec<(Acknowledged, [u64; 3])> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|own| {
                let (admin, images) = (&admin, images.as_slice());
                scope.spawn(move || patch_for_a_while(admin, own, images, until))
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for image in &images {
        let shown = admin.show(image);
        for (own, (acknowledged, _)) in results.iter().enumerate() {
            let (first, second) = (
                &shown[format!("client_{own}_a")],
                &shown[format!("client_{own}_b")],
            );
            assert_eq!(first, second, "one operation without the other: {shown}");
            match acknowledged.get(image) {
                Some(number) => assert_eq!(
                    *first,
                    number.to_string().as_str(),
                    "an acknowledged value is lost"
                ),
                None => assert!(first.is_null(), "what was refused is there: {shown}"),
            }
        }
    }
    let [done, refused, lost] =
        [0, 1, 2].map(|kind| results.iter().map(|(_, counts)| counts[kind]).sum::<u64>());
    println!("{done} patches acknowledged, {refused} refused for an operation, {lost} asked to try again");
    assert!(done > 100 && refused > 0, "{done} done, {refused} refused");
    daemon.stop();
}
